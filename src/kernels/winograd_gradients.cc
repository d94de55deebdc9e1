// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd_gradients.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/partial-inl.h"
#include "kernels/winograd-inl.h"
#include "kernels/winograd_gradients.h"

#ifndef UPCONV_KERNELS_WINOGRAD_TRANSPOSED
#define UPCONV_KERNELS_WINOGRAD_TRANSPOSED
namespace upconv::kernels {

/// The transposed matrix, as Multiply() takes it.
template <int kRows, int kColumns>
struct Transposed {
  float values[kColumns][kRows];
  constexpr explicit Transposed(const float (&m)[kRows][kColumns]) : values() {
    for (int i = 0; i < kRows; ++i)
      for (int j = 0; j < kColumns; ++j) values[j][i] = m[i][j];
  }
};

template <class F>
inline constexpr Transposed kTransposedOutput{F::output};
template <class F>
inline constexpr Transposed kTransposedKernel{F::kernel};
template <class F>
inline constexpr int kTaps = static_cast<int>(sizeof(F::kernel[0]) / sizeof(float));

}  // namespace upconv::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

/// out = rows_y * in * rows_x^T for `kInY` x `kInX` vectors.
template <int kOutY, int kInY, int kOutX, int kInX>
HWY_INLINE void Sandwich(const float (&rows_y)[kOutY][kInY], const float (&rows_x)[kOutX][kInX], const V* in, V* out) {
  V half[kOutY * kInX];
  UPCONV_UNROLL_WINOGRAD
  for (int x = 0; x < kInX; ++x) Multiply(rows_y, in + x, kInX, half + x, kInX);
  UPCONV_UNROLL_WINOGRAD
  for (int y = 0; y < kOutY; ++y) Multiply(rows_x, half + y * kInX, 1, out + y * kOutX, 1);
}

template <class Y, class X>
HWY_NOINLINE void Kernel(const WinogradKernel& t) {
  const D d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V in[kTaps<Y> * kTaps<X>], out[Y::a * X::a];
  for (std::int64_t n = 0; n < t.width; n += lanes) {
    for (int i = 0; i < kTaps<Y> * kTaps<X>; ++i) in[i] = n < t.columns ? LoadFirst(t.taps[i] + n, static_cast<std::size_t>(t.columns - n)) : hn::Zero(d);
    Sandwich(Y::kernel, X::kernel, in, out);
    for (int i = 0; i < Y::a * X::a; ++i) hn::StoreU(out[i], d, t.u + i * t.point_stride + n);
  }
}

template <class Y, class X>
HWY_NOINLINE void Outputs(const WinogradOutputs& t) {
  const D d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V in[Y::m * X::m], out[Y::a * X::a];
  for (std::int64_t n = 0; n < t.width; n += lanes) {
    for (int i = 0; i < Y::m * X::m; ++i) in[i] = t.pixels[i] && n < t.columns ? LoadFirst(t.pixels[i] + n, static_cast<std::size_t>(t.columns - n)) : hn::Zero(d);
    Sandwich(kTransposedOutput<Y>.values, kTransposedOutput<X>.values, in, out);
    for (int i = 0; i < Y::a * X::a; ++i) hn::StoreU(out[i], d, t.a + i * t.point_stride + n);
  }
}

template <class Y, class X>
HWY_NOINLINE bool Taps(const WinogradTaps& t) {
  const D d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V in[Y::a * X::a], out[kTaps<Y> * kTaps<X>];
  V check = hn::Zero(d);
  for (std::int64_t n = 0; n < t.columns; n += lanes) {
    const auto mask = hn::FirstN(d, static_cast<std::size_t>(std::min(lanes, t.columns - n)));
    for (int i = 0; i < Y::a * X::a; ++i) {
      in[i] = hn::IfThenElseZero(mask, hn::LoadU(d, t.s + i * t.point_stride + n));
      check = hn::MulAdd(in[i], hn::Zero(d), check);
    }
    Sandwich(kTransposedKernel<Y>.values, kTransposedKernel<X>.values, in, out);
    for (int i = 0; i < kTaps<Y> * kTaps<X>; ++i) StoreFirst(out[i], t.taps[i] + n, static_cast<std::size_t>(t.columns - n), t.add);
  }
  return hn::AllTrue(d, hn::Eq(check, check));
}

template <class Y, class X>
struct KernelCall {
  static void run(const WinogradKernel& t) { Kernel<Y, X>(t); }
};
template <class Y, class X>
struct OutputsCall {
  static void run(const WinogradOutputs& t) { Outputs<Y, X>(t); }
};
template <class Y, class X>
struct TapsCall {
  static bool run(const WinogradTaps& t) { return Taps<Y, X>(t); }
};

void TransformKernel(Winograd y, Winograd x, const WinogradKernel& t) { Choose<KernelCall>(y, x, t); }
void TransformOutputs(Winograd y, Winograd x, const WinogradOutputs& t) { Choose<OutputsCall>(y, x, t); }
bool TransformTaps(Winograd y, Winograd x, const WinogradTaps& t) { return Choose<TapsCall>(y, x, t); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(TransformKernel);
HWY_EXPORT(TransformOutputs);
HWY_EXPORT(TransformTaps);

void winograd_kernel(Winograd y, Winograd x, const WinogradKernel& task, int isa) noexcept {
  UPCONV_DISPATCH(TransformKernel, isa)(y, x, task);
}
void winograd_outputs(Winograd y, Winograd x, const WinogradOutputs& task, int isa) noexcept {
  UPCONV_DISPATCH(TransformOutputs, isa)(y, x, task);
}
bool winograd_taps(Winograd y, Winograd x, const WinogradTaps& task, int isa) noexcept {
  return UPCONV_DISPATCH(TransformTaps, isa)(y, x, task);
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
