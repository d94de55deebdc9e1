// SPDX-License-Identifier: Apache-2.0
// A two-dimensional transform is one pass along y for each column of points and one along x for each row, over some
// channels at a time, so that what lies between the passes stays in L1; an axis of one point has no pass. One function a
// one-dimensional transform serves every pair of schemes.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/relu-inl.h"
#include "kernels/winograd.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

#define UPCONV_UNROLL _Pragma("GCC unroll 8")

constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
constexpr std::int64_t kChannels = 128;   // between the passes: 36 points of these are 18 KiB

#include "kernels/winograd_transforms-inl.h"

struct Identity {
  static constexpr int from = 1, to = 1;
  static HWY_INLINE void Run(const V* in, V* out) { out[0] = in[0]; }
};

/// Where a pass finds value k of line l: pixels anywhere, or planes evenly spaced.
struct Pixels {
  const float* const* at;
  int line, step;
  std::int64_t c;
  const float* operator()(int l, int k) const { return at[l * line + k * step] + c; }
};
struct Planes {
  const float* at;
  std::int64_t line, step;
  const float* operator()(int l, int k) const { return at + l * line + k * step; }
};
/// Where a pass stores value i of line l.
struct Stores {
  float* at;
  std::int64_t line, step;
};

/// For each line l: to(l, i)[c] = transform of from(l, k)[c], for c < count, a multiple of the lanes.
template <class Transform, class From>
HWY_NOINLINE void Pass(const From& from, int lines, std::int64_t count, const Stores& to) {
  const D d;
  for (int l = 0; l < lines; ++l) {
    const float* in[Transform::from];
    UPCONV_UNROLL
    for (int k = 0; k < Transform::from; ++k) in[k] = from(l, k);
    float* HWY_RESTRICT out = to.at + l * to.line;
    for (std::int64_t c = 0; c < count; c += kLanes) {
      V a[Transform::from], b[Transform::to];
      UPCONV_UNROLL
      for (int k = 0; k < Transform::from; ++k) a[k] = hn::LoadU(d, in[k] + c);
      Transform::Run(a, b);
      UPCONV_UNROLL
      for (int i = 0; i < Transform::to; ++i) hn::StoreU(b[i], d, out + i * to.step + c);
    }
  }
}

/// The last pass of an output: outputs x0 .. x1 of each line = activation(transform + bias). True if all were finite before.
template <class Transform>
HWY_NOINLINE bool LastPass(const Planes& from, const WinogradOutput& t, std::int64_t first, std::int64_t columns) {
  const D d;
  V check = hn::Zero(d);
  for (int l = t.y0; l < t.y1; ++l) {
    const float* in = from(l, 0);
    float* out = t.to + (l - t.y0) * t.row - t.x0 * t.column + first;
    for (std::int64_t c = 0; c < columns; c += kLanes) {
      const bool whole = c + kLanes <= columns;
      const auto mask = hn::FirstN(d, static_cast<std::size_t>(std::min(kLanes, columns - c)));
      V a[Transform::from], b[Transform::to];
      UPCONV_UNROLL
      for (int k = 0; k < Transform::from; ++k) a[k] = hn::LoadU(d, in + k * from.step + c);
      Transform::Run(a, b);
      const V bias = hn::LoadU(d, t.bias + first + c);
      UPCONV_UNROLL
      for (int i = 0; i < Transform::to; ++i) {
        if (i < t.x0 || i >= t.x1) continue;
        V y = hn::Add(b[i], bias);
        if (!whole) y = hn::IfThenElseZero(mask, y);
        check = hn::MulAdd(y, hn::Zero(d), check);
        if (t.relu) y = Relu(y);
        if (whole) hn::StoreU(y, d, out + i * t.column + c);
        else hn::BlendedStore(y, mask, d, out + i * t.column + c);
      }
    }
  }
  return hn::AllTrue(d, hn::Eq(check, check));
}

/// Calls f.operator()<Transform>() with A^T of a scheme.
template <class F>
HWY_INLINE auto WithOutput(const WinogradScheme& s, const F& f) {
  switch (s.points * 8 + s.taps) {
    case 3 * 8 + 2: return f.template operator()<Output3To2>();
    case 4 * 8 + 2: return f.template operator()<Output4To3>();
    case 4 * 8 + 3: return f.template operator()<Output4To2>();
    case 5 * 8 + 2: return f.template operator()<Output5To4>();
    case 5 * 8 + 3: return f.template operator()<Output5To3>();
    case 5 * 8 + 4: return f.template operator()<Output5To2>();
    case 6 * 8 + 2: return f.template operator()<Output6To5>();
    case 6 * 8 + 3: return f.template operator()<Output6To4>();
    case 6 * 8 + 4: return f.template operator()<Output6To3>();
    case 6 * 8 + 5: return f.template operator()<Output6To2>();
    default: return f.template operator()<Identity>();
  }
}

template <class From>
using PassFunction = void (*)(const From&, int, std::int64_t, const Stores&);

template <class From>
PassFunction<From> InputPass(const WinogradScheme& s) {
  switch (s.points) {
    case 3: return &Pass<Input3, From>;
    case 4: return &Pass<Input4, From>;
    case 5: return &Pass<Input5, From>;
    case 6: return &Pass<Input6, From>;
    default: return &Pass<Identity, From>;
  }
}

void TransformInput(const WinogradInput& t) {
  const PassFunction<Pixels> from_pixels = InputPass<Pixels>(t.y.points > 1 ? t.y : t.x);
  const PassFunction<Planes> along_x = InputPass<Planes>(t.x);
  const int ny = t.y.points, nx = t.x.points;
  HWY_ALIGN float half[winograd_most_pixels * kChannels], rest[winograd_most_pixels * kLanes];
  const float* ends[winograd_most_pixels];
  for (std::int64_t c = 0, count; c < t.channels; c += count) {
    count = std::min(kChannels, (t.channels - c) / kLanes * kLanes);
    const float* const* pixels = t.pixels;
    std::int64_t offset = c;
    if (count == 0) {                           // fewer channels than lanes: pixels end where the tensor may end
      count = kLanes;
      std::fill_n(rest, winograd_most_pixels * kLanes, 0.0f);
      for (int i = 0; i < ny * nx; ++i) ends[i] = std::copy_n(t.pixels[i] + c, t.channels - c, rest + i * kLanes) - (t.channels - c);
      pixels = ends, offset = 0;
    }
    const Stores v{t.v + c, nx * t.point_stride, t.point_stride};
    if (ny == 1) {
      from_pixels(Pixels{pixels, nx, 1, offset}, 1, count, v);
    } else if (nx == 1) {
      from_pixels(Pixels{pixels, 1, 1, offset}, 1, count, v);
    } else {
      from_pixels(Pixels{pixels, 1, nx, offset}, nx, count, Stores{half, kChannels, nx * kChannels});
      along_x(Planes{half, nx * kChannels, kChannels}, ny, count, v);
    }
  }
}

bool TransformOutput(const WinogradOutput& t) {
  const int points = t.x.points;
  HWY_ALIGN float half[winograd_most_pixels * kChannels];
  const auto along_y = WithOutput(t.y, []<class A>() -> PassFunction<Planes> { return &Pass<A, Planes>; });
  const auto along_x = WithOutput(t.x, []<class A>() { return &LastPass<A>; });
  bool finite = true;
  for (std::int64_t c = 0; c < t.columns; c += kChannels) {
    const std::int64_t count = std::min(kChannels, t.columns - c);
    Planes rows{t.m + c, points * t.point_stride, t.point_stride};
    if (t.y.points > 1) {
      const std::int64_t vectors = (count + kLanes - 1) / kLanes * kLanes;
      along_y(Planes{t.m + c, t.point_stride, points * t.point_stride}, points, vectors, Stores{half, kChannels, points * kChannels});
      rows = {half, points * kChannels, kChannels};
    }
    finite &= along_x(rows, t, c, count);
  }
  return finite;
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(TransformInput);
HWY_EXPORT(TransformOutput);

#include "kernels/winograd_matrices.inc"

double WinogradScheme::kernel(int point, int tap) const noexcept {
  if (point == points - 1) return tap == taps - 1 ? 1 : 0;   // infinity
  return finite_kernel[points][point][tap];
}

double WinogradScheme::output(int output, int point) const noexcept {
  if (point == points - 1) return output == outputs() - 1 ? 1 : 0;
  return finite_output[points][point][output];
}

void winograd_input(const WinogradInput& task, int isa) noexcept { UPCONV_DISPATCH(TransformInput, isa)(task); }
bool winograd_output(const WinogradOutput& task, int isa) noexcept { return UPCONV_DISPATCH(TransformOutput, isa)(task); }

}  // namespace upconv::kernels
#endif  // HWY_ONCE
