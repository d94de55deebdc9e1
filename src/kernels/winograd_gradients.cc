// SPDX-License-Identifier: Apache-2.0
// Products with an axis' matrices on both sides, unrolled for each pair of sizes; the coefficients stay in memory.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd_gradients.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/partial-inl.h"
#include "kernels/winograd_gradients.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(D()));

#define UPCONV_UNROLL _Pragma("GCC unroll 8")

/// out[i * out_step] = sum over k of rows[i * row_step + k * column_step] * in[k * in_step].
template <int kOut, int kIn>
HWY_INLINE void Multiply(const float* rows, int row_step, int column_step, const V* in, int in_step, V* out, int out_step) {
  const D d;
  UPCONV_UNROLL
  for (int i = 0; i < kOut; ++i) {
    V sum = hn::Mul(hn::Set(d, rows[i * row_step]), in[0]);
    UPCONV_UNROLL
    for (int k = 1; k < kIn; ++k) sum = hn::MulAdd(hn::Set(d, rows[i * row_step + k * column_step]), in[k * in_step], sum);
    out[i * out_step] = sum;
  }
}

/// out = Y in X^T; a matrix is given with the steps from row to row and from column to column.
template <int kOutY, int kInY, int kOutX, int kInX>
HWY_INLINE void Sandwich(const float* y, int y_row, int y_column, const float* x, int x_row, int x_column, const V* in, V* out) {
  V half[kOutY * kInX];
  UPCONV_UNROLL
  for (int j = 0; j < kInX; ++j) Multiply<kOutY, kInY>(y, y_row, y_column, in + j, kInX, half + j, kInX);
  UPCONV_UNROLL
  for (int i = 0; i < kOutY; ++i) Multiply<kOutX, kInX>(x, x_row, x_column, half + i * kInX, 1, out + i * kOutX, 1);
}

template <int kPointsY, int kTapsY, int kPointsX, int kTapsX>
struct Sizes {
  static constexpr int points_y = kPointsY, taps_y = kTapsY, points_x = kPointsX, taps_x = kTapsX;
  static constexpr int outputs_y = kPointsY - kTapsY + 1, outputs_x = kPointsX - kTapsX + 1;
  static constexpr int points = kPointsY * kPointsX, taps = kTapsY * kTapsX, outputs = outputs_y * outputs_x;
};

/// The first columns - n values at p + n; zeros for a null p or beyond the columns.
HWY_INLINE V Load(const float* p, std::int64_t n, std::int64_t columns) {
  return p && n < columns ? LoadFirst(p + n, static_cast<std::size_t>(columns - n)) : hn::Zero(D());
}

/// Every tap is there and every column: row f of a panel.
template <class S>
HWY_INLINE void WholeRow(const WinogradKernel& t, std::int64_t f, std::int64_t width) {
  constexpr std::int64_t kAhead = 8;            // rows lie far apart: no hardware prefetcher follows them
  const D d;
  const float* HWY_RESTRICT taps[S::taps];
  UPCONV_UNROLL
  for (int i = 0; i < S::taps; ++i) taps[i] = t.taps[i] + f * t.step;
  const std::int64_t ahead = f + kAhead < t.count ? kAhead * t.step : 0;
  float* HWY_RESTRICT row = t.u + f * width;
  const std::int64_t stride = t.point_stride;
  const int y0 = t.y0, y1 = t.y1;
  for (std::int64_t n = 0; n < width; n += kLanes) {
    V in[S::taps], half[S::taps_x], out[S::points_x];
    UPCONV_UNROLL
    for (int i = 0; i < S::taps; ++i) {
      in[i] = hn::LoadU(d, taps[i] + n);
      if (y0 == 0) __builtin_prefetch(taps[i] + ahead + n);
    }
    float* HWY_RESTRICT u = row + n;
    for (int i = y0; i < y1; ++i) {
      UPCONV_UNROLL
      for (int j = 0; j < S::taps_x; ++j) Multiply<1, S::taps_y>(t.y.kernel[i], 3, 1, in + j, S::taps_x, half + j, 1);
      Multiply<S::points_x, S::taps_x>(t.x.kernel[0], 3, 1, half, 1, out, 1);
      UPCONV_UNROLL
      for (int j = 0; j < S::points_x; ++j, u += stride) hn::StoreU(out[j], d, u);
    }
  }
}

template <class S>
HWY_NOINLINE void Run(const WinogradKernel& t) {
  const bool whole = t.columns == t.width && std::all_of(t.taps, t.taps + S::taps, [](const float* tap) { return tap != nullptr; });
  V in[S::taps], half[S::taps_x], out[S::points_x];
  for (std::int64_t f = 0; f < t.count; ++f) {
    if (whole) {
      WholeRow<S>(t, f, t.width);
      continue;
    }
    for (std::int64_t n = 0; n < t.width; n += kLanes) {
      for (int i = 0; i < S::taps; ++i) in[i] = Load(t.taps[i] ? t.taps[i] + f * t.step : nullptr, n, t.columns);
      float* u = t.u + f * t.width + n;
      for (int i = t.y0; i < t.y1; ++i) {
        UPCONV_UNROLL
        for (int j = 0; j < S::taps_x; ++j) Multiply<1, S::taps_y>(t.y.kernel[i], 3, 1, in + j, S::taps_x, half + j, 1);
        Multiply<S::points_x, S::taps_x>(t.x.kernel[0], 3, 1, half, 1, out, 1);
        UPCONV_UNROLL
        for (int j = 0; j < S::points_x; ++j, u += t.point_stride) hn::StoreU(out[j], D(), u);
      }
    }
  }
}

template <class S>
HWY_NOINLINE void Run(const WinogradOutputs& t) {
  V in[S::outputs], out[S::points];
  for (std::int64_t n = 0; n < t.width; n += kLanes) {
    for (int i = 0; i < S::outputs; ++i) in[i] = Load(t.pixels[i], n, t.columns);
    Sandwich<S::points_y, S::outputs_y, S::points_x, S::outputs_x>(t.y.output[0], 1, 6, t.x.output[0], 1, 6, in, out);
    for (int i = 0; i < S::points; ++i) hn::StoreU(out[i], D(), t.a + i * t.point_stride + n);
  }
}

template <class S>
HWY_NOINLINE bool Run(const WinogradTaps& t) {
  const D d;
  V in[S::points], out[S::taps];
  V check = hn::Zero(d);
  for (std::int64_t n = 0; n < t.columns; n += kLanes) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(std::min(kLanes, t.columns - n)));
    for (int i = 0; i < S::points; ++i) {
      in[i] = hn::IfThenElseZero(mask, hn::LoadU(d, t.s + i * t.point_stride + n));
      check = hn::MulAdd(in[i], hn::Zero(d), check);
    }
    Sandwich<S::taps_y, S::points_y, S::taps_x, S::points_x>(t.y.kernel[0], 1, 3, t.x.kernel[0], 1, 3, in, out);
    for (int i = 0; i < S::taps; ++i)
      if (t.taps[i]) StoreFirst(out[i], t.taps[i] + n, static_cast<std::size_t>(t.columns - n), t.add);
  }
  return hn::AllTrue(d, hn::Eq(check, check));
}

template <class Task>
auto Choose(const Task& t) {
  switch (((t.y.points * 8 + t.y.taps) * 8 + t.x.points) * 8 + t.x.taps) {
#define UPCONV_SIZES(py, ty, px, tx) \
  case ((py * 8 + ty) * 8 + px) * 8 + tx: return Run<Sizes<py, ty, px, tx>>(t);
    UPCONV_SIZES(4, 2, 4, 2)
    UPCONV_SIZES(5, 2, 5, 2)
    UPCONV_SIZES(4, 2, 1, 1)
    UPCONV_SIZES(1, 1, 4, 2)
    UPCONV_SIZES(6, 2, 1, 1)
    UPCONV_SIZES(1, 1, 6, 2)
    UPCONV_SIZES(4, 3, 4, 3)
    UPCONV_SIZES(4, 3, 1, 1)
    UPCONV_SIZES(1, 1, 4, 3)
    UPCONV_SIZES(6, 3, 6, 3)
    UPCONV_SIZES(6, 3, 1, 1)
    UPCONV_SIZES(1, 1, 6, 3)
#undef UPCONV_SIZES
    default: return Run<Sizes<1, 1, 1, 1>>(t);
  }
}

void TransformKernel(const WinogradKernel& t) { Choose(t); }
void TransformOutputs(const WinogradOutputs& t) { Choose(t); }
bool TransformTaps(const WinogradTaps& t) { return Choose(t); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(TransformKernel);
HWY_EXPORT(TransformOutputs);
HWY_EXPORT(TransformTaps);

WinogradAxis::WinogradAxis(WinogradScheme of) noexcept
    : scheme(of), points(of.points), outputs(of.outputs()), taps(of.taps), kernel(), output() {
  for (int i = 0; i < points; ++i) {
    for (int k = 0; k < taps; ++k) kernel[i][k] = static_cast<float>(of.kernel(i, k));
    for (int k = 0; k < outputs; ++k) output[k][i] = static_cast<float>(of.output(k, i));
  }
}

void winograd_kernel(const WinogradKernel& task, int isa) noexcept { UPCONV_DISPATCH(TransformKernel, isa)(task); }
void winograd_outputs(const WinogradOutputs& task, int isa) noexcept { UPCONV_DISPATCH(TransformOutputs, isa)(task); }
bool winograd_taps(const WinogradTaps& task, int isa) noexcept { return UPCONV_DISPATCH(TransformTaps, isa)(task); }

}  // namespace upconv::kernels
#endif  // HWY_ONCE
