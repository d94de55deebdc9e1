// SPDX-License-Identifier: Apache-2.0
// The element-wise functions and their derivatives, on vectors. Included once a target by elementwise.cc.
//
// Algebraic functions run in the element type, operation by operation as Keras writes them, so that they round and overflow
// where Keras does. Transcendental ones run in double lanes, also for float32: Highway's double functions are good to a few
// ulp of double, so one final rounding leaves half an ulp of float32; erfc is an own polynomial. A tail shorter than a vector
// is padded and runs through the same code, so a result depends on its argument only.
#if defined(UPCONV_KERNELS_ELEMENTWISE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UPCONV_KERNELS_ELEMENTWISE_INL_H_
#undef UPCONV_KERNELS_ELEMENTWISE_INL_H_
#else
#define UPCONV_KERNELS_ELEMENTWISE_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <iterator>

#include "kernels/elementwise.h"
#include "kernels/relu-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Algebraic functions in the element type of D.
template <class D>
struct Algebraic {
  using T = hn::TFromD<D>;
  using V = hn::Vec<D>;
  D d;
  ActivationSpec spec;

  HWY_INLINE V Set(double value) const { return hn::Set(d, static_cast<T>(value)); }
  HWY_INLINE V Clip(V x, double low, double high) const {        // NaN stays
    x = hn::IfThenElse(hn::Lt(x, Set(low)), Set(low), x);
    return hn::IfThenElse(hn::Gt(x, Set(high)), Set(high), x);
  }
  HWY_INLINE V Leaky(V x, double slope) const {
    return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), hn::Mul(x, Set(slope)), x);
  }

  /// relu with negative_slope a, max_value b, threshold c.
  HWY_INLINE V GeneralRelu(V x) const {
    const bool capped = !std::isinf(spec.b);
    if (spec.c == 0 && spec.a == 0) return capped ? Clip(Relu(x), 0, spec.b) : Relu(x);
    if (spec.c == 0 && !capped) return Leaky(x, spec.a);
    V y = hn::IfThenElseZero(hn::Gt(x, Set(spec.c)), x);
    if (capped) y = Clip(y, 0, spec.b);
    if (spec.a != 0) y = hn::Sub(y, hn::Mul(Set(spec.a), Relu(hn::Sub(Set(spec.c), x))));
    return y;
  }
  HWY_INLINE V GeneralReluSlope(V x) const {
    const V zero = hn::Zero(d), one = Set(1), max = Set(spec.b);
    const bool capped = !std::isinf(spec.b);
    const V above = hn::IfThenElseZero(hn::Gt(x, Set(spec.c)), one);
    if (spec.c == 0 && spec.a == 0) return capped ? hn::IfThenElseZero(hn::Lt(x, max), above) : above;
    if (spec.c == 0 && !capped) return hn::IfThenElse(hn::Ge(x, zero), one, Set(spec.a));
    V slope = above;
    if (capped) {                                                // the clip to [0, max] halves the slope on its edges
      slope = hn::IfThenElse(hn::Lt(x, max), slope, hn::IfThenElseZero(hn::Eq(x, max), hn::Mul(slope, Set(0.5))));
      slope = hn::IfThenElse(hn::Gt(x, zero), slope, hn::IfThenElseZero(hn::Eq(x, zero), hn::Mul(slope, Set(0.5))));
    }
    return hn::IfThenElse(hn::Lt(x, Set(spec.c)), Set(spec.a), slope);
  }
  HWY_INLINE V HardSigmoid(V x) const { return hn::Div(Clip(hn::Add(x, Set(3)), 0, 6), Set(6)); }
  HWY_INLINE V Between(V x, double low, double high, double slope) const {
    return hn::IfThenElseZero(hn::And(hn::Gt(x, Set(low)), hn::Lt(x, Set(high))), Set(slope));
  }
  HWY_INLINE V Root(V x) const { return hn::Sqrt(hn::Add(hn::Mul(x, x), Set(spec.a))); }
  HWY_INLINE V NanAtInfinity(V x) const { return hn::Mul(x, hn::Zero(d)); }   // 0, or NaN where x is not finite

  HWY_INLINE V Forward(V x) const {
    const V half = Set(0.5);
    switch (spec.function) {
      case Activation::relu: return GeneralRelu(x);
      case Activation::leaky_relu: return Leaky(x, spec.a);
      case Activation::relu6: return Clip(Relu(x), 0, 6);
      case Activation::hard_sigmoid: return HardSigmoid(x);
      case Activation::hard_sigmoid_keras2: return Clip(hn::Add(hn::Mul(x, Set(0.2)), half), 0, 1);
      case Activation::hard_silu: return hn::Mul(x, HardSigmoid(x));
      case Activation::hard_tanh: return Clip(x, -1, 1);
      case Activation::sparse_sigmoid: return Clip(hn::Mul(half, hn::Add(x, Set(1))), 0, 1);
      case Activation::sparse_plus: {
        const V shifted = hn::Add(x, Set(1));
        const V curve = hn::IfThenElseZero(hn::Gt(x, Set(-1)), hn::Mul(Set(0.25), hn::Mul(shifted, shifted)));
        return hn::IfThenElse(hn::Or(hn::Ge(x, Set(1)), hn::IsNaN(x)), x, curve);
      }
      case Activation::softsign: return hn::Div(x, hn::Add(hn::Abs(x), Set(1)));
      case Activation::squareplus: return hn::Mul(half, hn::Add(x, Root(x)));
      case Activation::soft_shrink:
        return hn::IfThenElse(hn::Gt(x, Set(spec.a)), hn::Sub(x, Set(spec.a)),
                              hn::IfThenElseZero(hn::Lt(x, Set(-spec.a)), hn::Add(x, Set(spec.a))));
      case Activation::hard_shrink: return hn::IfThenElseZero(hn::Gt(hn::Abs(x), Set(spec.a)), x);
      case Activation::threshold: return hn::IfThenElse(hn::Gt(x, Set(spec.a)), x, Set(spec.b));
      default: return x;
    }
  }

  /// f'(x), at kinks as JAX has it.
  HWY_INLINE V Slope(V x) const {
    const V one = Set(1), half = Set(0.5);
    switch (spec.function) {
      case Activation::relu: return GeneralReluSlope(x);
      case Activation::leaky_relu: return hn::IfThenElse(hn::Ge(x, hn::Zero(d)), one, Set(spec.a));
      case Activation::relu6: return Between(x, 0, 6, 1);
      case Activation::hard_sigmoid: return Between(x, -3, 3, 1.0 / 6);
      case Activation::hard_sigmoid_keras2: return Between(x, -2.5, 2.5, 0.2);
      case Activation::hard_silu:
        return hn::Add(HardSigmoid(x), hn::IfThenElseZero(hn::Lt(hn::Abs(x), Set(3)), hn::Div(x, Set(6))));
      case Activation::hard_tanh: return hn::IfThenElse(hn::Gt(hn::Abs(x), one), hn::Zero(d), one);
      case Activation::sparse_sigmoid:
        return hn::IfThenElse(hn::Eq(hn::Abs(x), one), Set(0.25), Between(x, -1, 1, 0.5));
      case Activation::sparse_plus: {
        const V curve = hn::IfThenElseZero(hn::Gt(x, Set(-1)), hn::Mul(half, hn::Add(x, one)));
        return hn::Add(hn::IfThenElse(hn::Ge(x, one), one, curve), NanAtInfinity(x));
      }
      case Activation::softsign: {
        const V root = hn::Div(one, hn::Add(hn::Abs(x), one));
        return hn::Add(hn::Mul(root, root), NanAtInfinity(x));
      }
      case Activation::squareplus: return hn::Mul(half, hn::Add(one, hn::Div(x, Root(x))));
      case Activation::soft_shrink:
      case Activation::hard_shrink: return hn::IfThenElseZero(hn::Gt(hn::Abs(x), Set(spec.a)), one);
      case Activation::threshold: return hn::IfThenElseZero(hn::Gt(x, Set(spec.a)), one);
      default: return one;
    }
  }
};

/// Transcendental functions in double lanes.
struct Transcendental {
  using D = hn::ScalableTag<double>;
  using V = hn::Vec<D>;
  ActivationSpec spec;

  static HWY_INLINE V Set(double value) { return hn::Set(D(), value); }
  static HWY_INLINE V KeepNan(V x, V y) { return hn::IfThenElse(hn::Eq(x, x), y, x); }

  /// e^x over the whole range; beyond 706, where Highway's ends, as the square of e^(x/2).
  static HWY_INLINE V Exp(V x) {
    const D d;
    const V y = hn::Exp(d, hn::Min(x, Set(700)));
    if (HWY_LIKELY(hn::AllFalse(d, hn::Gt(x, Set(700))))) return KeepNan(x, y);
    const V root = hn::Exp(d, hn::Min(hn::Mul(x, Set(0.5)), Set(700)));
    return KeepNan(x, hn::IfThenElse(hn::Gt(x, Set(700)), hn::Mul(root, root), y));
  }
  static HWY_INLINE V Expm1(V x) {                       // Highway's loses the sign of zero
    return KeepNan(x, hn::CopySign(hn::Expm1(D(), hn::Max(hn::Min(x, Set(700)), Set(-700))), x));
  }
  static HWY_INLINE V Sigmoid(V x) { return hn::Div(Set(1), hn::Add(Set(1), Exp(hn::Neg(x)))); }
  /// sigmoid(x) sigmoid(-x), its derivative.
  static HWY_INLINE V SigmoidSlope(V x) {
    const V e = Exp(hn::Neg(hn::Abs(x))), sum = hn::Add(Set(1), e);
    return hn::Div(e, hn::Mul(sum, sum));
  }
  static HWY_INLINE V Tanh(V x) { return KeepNan(x, hn::Tanh(D(), hn::Max(hn::Min(x, Set(40)), Set(-40)))); }
  static HWY_INLINE V Softplus(V x) {
    const V tail = hn::Log1p(D(), Exp(hn::Neg(hn::Abs(x))));
    return KeepNan(x, hn::Add(hn::Max(x, Set(0)), tail));
  }
  /// x - tanh(x); the series where the difference would cancel.
  static HWY_INLINE V TanhShrink(V x) {
    const V u = hn::Mul(x, x);
    V series = Set(1382.0 / 155925);
    series = hn::MulAdd(series, u, Set(-62.0 / 2835));
    series = hn::MulAdd(series, u, Set(17.0 / 315));
    series = hn::MulAdd(series, u, Set(-2.0 / 15));
    series = hn::MulAdd(series, u, Set(1.0 / 3));
    series = hn::Add(hn::Mul(hn::Mul(x, u), series), Set(0));
    return hn::IfThenElse(hn::Lt(hn::Abs(x), Set(0.1)), series, hn::Sub(x, Tanh(x)));
  }
  /// (1 + 2t) e^(t^2) erfc(t) for 0 <= t <= 28: a polynomial in q = (t - 4) / (t + 4), by Chebyshev fit, within 7e-17.
  static HWY_INLINE V ScaledErfc(V t) {
    static constexpr double kCoefficients[] = {
        -8.9062086639346223e-9, -9.4562715249156916e-9, 1.0181247475149971e-7, 5.883230632914435e-8,
        -8.1876625629157856e-7, 3.0994402010831545e-7, 5.7068274750682637e-6, -1.1232086023404734e-5,
        -2.4398609353512904e-5, 1.5062567141369432e-4, -1.9925669640425624e-4, -7.5777430616933707e-4,
        5.0319699523291529e-3, -1.6197733895959855e-2, 3.7167515542420758e-2, -6.633036582729279e-2,
        9.3732834997984629e-2, -1.0103906603558063e-1, 6.8097054254702127e-2, 1.5379652102606133e-2,
        -1.3962111684056255e-1, 1.2329951186255526};
    const V q = hn::Div(hn::Sub(t, Set(4)), hn::Add(t, Set(4)));
    V sum = Set(kCoefficients[0]);
    for (std::size_t i = 1; i < std::size(kCoefficients); ++i) sum = hn::MulAdd(sum, q, Set(kCoefficients[i]));
    return sum;
  }
  /// The normal distribution function, erfc(-x / sqrt 2) / 2, from `bell` = e^(-x^2 / 2); beyond |x| = 39 it is 0 or 1.
  static HWY_INLINE V Normal(V x, V bell) {
    const V t = hn::Mul(hn::Min(hn::Abs(x), Set(39)), Set(0.70710678118654752440));
    const V tail = hn::Div(hn::Mul(hn::Mul(Set(0.5), bell), ScaledErfc(t)), hn::MulAdd(Set(2), t, Set(1)));
    return KeepNan(x, hn::IfThenElse(hn::Lt(x, Set(0)), tail, hn::Sub(Set(1), tail)));
  }
  static HWY_INLINE V Bell(V x) { return Exp(hn::Mul(Set(-0.5), hn::Mul(x, x))); }
  static HWY_INLINE V GeluInner(V x) {                  // 2 * sqrt(2/pi) * (x + 0.044715 x^3): (1 + tanh(u/2)) / 2 = sigmoid(u)
    return hn::Mul(Set(2 * 0.79788456080286535588), hn::Add(x, hn::Mul(Set(0.044715), hn::Mul(x, hn::Mul(x, x)))));
  }
  /// e^x, not above e^40, where mish is already x.
  static HWY_INLINE V CappedExp(V x) { return KeepNan(x, Exp(hn::Min(x, Set(40)))); }
  /// tanh(softplus(x)) = (n^2 + 2n) / (n^2 + 2n + 2) with n = e^x.
  static HWY_INLINE V MishFactor(V n) {
    const V q = hn::Mul(n, hn::Add(n, Set(2)));
    return hn::Div(q, hn::Add(q, Set(2)));
  }
  static constexpr double kSeluScale = 1.05070098735548049342, kSeluAlpha = 1.67326324235437728482;

  HWY_INLINE V Elu(V x, double alpha) const { return hn::IfThenElse(hn::Gt(x, Set(0)), x, hn::Mul(Set(alpha), Expm1(x))); }
  HWY_INLINE V EluSlope(V x, double alpha) const { return hn::IfThenElse(hn::Gt(x, Set(0)), Set(1), hn::Mul(Set(alpha), Exp(x))); }

  HWY_INLINE V Forward(V x) const {
    switch (spec.function) {
      case Activation::elu: return Elu(x, spec.a);
      case Activation::selu: return hn::Mul(Set(kSeluScale), Elu(x, kSeluAlpha));
      case Activation::celu:
        return KeepNan(x, hn::Add(hn::Max(x, Set(0)), hn::Mul(Set(spec.a), Expm1(hn::Div(hn::Min(x, Set(0)), Set(spec.a))))));
      case Activation::gelu: return hn::Mul(x, Normal(x, Bell(x)));
      case Activation::gelu_tanh: return hn::Mul(x, Sigmoid(GeluInner(x)));
      case Activation::silu: return hn::Mul(x, Sigmoid(x));
      case Activation::mish: return hn::Mul(x, MishFactor(CappedExp(x)));
      case Activation::sigmoid: return Sigmoid(x);
      case Activation::log_sigmoid: return hn::Neg(Softplus(hn::Neg(x)));
      case Activation::softplus: return Softplus(x);
      case Activation::tanh: return Tanh(x);
      case Activation::tanh_shrink: return TanhShrink(x);
      default: return Exp(x);
    }
  }

  HWY_INLINE V Slope(V x) const {
    const V one = Set(1);
    switch (spec.function) {
      case Activation::elu: return EluSlope(x, spec.a);
      case Activation::selu: return hn::Mul(Set(kSeluScale), EluSlope(x, kSeluAlpha));
      case Activation::celu: return hn::IfThenElse(hn::Gt(x, Set(0)), one, Exp(hn::Div(x, Set(spec.a))));
      case Activation::gelu: {
        const V bell = Bell(x);
        return hn::Add(Normal(x, bell), hn::Mul(x, hn::Mul(Set(0.39894228040143267794), bell)));
      }
      case Activation::gelu_tanh: {
        const V s = Sigmoid(GeluInner(x));
        const V inner = hn::Mul(Set(2 * 0.79788456080286535588), hn::Add(one, hn::Mul(Set(3 * 0.044715), hn::Mul(x, x))));
        return hn::Add(s, hn::Mul(hn::Mul(x, inner), hn::Mul(s, hn::Sub(one, s))));
      }
      case Activation::silu: return hn::Add(Sigmoid(x), hn::Mul(x, SigmoidSlope(x)));
      case Activation::mish: {
        const V n = CappedExp(x), t = MishFactor(n), sigmoid = hn::Div(n, hn::Add(n, one));
        return hn::Add(t, hn::Mul(x, hn::Mul(hn::Sub(one, hn::Mul(t, t)), sigmoid)));
      }
      case Activation::sigmoid: return SigmoidSlope(x);
      case Activation::log_sigmoid: return Sigmoid(hn::Neg(x));
      case Activation::softplus: return Sigmoid(x);
      case Activation::tanh: return hn::Mul(Set(4), SigmoidSlope(hn::Add(x, x)));   // 1 - tanh(x)^2 would cancel
      case Activation::tanh_shrink: {
        const V t = Tanh(x);
        return hn::Mul(t, t);
      }
      default: return Exp(x);
    }
  }
};

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
