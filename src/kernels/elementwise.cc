// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/elementwise.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/dispatch.h"
#include "kernels/elementwise-inl.h"
#include "kernels/elementwise.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

bool IsTranscendental(Activation function) {
  switch (function) {
    case Activation::elu: case Activation::selu: case Activation::celu: case Activation::gelu: case Activation::gelu_tanh:
    case Activation::silu: case Activation::mish: case Activation::sigmoid: case Activation::log_sigmoid:
    case Activation::softplus: case Activation::tanh: case Activation::tanh_shrink: case Activation::exponential:
      return true;
    default:
      return false;
  }
}

/// Loads as double lanes, stores back: a vector of doubles at a time.
template <class T>
struct InDouble {
  using D = hn::ScalableTag<double>;
  using DT = hn::Rebind<T, D>;
  static HWY_INLINE hn::Vec<D> Load(const T* from) {
    if constexpr (std::is_same_v<T, double>) return hn::LoadU(D(), from);
    else return hn::PromoteTo(D(), hn::LoadU(DT(), from));
  }
  static HWY_INLINE void Store(hn::Vec<D> value, T* to) {
    if constexpr (std::is_same_v<T, double>) hn::StoreU(value, D(), to);
    else if constexpr (HWY_TARGET == HWY_SCALAR) *to = static_cast<T>(hn::GetLane(value));   // DemoteTo clamps infinities here
    else hn::StoreU(hn::DemoteTo(DT(), value), DT(), to);
  }
};

/// Calls step(offset) for whole vectors of `lanes`; the tail goes through padded copies.
template <class T, class F>
HWY_INLINE void Walk(const T* x, const T* dy, T* out, std::int64_t count, std::size_t lanes, const F& step) {
  const auto n = static_cast<std::int64_t>(lanes);
  std::int64_t i = 0;
  for (; i + n <= count; i += n) step(x + i, dy ? dy + i : nullptr, out + i);
  if (i == count) return;
  HWY_ALIGN T px[hn::MaxLanes(hn::ScalableTag<T>())] = {}, pdy[hn::MaxLanes(hn::ScalableTag<T>())] = {};
  HWY_ALIGN T po[hn::MaxLanes(hn::ScalableTag<T>())];
  std::copy_n(x + i, count - i, px);
  if (dy) std::copy_n(dy + i, count - i, pdy);
  step(px, dy ? pdy : nullptr, po);
  std::copy_n(po, count - i, out + i);
}

template <class T>
ActivationSpec Rounded(ActivationSpec spec) {           // Keras casts parameters to the element type first
  spec.a = static_cast<double>(static_cast<T>(spec.a));
  spec.b = static_cast<double>(static_cast<T>(spec.b));
  spec.c = static_cast<double>(static_cast<T>(spec.c));
  return spec;
}

template <class T>
void Activate(const ActivationSpec& given, const T* x, T* y, std::int64_t count) {
  const ActivationSpec spec = Rounded<T>(given);
  if (IsTranscendental(spec.function)) {
    const Transcendental f{spec};
    return Walk<T>(x, nullptr, y, count, hn::Lanes(hn::ScalableTag<double>()),
                   [&](const T* in, const T*, T* out) HWY_ATTR { InDouble<T>::Store(f.Forward(InDouble<T>::Load(in)), out); });
  }
  const hn::ScalableTag<T> d;
  const Algebraic<hn::ScalableTag<T>> f{d, spec};
  Walk<T>(x, nullptr, y, count, hn::Lanes(d),
          [&](const T* in, const T*, T* out) HWY_ATTR { hn::StoreU(f.Forward(hn::LoadU(d, in)), d, out); });
}

template <class T>
void ActivateGradient(const ActivationSpec& given, const T* x, const T* dy, T* dx, std::int64_t count) {
  const ActivationSpec spec = Rounded<T>(given);
  if (IsTranscendental(spec.function)) {
    const Transcendental f{spec};
    return Walk<T>(x, dy, dx, count, hn::Lanes(hn::ScalableTag<double>()), [&](const T* in, const T* g, T* out) HWY_ATTR {
      InDouble<T>::Store(hn::Mul(f.Slope(InDouble<T>::Load(in)), InDouble<T>::Load(g)), out);
    });
  }
  const hn::ScalableTag<T> d;
  const Algebraic<hn::ScalableTag<T>> f{d, spec};
  Walk<T>(x, dy, dx, count, hn::Lanes(d), [&](const T* in, const T* g, T* out) HWY_ATTR {
    const auto slope = f.Slope(hn::LoadU(d, in));
    // A slope of zero is a branch not taken: it stops an infinite or NaN dy, as jnp.where does.
    hn::StoreU(hn::IfThenZeroElse(hn::Eq(slope, hn::Zero(d)), hn::Mul(slope, hn::LoadU(d, g))), d, out);
  });
}

/// A byte's bits come from vectors of at most eight lanes.
template <class T>
using EightLanes = hn::CappedTag<T, 8>;

template <class T>
void PositiveBits(const T* y, std::uint8_t* bits, std::int64_t count) {
  const EightLanes<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8, ++bits) {
    unsigned byte = 0;
    for (std::size_t at = 0; at < 8; at += lanes) {
      std::uint8_t part[8] = {};
      hn::StoreMaskBits(d, hn::Gt(hn::LoadU(d, y + i + at), hn::Zero(d)), part);
      byte |= static_cast<unsigned>(part[0]) << at;
    }
    *bits = static_cast<std::uint8_t>(byte);
  }
  if (i == count) return;
  unsigned byte = 0;
  for (std::int64_t j = i; j < count; ++j) byte |= static_cast<unsigned>(y[j] > 0) << (j - i);
  *bits = static_cast<std::uint8_t>(byte);
}

template <class T>
void WherePositive(const std::uint8_t* bits, const T* dy, T* dx, std::int64_t count) {
  const EightLanes<T> d;
  const std::size_t lanes = hn::Lanes(d);
  std::int64_t i = 0;
  for (; i + 8 <= count; i += 8, ++bits)
    for (std::size_t at = 0; at < 8; at += lanes) {
      const std::uint8_t part[8] = {static_cast<std::uint8_t>(*bits >> at & ((1u << lanes) - 1))};
      hn::StoreU(hn::IfThenElseZero(hn::LoadMaskBits(d, part), hn::LoadU(d, dy + i + at)), d, dx + i + at);
    }
  for (std::int64_t j = i; j < count; ++j) dx[j] = *bits >> (j - i) & 1 ? dy[j] : T(0);
}

void PositiveFloat(const float* y, std::uint8_t* bits, std::int64_t n) { PositiveBits(y, bits, n); }
void PositiveDouble(const double* y, std::uint8_t* bits, std::int64_t n) { PositiveBits(y, bits, n); }
void WhereFloat(const std::uint8_t* bits, const float* dy, float* dx, std::int64_t n) { WherePositive(bits, dy, dx, n); }
void WhereDouble(const std::uint8_t* bits, const double* dy, double* dx, std::int64_t n) { WherePositive(bits, dy, dx, n); }

void ActivateFloat(const ActivationSpec& spec, const float* x, float* y, std::int64_t n) { Activate(spec, x, y, n); }
void ActivateDouble(const ActivationSpec& spec, const double* x, double* y, std::int64_t n) { Activate(spec, x, y, n); }
void GradientFloat(const ActivationSpec& spec, const float* x, const float* dy, float* dx, std::int64_t n) {
  ActivateGradient(spec, x, dy, dx, n);
}
void GradientDouble(const ActivationSpec& spec, const double* x, const double* dy, double* dx, std::int64_t n) {
  ActivateGradient(spec, x, dy, dx, n);
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(ActivateFloat);
HWY_EXPORT(ActivateDouble);
HWY_EXPORT(GradientFloat);
HWY_EXPORT(GradientDouble);
HWY_EXPORT(PositiveFloat);
HWY_EXPORT(PositiveDouble);
HWY_EXPORT(WhereFloat);
HWY_EXPORT(WhereDouble);

void activate(const ActivationSpec& spec, const float* x, float* y, std::int64_t count, int isa) noexcept {
  if (spec.function == Activation::linear && x == y) return;
  UPCONV_DISPATCH(ActivateFloat, isa)(spec, x, y, count);
}
void activate(const ActivationSpec& spec, const double* x, double* y, std::int64_t count, int isa) noexcept {
  if (spec.function == Activation::linear && x == y) return;
  UPCONV_DISPATCH(ActivateDouble, isa)(spec, x, y, count);
}
void activate_gradient(const ActivationSpec& spec, const float* x, const float* dy, float* dx, std::int64_t count,
                       int isa) noexcept {
  UPCONV_DISPATCH(GradientFloat, isa)(spec, x, dy, dx, count);
}
void activate_gradient(const ActivationSpec& spec, const double* x, const double* dy, double* dx, std::int64_t count,
                       int isa) noexcept {
  UPCONV_DISPATCH(GradientDouble, isa)(spec, x, dy, dx, count);
}

void positive_bits(const float* y, std::uint8_t* bits, std::int64_t count, int isa) noexcept {
  UPCONV_DISPATCH(PositiveFloat, isa)(y, bits, count);
}
void positive_bits(const double* y, std::uint8_t* bits, std::int64_t count, int isa) noexcept {
  UPCONV_DISPATCH(PositiveDouble, isa)(y, bits, count);
}
void where_positive(const std::uint8_t* bits, const float* dy, float* dx, std::int64_t count, int isa) noexcept {
  UPCONV_DISPATCH(WhereFloat, isa)(bits, dy, dx, count);
}
void where_positive(const std::uint8_t* bits, const double* dy, double* dx, std::int64_t count, int isa) noexcept {
  UPCONV_DISPATCH(WhereDouble, isa)(bits, dy, dx, count);
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
