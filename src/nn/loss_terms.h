// SPDX-License-Identifier: Apache-2.0
// The losses that are a mean or a sum of a function of one label t and one prediction p: value(t, p), and slope(t, p), its
// derivative by p. Arithmetic is T's, in Keras's order; kinks are JAX's: |x|' = 1 at 0, and max, min and clip have half the
// slope where both sides are equal. A NaN prediction has a NaN slope.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>

namespace upconv::nn {

/// The derivative of max(x, bound) by x.
template <class T>
T slope_of_max(T x, T bound) {
  return x > bound ? T(1) : x < bound ? T(0) : x == bound ? T(0.5) : x;
}
template <class T>
T clip(T x, T low, T high) {
  return std::min(std::max(x, low), high);
}
template <class T>
T slope_of_clip(T x, T low, T high) {
  return slope_of_max(x, low) * slope_of_max(-x, -high);
}
template <class T>
T slope_of_abs(T x) {
  return x >= 0 ? T(1) : x < 0 ? T(-1) : x;
}
template <class T>
T sigmoid(T x) {
  const T e = std::exp(-std::abs(x));
  return (x >= 0 ? T(1) : e) / (T(1) + e);
}
/// x^gamma's derivative; of x^0 it is 0, also at 0.
template <class T>
T slope_of_power(T x, T gamma) {
  return gamma == 0 ? T(0) : gamma * std::pow(x, gamma - T(1));
}

template <class T>
struct SquaredErrorTerm {
  T value(T t, T p) const { return (t - p) * (t - p); }
  T slope(T t, T p) const { return T(2) * (p - t); }
};

template <class T>
struct AbsoluteErrorTerm {
  T value(T t, T p) const { return std::abs(t - p); }
  T slope(T t, T p) const { return -slope_of_abs(t - p); }
};

template <class T>
struct AbsolutePercentageErrorTerm {
  T epsilon;
  T value(T t, T p) const { return T(100) * std::abs((t - p) / std::max(std::abs(t), epsilon)); }
  T slope(T t, T p) const { return T(-100) * slope_of_abs(t - p) / std::max(std::abs(t), epsilon); }
};

template <class T>
struct SquaredLogarithmicErrorTerm {
  T epsilon;
  T difference(T t, T p) const { return std::log(std::max(p, epsilon) + T(1)) - std::log(std::max(t, epsilon) + T(1)); }
  T value(T t, T p) const { return difference(t, p) * difference(t, p); }
  T slope(T t, T p) const { return T(2) * difference(t, p) / (std::max(p, epsilon) + T(1)) * slope_of_max(p, epsilon); }
};

template <class T>
struct HuberTerm {
  T delta;
  T value(T t, T p) const {
    const T error = p - t, size = std::abs(error);
    return size <= delta ? T(0.5) * (error * error) : delta * size - T(0.5) * (delta * delta);
  }
  T slope(T t, T p) const {
    const T error = p - t;
    return std::abs(error) <= delta ? error : delta * slope_of_abs(error);
  }
};

template <class T>
struct LogCoshTerm {
  T value(T t, T p) const {
    const T size = std::abs(p - t);
    return size + std::log1p(std::exp(T(-2) * size)) - std::numbers::ln2_v<T>;
  }
  T slope(T t, T p) const { return std::tanh(p - t); }
};

/// t * log(p) + (1 - t) * log(1 - p), negated; p is clipped.
template <class T>
struct BinaryCrossentropyTerm {
  T epsilon, smoothing;
  T high = T(1) - epsilon;
  T label(T t) const { return smoothing == 0 ? t : t * (T(1) - smoothing) + T(0.5) * smoothing; }
  T value(T t, T p) const {
    const T q = clip(p, epsilon, high), s = label(t);
    return -(s * std::log(q) + (T(1) - s) * std::log(T(1) - q));
  }
  T slope(T t, T p) const {
    const T q = clip(p, epsilon, high), s = label(t);
    return ((T(1) - s) / (T(1) - q) - s / q) * slope_of_clip(p, epsilon, high);
  }
};

/// The same of sigmoid(p), from the logarithms of sigmoids.
template <class T>
struct BinaryLogitsTerm {
  BinaryCrossentropyTerm<T> probabilities;
  static T log_sigmoid(T x) { return std::min(x, T(0)) - std::log1p(std::exp(-std::abs(x))); }
  T value(T t, T p) const {
    const T s = probabilities.label(t);
    return -s * log_sigmoid(p) - (T(1) - s) * log_sigmoid(-p);
  }
  T slope(T t, T p) const {
    const T s = probabilities.label(t);
    return (T(1) - s) * sigmoid(p) - s * sigmoid(-p);
  }
};

/// (1 - p_t)^gamma times the crossentropy, p_t the probability that p gives to the label.
template <class T>
struct BinaryFocalTerm {
  BinaryCrossentropyTerm<T> crossentropy;
  T gamma, alpha;
  bool balanced, logits;
  T probability(T p) const { return logits ? sigmoid(p) : p; }
  T weight(T t) const { return balanced ? t * alpha + (T(1) - t) * (T(1) - alpha) : T(1); }
  static T miss(T t, T q) { return T(1) - (t * q + (T(1) - t) * (T(1) - q)); }
  T value(T t, T p) const {
    const T q = probability(p), s = crossentropy.label(t);
    return weight(s) * (std::pow(miss(s, q), gamma) * crossentropy.value(t, q));
  }
  T slope(T t, T p) const {
    const T q = probability(p), s = crossentropy.label(t), m = miss(s, q);
    const T by_q = slope_of_power(m, gamma) * (T(1) - T(2) * s) * crossentropy.value(t, q) + std::pow(m, gamma) * crossentropy.slope(t, q);
    return weight(s) * by_q * (logits ? q * (T(1) - q) : T(1));
  }
};

template <class T>
struct DivergenceTerm {
  T epsilon;
  T value(T t, T p) const {
    const T label = clip(t, epsilon, T(1));
    return label * std::log(label / clip(p, epsilon, T(1)));
  }
  T slope(T t, T p) const { return -clip(t, epsilon, T(1)) / clip(p, epsilon, T(1)) * slope_of_clip(p, epsilon, T(1)); }
};

template <class T>
struct PoissonTerm {
  T epsilon;
  T value(T t, T p) const { return p - t * std::log(p + epsilon); }
  T slope(T t, T p) const { return T(1) - t / (p + epsilon); }
};

template <class T>
struct HingeTerm {
  bool binary;
  T label(T t) const { return binary ? T(2) * t - T(1) : t; }
  T value(T t, T p) const { return std::max(T(1) - label(t) * p, T(0)); }
  T slope(T t, T p) const { return -label(t) * slope_of_max(T(1) - label(t) * p, T(0)); }
};

template <class T>
struct SquaredHingeTerm {
  HingeTerm<T> hinge;
  T value(T t, T p) const { return hinge.value(t, p) * hinge.value(t, p); }
  T slope(T t, T p) const { return T(2) * hinge.value(t, p) * hinge.slope(t, p); }
};

}  // namespace upconv::nn
