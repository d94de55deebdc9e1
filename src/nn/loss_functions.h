// SPDX-License-Identifier: Apache-2.0
// Keras's losses on one line of a tensor: the elements over which one loss value is formed. Each function object returns the
// value and, where line.g is set, stores its derivative with respect to every prediction of the line. Arithmetic is that of T
// (float for the half types too, as Keras computes a loss), sums are double. At kinks the derivatives are JAX's: a maximum
// or a clip passes half where both sides are equal, |x| has slope 1 at 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "upconv/loss.h"
#include "upconv/runtime.h"

namespace upconv::nn {

template <class T>
struct Line {
  const T* t;                                // y_true at the line's start; a single class number for the sparse losses
  const T* p;                                // y_pred at the line's start
  T* g;                                      // d value / d y_pred, or null
  std::span<const std::int64_t> steps;       // offsets of the line's elements
  std::size_t size() const { return steps.size(); }
};

template <class T> T epsilon() { return static_cast<T>(default_epsilon()); }
template <class T> T abs_slope(T x) { return x >= 0 ? T(1) : x < 0 ? T(-1) : x; }
/// max(x, least) and its slope.
template <class T> T slope_above(T x, T least) { return x > least ? T(1) : x < least ? T(0) : T(0.5); }
template <class T>
struct Clipped {
  T value, slope;
  Clipped(T x, T low, T high)
      : value(x < low ? low : x > high ? high : x), slope(x < low || x > high ? T(0) : x == low || x == high ? T(0.5) : T(1)) {}
};
template <class T> Clipped<T> probability(T x) { return {x, epsilon<T>(), T(1) - epsilon<T>()}; }
template <class T> T softplus(T x) { return std::max(x, T(0)) + std::log1p(std::exp(-std::abs(x))); }
template <class T> T sigmoid(T x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }

template <class T> struct Slope { T value, slope; };

/// The mean of f(t, p) -> Slope over a line.
template <class T, class F>
double mean_over(const Line<T>& line, F f) {
  double sum = 0;
  const T share = T(1) / static_cast<T>(line.size());
  for (const std::int64_t i : line.steps) {
    const Slope<T> e = f(line.t[i], line.p[i]);
    sum += static_cast<double>(e.value);
    if (line.g) line.g[i] = e.slope * share;
  }
  return sum / static_cast<double>(line.size());
}

/// The line's predictions as probabilities, and the way back of a gradient through them: softmax of logits, or division by
/// their sum.
template <class T>
struct Distribution {
  std::vector<T> q;
  T total = 1;
  bool logits;
  Distribution(const Line<T>& line, bool from_logits) : q(line.size()), logits(from_logits) {
    T largest = -std::numeric_limits<T>::infinity();
    for (const std::int64_t i : line.steps) largest = std::max(largest, line.p[i]);
    double sum = 0;
    for (std::size_t k = 0; k < q.size(); ++k) {
      const T p = line.p[line.steps[k]];
      q[k] = logits ? std::exp(p - largest) : p;
      sum += static_cast<double>(q[k]);
    }
    total = static_cast<T>(sum);
    for (T& value : q) value /= total;
  }
  /// g[k] = d value / d p from d value / d q.
  void back(const Line<T>& line, const std::vector<T>& dq) const {
    if (!line.g) return;
    double mixed = 0;
    for (std::size_t k = 0; k < q.size(); ++k) mixed += static_cast<double>(dq[k]) * static_cast<double>(q[k]);
    for (std::size_t k = 0; k < q.size(); ++k)
      line.g[line.steps[k]] = (dq[k] - static_cast<T>(mixed)) * (logits ? q[k] : 1 / total);
  }
};

template <class T>
struct LineLoss {
  bool hinge_labels_binary = false;          // 0 and 1 stand for -1 and 1

  using L = Line<T>;
  using S = Slope<T>;

  double operator()(const losses::MeanSquaredError&, const L& l) const {
    return mean_over(l, [](T t, T p) { return S{(t - p) * (t - p), 2 * (p - t)}; });
  }
  double operator()(const losses::MeanAbsoluteError&, const L& l) const {
    return mean_over(l, [](T t, T p) { return S{std::abs(t - p), -abs_slope(t - p)}; });
  }
  double operator()(const losses::MeanAbsolutePercentageError&, const L& l) const {
    const T least = epsilon<T>();
    return mean_over(l, [&](T t, T p) {
      const T by = std::max(std::abs(t), least);
      return S{100 * std::abs((t - p) / by), -100 * abs_slope((t - p) / by) / by};
    });
  }
  double operator()(const losses::MeanSquaredLogarithmicError&, const L& l) const {
    const T least = epsilon<T>();
    return mean_over(l, [&](T t, T p) {
      const T inside = std::max(p, least) + 1, d = std::log(inside) - std::log(std::max(t, least) + 1);
      return S{d * d, 2 * d / inside * slope_above(p, least)};
    });
  }
  double operator()(const losses::Huber& o, const L& l) const {
    const T delta = static_cast<T>(o.delta);
    return mean_over(l, [&](T t, T p) {
      const T e = p - t, a = std::abs(e);
      return a <= delta ? S{T(0.5) * e * e, e} : S{delta * a - T(0.5) * delta * delta, delta * abs_slope(e)};
    });
  }
  double operator()(const losses::LogCosh&, const L& l) const {
    return mean_over(l, [](T t, T p) {
      const T e = p - t;
      return S{e + softplus(-2 * e) - static_cast<T>(std::log(2.0)), std::tanh(e)};
    });
  }
  double operator()(const losses::Poisson&, const L& l) const {
    const T least = epsilon<T>();
    return mean_over(l, [&](T t, T p) { return S{p - t * std::log(p + least), 1 - t / (p + least)}; });
  }
  double operator()(const losses::Hinge&, const L& l) const {
    return mean_over(l, [&](T t, T p) {
      const T y = label(t), margin = 1 - y * p;
      return S{std::max(margin, T(0)), -y * slope_above(margin, T(0))};
    });
  }
  double operator()(const losses::SquaredHinge&, const L& l) const {
    return mean_over(l, [&](T t, T p) {
      const T y = label(t), margin = std::max(1 - y * p, T(0));
      return S{margin * margin, -2 * y * margin};
    });
  }
  double operator()(const losses::BinaryCrossentropy& o, const L& l) const {
    return mean_over(l, [&](T t, T p) {
      t = smooth(t, o.label_smoothing);
      if (o.from_logits) return S{t * softplus(-p) + (1 - t) * softplus(p), sigmoid(p) - t};
      return cross_entropy(t, p);
    });
  }
  double operator()(const losses::BinaryFocalCrossentropy& o, const L& l) const {
    const T gamma = static_cast<T>(o.gamma), alpha = static_cast<T>(o.alpha);
    return mean_over(l, [&](T t, T raw) {
      t = smooth(t, o.label_smoothing);
      const T p = o.from_logits ? sigmoid(raw) : raw;
      const S bce = cross_entropy(t, p);
      const T wrong = 1 - (t * p + (1 - t) * (1 - p)), factor = std::pow(wrong, gamma);
      const T weight = o.apply_class_balancing ? t * alpha + (1 - t) * (1 - alpha) : T(1);
      const T slope = weight * (factor * bce.slope - gamma * std::pow(wrong, gamma - 1) * (2 * t - 1) * bce.value);
      return S{weight * factor * bce.value, o.from_logits ? slope * p * (1 - p) : slope};
    });
  }

  double operator()(const losses::KLDivergence&, const L& l) const {
    double sum = 0;
    for (const std::int64_t i : l.steps) {
      const Clipped<T> t(l.t[i], epsilon<T>(), 1), p(l.p[i], epsilon<T>(), 1);
      sum += static_cast<double>(t.value * std::log(t.value / p.value));
      if (l.g) l.g[i] = -t.value / p.value * p.slope;
    }
    return sum;
  }
  double operator()(const losses::CategoricalHinge&, const L& l) const {
    T negative = -std::numeric_limits<T>::infinity();
    double positive = 0;
    int equal = 0;
    for (const std::int64_t i : l.steps) {
      positive += static_cast<double>(l.t[i] * l.p[i]);
      const T other = (1 - l.t[i]) * l.p[i];
      if (other > negative) negative = other, equal = 0;
      equal += other == negative;
    }
    const T margin = negative - static_cast<T>(positive) + 1, slope = slope_above(margin, T(0));
    for (const std::int64_t i : l.steps)
      if (l.g) l.g[i] = slope * (((1 - l.t[i]) * l.p[i] == negative ? (1 - l.t[i]) / static_cast<T>(equal) : T(0)) - l.t[i]);
    return static_cast<double>(std::max(margin, T(0)));
  }
  double operator()(const losses::CosineSimilarity&, const L& l) const {
    // x / sqrt(max(sum x^2, 1e-12)), as Keras normalises.
    double tt = 0, pp = 0, tp = 0;
    for (const std::int64_t i : l.steps) {
      const double t = static_cast<double>(l.t[i]), p = static_cast<double>(l.p[i]);
      tt += t * t, pp += p * p, tp += t * p;
    }
    constexpr double least = 1e-12;
    const double by_t = 1 / std::sqrt(std::max(tt, least)), by_p = 1 / std::sqrt(std::max(pp, least));
    for (const std::int64_t i : l.steps)
      if (l.g)
        l.g[i] = static_cast<T>(-by_t * by_p * (static_cast<double>(l.t[i]) - slope_above(pp, least) * tp * by_p * by_p * static_cast<double>(l.p[i])));
    return -tp * by_t * by_p;
  }

  double operator()(const losses::CategoricalCrossentropy& o, const L& l) const {
    return categorical(l, o.from_logits, [&](std::size_t k) { return smooth_class(l.t[l.steps[k]], o.label_smoothing, l.size()); });
  }
  double operator()(const losses::SparseCategoricalCrossentropy& o, const L& l) const {
    return categorical(l, o.from_logits, [&](std::size_t k) { return static_cast<T>(k) == *l.t ? T(1) : T(0); });
  }
  double operator()(const losses::CategoricalFocalCrossentropy& o, const L& l) const {
    const T alpha = static_cast<T>(o.alpha), gamma = static_cast<T>(o.gamma);
    const Distribution<T> distribution(l, o.from_logits);
    std::vector<T> dq(l.size());
    double sum = 0;
    for (std::size_t k = 0; k < l.size(); ++k) {
      const T t = smooth_class(l.t[l.steps[k]], o.label_smoothing, l.size());
      const Clipped<T> q = probability(distribution.q[k]);
      const T factor = std::pow(1 - q.value, gamma);
      sum += static_cast<double>(-alpha * factor * t * std::log(q.value));
      dq[k] = alpha * t * (gamma * std::pow(1 - q.value, gamma - 1) * std::log(q.value) - factor / q.value) * q.slope;
    }
    distribution.back(l, dq);
    return sum;
  }
  double operator()(const losses::CategoricalGeneralizedCrossEntropy& o, const L& l) const {
    double value = 1 / o.q;
    for (std::size_t k = 0; k < l.size(); ++k) {
      const bool right = static_cast<T>(k) == std::trunc(*l.t);
      const T p = l.p[l.steps[k]], q = static_cast<T>(o.q);
      if (right) value = static_cast<double>((1 - std::pow(p, q)) / q);
      if (l.g) l.g[l.steps[k]] = right ? -std::pow(p, q - 1) : T(0);
    }
    return value;
  }

  double operator()(const losses::Dice&, const L& l) const {
    double both = 0, sum = 0;
    for (const std::int64_t i : l.steps) both += static_cast<double>(l.t[i] * l.p[i]), sum += static_cast<double>(l.t[i]) + static_cast<double>(l.p[i]);
    const double by = sum + default_epsilon();
    for (const std::int64_t i : l.steps)
      if (l.g) l.g[i] = static_cast<T>(-2 * static_cast<double>(l.t[i]) / by + 2 * both / (by * by));
    return 1 - 2 * both / by;
  }
  double operator()(const losses::Tversky& o, const L& l) const {
    double both = 0, missed = 0, extra = 0;
    for (const std::int64_t i : l.steps) {
      const double t = static_cast<double>(l.t[i]), p = static_cast<double>(l.p[i]);
      both += t * p, missed += (1 - p) * t, extra += p * (1 - t);
    }
    const double by = both + missed * o.alpha + extra * o.beta + default_epsilon();
    for (const std::int64_t i : l.steps) {
      const double t = static_cast<double>(l.t[i]);
      if (l.g) l.g[i] = static_cast<T>(-t / by + both / (by * by) * (t - o.alpha * t + o.beta * (1 - t)));
    }
    return 1 - both / by;
  }

 private:
  T label(T t) const { return hinge_labels_binary ? 2 * t - 1 : t; }
  static T smooth(T t, double smoothing) { return smoothing == 0 ? t : t * static_cast<T>(1 - smoothing) + static_cast<T>(0.5 * smoothing); }
  static T smooth_class(T t, double smoothing, std::size_t classes) {
    return smoothing == 0 ? t : t * static_cast<T>(1 - smoothing) + static_cast<T>(smoothing) / static_cast<T>(classes);
  }
  static S cross_entropy(T t, T raw) {
    const Clipped<T> p = probability(raw);
    return {-(t * std::log(p.value) + (1 - t) * std::log(1 - p.value)), ((1 - t) / (1 - p.value) - t / p.value) * p.slope};
  }
  /// -sum target(k) log q(k). From logits without a clip: log q = p - log sum exp p.
  template <class Target>
  static double categorical(const L& l, bool from_logits, Target target) {
    const Distribution<T> distribution(l, from_logits);
    double sum = 0, targets = 0;
    std::vector<T> dq(l.size());
    T largest = -std::numeric_limits<T>::infinity();
    for (const std::int64_t i : l.steps) largest = std::max(largest, l.p[i]);
    const T log_total = from_logits ? std::log(distribution.total) + largest : T(0);
    for (std::size_t k = 0; k < l.size(); ++k) {
      const T t = target(k);
      targets += static_cast<double>(t);
      const Clipped<T> q = probability(distribution.q[k]);
      sum -= static_cast<double>(from_logits ? t * (l.p[l.steps[k]] - log_total) : t * std::log(q.value));
      dq[k] = -t / q.value * q.slope;
    }
    if (!from_logits) {
      distribution.back(l, dq);
    } else if (l.g) {
      for (std::size_t k = 0; k < l.size(); ++k) l.g[l.steps[k]] = distribution.q[k] * static_cast<T>(targets) - target(k);
    }
    return sum;
  }
};

}  // namespace upconv::nn
