// SPDX-License-Identifier: Apache-2.0
// The matrices are constant, the loops over them are unrolled: zeros vanish and ones become additions. Derived in exact
// rationals from the points named in winograd.h.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/winograd.h"

#ifndef UPCONV_KERNELS_WINOGRAD_MATRICES
#define UPCONV_KERNELS_WINOGRAD_MATRICES
namespace upconv::kernels {

struct F11 {
  static constexpr int a = 1, m = 1;
  static constexpr float input[1][1] = {{1}}, output[1][1] = {{1}};
};
struct F32 {
  static constexpr int a = 4, m = 3;
  static constexpr float input[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, 0, 1}};
  static constexpr float output[3][4] = {{1, 1, 1, 0}, {0, 1, -1, 0}, {0, 1, 1, 1}};
};
struct F23 {
  static constexpr int a = 4, m = 2;
  static constexpr float input[4][4] = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, 1, -1, 0}, {0, -1, 0, 1}};
  static constexpr float output[2][4] = {{1, 1, 1, 0}, {0, 1, -1, 1}};
};
#define UPCONV_SIX_POINT_INPUT                                                                                          \
  {{0.5f, 0, -97.0f / 72, 0, 0.5f, 0},                 {0, 0.75f, 1.125f, -1.0f / 3, -0.5f, 0},                          \
   {0, 0.75f, -1.125f, -1.0f / 3, 0.5f, 0},            {0, 2.0f / 3, 4.0f / 9, -1.5f, -1, 0},                            \
   {0, 2.0f / 3, -4.0f / 9, -1.5f, 1, 0},              {0, 1, 0, -97.0f / 36, 0, 1}}
struct F52 {
  static constexpr int a = 6, m = 5;
  static constexpr float input[6][6] = UPCONV_SIX_POINT_INPUT;
  static constexpr float output[5][6] = {{1, 1, 1, 1, 1, 0},
                                         {0, 2.0f / 3, -2.0f / 3, 1.5f, -1.5f, 0},
                                         {0, 4.0f / 9, 4.0f / 9, 2.25f, 2.25f, 0},
                                         {0, 8.0f / 27, -8.0f / 27, 3.375f, -3.375f, 0},
                                         {0, 16.0f / 81, 16.0f / 81, 5.0625f, 5.0625f, 1}};
};
struct F43 {
  static constexpr int a = 6, m = 4;
  static constexpr float input[6][6] = UPCONV_SIX_POINT_INPUT;
  static constexpr float output[4][6] = {{1, 1, 1, 1, 1, 0},
                                         {0, 2.0f / 3, -2.0f / 3, 1.5f, -1.5f, 0},
                                         {0, 4.0f / 9, 4.0f / 9, 2.25f, 2.25f, 0},
                                         {0, 8.0f / 27, -8.0f / 27, 3.375f, -3.375f, 1}};
};

}  // namespace upconv::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

#define UPCONV_UNROLL _Pragma("GCC unroll 8")

/// out[i] = sum of rows[i][k] * in[k * stride].
template <int kRows, int kColumns>
HWY_INLINE void Multiply(const float (&rows)[kRows][kColumns], const V* in, int in_stride, V* out, int out_stride) {
  const D d;
  UPCONV_UNROLL
  for (int i = 0; i < kRows; ++i) {
    V sum = hn::Zero(d);
    bool empty = true;
    UPCONV_UNROLL
    for (int k = 0; k < kColumns; ++k) {
      const float f = rows[i][k];
      if (f == 0) continue;
      const V v = in[k * in_stride];
      if (empty) sum = f == 1 ? v : f == -1 ? hn::Neg(v) : hn::Mul(hn::Set(d, f), v);
      else sum = f == 1 ? hn::Add(sum, v) : f == -1 ? hn::Sub(sum, v) : hn::MulAdd(hn::Set(d, f), v, sum);
      empty = false;
    }
    out[i * out_stride] = sum;
  }
}

template <class Y, class X>
HWY_NOINLINE void Input(const WinogradInput& t) {
  const D d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V in[Y::a * X::a], half[Y::a * X::a];
  for (std::int64_t c = 0; c < t.channels; c += lanes) {
    if (c + lanes <= t.channels) {
      for (int i = 0; i < Y::a * X::a; ++i) in[i] = hn::LoadU(d, t.pixels[i] + c);
    } else {
      HWY_ALIGN float rest[hn::MaxLanes(D())] = {};
      for (int i = 0; i < Y::a * X::a; ++i) {
        std::copy_n(t.pixels[i] + c, t.channels - c, rest);
        in[i] = hn::Load(d, rest);
      }
    }
    UPCONV_UNROLL
    for (int x = 0; x < X::a; ++x) Multiply(Y::input, in + x, X::a, half + x, X::a);
    UPCONV_UNROLL
    for (int y = 0; y < Y::a; ++y) Multiply(X::input, half + y * X::a, 1, in + y * X::a, 1);
    for (int i = 0; i < Y::a * X::a; ++i) hn::StoreU(in[i], d, t.v + i * t.point_stride + c);
  }
}

template <class Y, class X>
HWY_NOINLINE bool Output(const WinogradOutput& t) {
  const D d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  V in[Y::a * X::a], half[Y::m * X::a], out[Y::m * X::m];
  V check = hn::Zero(d);
  for (std::int64_t n = 0; n < t.columns; n += lanes) {
    const auto count = static_cast<std::size_t>(std::min(lanes, t.columns - n));
    const auto mask = hn::FirstN(d, count);
    for (int i = 0; i < Y::a * X::a; ++i) in[i] = hn::LoadU(d, t.m + i * t.point_stride + n);
    UPCONV_UNROLL
    for (int x = 0; x < X::a; ++x) Multiply(Y::output, in + x, X::a, half + x, X::a);
    UPCONV_UNROLL
    for (int y = 0; y < Y::m; ++y) Multiply(X::output, half + y * X::a, 1, out + y * X::m, 1);
    const V bias = hn::LoadU(d, t.bias + n);
    for (int i = 0; i < Y::m * X::m; ++i) {
      if (!t.y[i]) continue;
      V y = hn::IfThenElseZero(mask, hn::Add(out[i], bias));
      check = hn::MulAdd(y, hn::Zero(d), check);
      if (t.relu) y = hn::Add(hn::IfThenElse(hn::Lt(y, hn::Zero(d)), hn::Zero(d), y), hn::Zero(d));   // -0 to 0
      if (count == static_cast<std::size_t>(lanes)) hn::StoreU(y, d, t.y[i] + n);
      else hn::BlendedStore(y, mask, d, t.y[i] + n);
    }
  }
  return hn::AllTrue(d, hn::Eq(check, check));
}

template <template <class, class> class Call, class Task>
auto Choose(Winograd y, Winograd x, const Task& task) {
  switch (y == Winograd::f11 ? x : y) {
    case Winograd::f32: return y == x ? Call<F32, F32>::run(task) : y == Winograd::f11 ? Call<F11, F32>::run(task) : Call<F32, F11>::run(task);
    case Winograd::f23: return y == x ? Call<F23, F23>::run(task) : y == Winograd::f11 ? Call<F11, F23>::run(task) : Call<F23, F11>::run(task);
    case Winograd::f52: return y == x ? Call<F52, F52>::run(task) : y == Winograd::f11 ? Call<F11, F52>::run(task) : Call<F52, F11>::run(task);
    case Winograd::f43: return y == x ? Call<F43, F43>::run(task) : y == Winograd::f11 ? Call<F11, F43>::run(task) : Call<F43, F11>::run(task);
    default: return Call<F11, F11>::run(task);
  }
}

template <class Y, class X>
struct InputCall {
  static void run(const WinogradInput& t) { Input<Y, X>(t); }
};
template <class Y, class X>
struct OutputCall {
  static bool run(const WinogradOutput& t) { return Output<Y, X>(t); }
};

void TransformInput(Winograd y, Winograd x, const WinogradInput& t) { Choose<InputCall>(y, x, t); }
bool TransformOutput(Winograd y, Winograd x, const WinogradOutput& t) { return Choose<OutputCall>(y, x, t); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(TransformInput);
HWY_EXPORT(TransformOutput);

const WinogradScheme& winograd_scheme(Winograd scheme) noexcept {
  static constexpr WinogradScheme schemes[] = {
      {1, 1, 1, {{1}}},
      {4, 3, 2, {{1, 0}, {0.5, 0.5}, {-0.5, 0.5}, {0, 1}}},
      {4, 2, 3, {{1, 0, 0}, {0.5, 0.5, 0.5}, {-0.5, 0.5, -0.5}, {0, 0, 1}}},
      {6, 5, 2, {{2, 0}, {81.0 / 65, 54.0 / 65}, {-81.0 / 65, 54.0 / 65}, {-8.0 / 65, -12.0 / 65}, {8.0 / 65, -12.0 / 65}, {0, 1}}},
      {6, 4, 3,
       {{2, 0, 0},
        {81.0 / 65, 54.0 / 65, 36.0 / 65},
        {-81.0 / 65, 54.0 / 65, -36.0 / 65},
        {-8.0 / 65, -12.0 / 65, -18.0 / 65},
        {8.0 / 65, -12.0 / 65, 18.0 / 65},
        {0, 0, 1}}}};
  return schemes[static_cast<std::size_t>(scheme)];
}

void winograd_input(Winograd y, Winograd x, const WinogradInput& task, int isa) noexcept {
  UPCONV_DISPATCH(TransformInput, isa)(y, x, task);
}
bool winograd_output(Winograd y, Winograd x, const WinogradOutput& task, int isa) noexcept {
  return UPCONV_DISPATCH(TransformOutput, isa)(y, x, task);
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
