// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/winograd.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

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
    UPCONV_UNROLL_WINOGRAD
    for (int x = 0; x < X::a; ++x) Multiply(Y::input, in + x, X::a, half + x, X::a);
    UPCONV_UNROLL_WINOGRAD
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
    UPCONV_UNROLL_WINOGRAD
    for (int x = 0; x < X::a; ++x) Multiply(Y::output, in + x, X::a, half + x, X::a);
    UPCONV_UNROLL_WINOGRAD
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
