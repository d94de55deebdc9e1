// SPDX-License-Identifier: Apache-2.0
#include "nn/loss_functions.h"

#include <array>
#include <cmath>

#include "nn/loss_terms.h"

namespace upconv::nn {

namespace {

/// In double, by eight chains.
template <class T>
double sum_of(const T* x, std::int64_t count) {
  double total = 0;
  std::int64_t i = 0;
  if (count >= 8) {
    std::array<double, 8> part{};
    for (; i + 8 <= count; i += 8)
      for (std::size_t k = 0; k < 8; ++k) part[k] += static_cast<double>(x[i + static_cast<std::int64_t>(k)]);
    total = ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  }
  for (; i < count; ++i) total += static_cast<double>(x[i]);
  return total;
}

/// The sum of f(0), ..., f(count - 1), each a T.
template <class T, class F>
T sum_over(std::int64_t count, F f) {
  double total = 0;
  for (std::int64_t k = 0; k < count; ++k) total += static_cast<double>(f(k));
  return static_cast<T>(total);
}

/// A line's value is the sum of its terms, or their mean.
template <class T, class Term>
void sum_terms(const LossLines<T>& l, const Term& term, bool mean) {
  constexpr std::int64_t kStrip = 1024;
  std::array<T, kStrip> terms;
  const std::int64_t count = l.lines * l.length;
  const double divisor = mean ? static_cast<double>(l.length) : 1;
  std::int64_t line = 0, column = 0;
  double total = 0;
  for (std::int64_t start = 0; start < count; start += kStrip) {
    const std::int64_t strip = std::min(kStrip, count - start);
    const T *t = l.y_true + start, *p = l.y_pred + start;
    for (std::int64_t i = 0; i < strip; ++i) terms[static_cast<std::size_t>(i)] = term.value(t[i], p[i]);
    for (std::int64_t i = 0; i < strip;) {
      const std::int64_t taken = std::min(strip - i, l.length - column);
      total += sum_of(terms.data() + i, taken);
      i += taken, column += taken;
      if (column < l.length) break;
      l.values[line++] = static_cast<T>(total / divisor);
      total = 0, column = 0;
    }
  }
  if (!l.gradient) return;
  const T factor = static_cast<T>(l.factor / divisor);
  for (std::int64_t i = 0; i < count; ++i) l.gradient[i] = factor * term.slope(l.y_true[i], l.y_pred[i]);
  if (!l.weight) return;
  for (std::int64_t i = 0; i < l.lines; ++i)
    for (T *d = l.gradient + i * l.length, *end = d + l.length; d != end; ++d) *d *= static_cast<T>(l.weight[i]);
}

/// value(t, p) gives a line's value; slope(t, p, d) writes its gradient into d. t advances by `stride` a line.
template <class T, class Line>
void each_line(const LossLines<T>& l, std::int64_t stride, const Line& line) {
  for (std::int64_t i = 0; i < l.lines; ++i) {
    const T *t = l.y_true + i * stride, *p = l.y_pred + i * l.length;
    l.values[i] = line.value(t, p);
    if (!l.gradient) continue;
    T* d = l.gradient + i * l.length;
    line.slope(t, p, d);
    for (std::int64_t k = 0; k < l.length; ++k) d[k] *= l.coefficient(i);
  }
}

template <class T>
T largest(const T* x, std::int64_t count) {
  T top = x[0];
  for (std::int64_t k = 1; k < count; ++k) top = x[k] > top || std::isnan(x[k]) ? x[k] : top;
  return top;
}

/// d += the softmax of x times `factor`.
template <class T>
void add_softmax(const T* x, std::int64_t count, T factor, T* d) {
  const T top = largest(x, count);
  const T total = sum_over<T>(count, [&](std::int64_t k) { return std::exp(x[k] - top); });
  for (std::int64_t k = 0; k < count; ++k) d[k] += factor * (std::exp(x[k] - top) / total);
}

template <class T>
T log_of_sum_of_exponentials(const T* x, std::int64_t count) {
  const T top = largest(x, count);
  return std::log(sum_over<T>(count, [&](std::int64_t k) { return std::exp(x[k] - top); })) + top;
}

/// Turns d = derivatives by o = p / sum(p) into those by p.
template <class T>
void through_normalization(const T* p, std::int64_t count, T* d) {
  const T total = sum_over<T>(count, [&](std::int64_t k) { return p[k]; });
  const T along = sum_over<T>(count, [&](std::int64_t k) { return d[k] * (p[k] / total); });
  for (std::int64_t k = 0; k < count; ++k) d[k] = (d[k] - along) / total;
}

/// -sum of label(k) * log p[k]; `label` is a functor (t, k) -> the label's weight for class k.
template <class T, class Label>
struct CrossentropyLine {
  std::int64_t length;
  T epsilon;
  bool logits;
  Label label;

  T value(const T* t, const T* p) const {
    if (logits) {
      const T norm = log_of_sum_of_exponentials(p, length);
      return -sum_over<T>(length, [&](std::int64_t k) { return label(t, k) * (p[k] - norm); });
    }
    const T total = sum_over<T>(length, [&](std::int64_t k) { return p[k]; });
    return -sum_over<T>(length, [&](std::int64_t k) { return label(t, k) * std::log(clip(p[k] / total, epsilon, T(1) - epsilon)); });
  }

  void slope(const T* t, const T* p, T* d) const {
    if (logits) {
      for (std::int64_t k = 0; k < length; ++k) d[k] = -label(t, k);
      return add_softmax(p, length, sum_over<T>(length, [&](std::int64_t k) { return label(t, k); }), d);
    }
    const T high = T(1) - epsilon, total = sum_over<T>(length, [&](std::int64_t k) { return p[k]; });
    for (std::int64_t k = 0; k < length; ++k) {
      const T o = p[k] / total;
      d[k] = -label(t, k) / clip(o, epsilon, high) * slope_of_clip(o, epsilon, high);
    }
    through_normalization(p, length, d);
  }
};

/// alpha * (1 - o)^gamma * crossentropy, with o = p / sum(p), p = softmax of the logits.
template <class T>
struct FocalCrossentropyLine {
  std::int64_t length, classes;
  T epsilon, alpha, gamma, smoothing;
  bool logits;

  T label(T t) const { return smoothing == 0 ? t : t * (T(1) - smoothing) + smoothing / static_cast<T>(classes); }
  std::vector<T> probabilities(const T* x) const {
    if (!logits) return {x, x + length};
    std::vector<T> p(static_cast<std::size_t>(length), T(0));
    add_softmax(x, length, T(1), p.data());
    return p;
  }

  T value(const T* t, const T* x) const {
    const std::vector<T> p = probabilities(x);
    const T total = static_cast<T>(sum_of(p.data(), length));
    return sum_over<T>(length, [&](std::int64_t k) {
      const T o = clip(p[static_cast<std::size_t>(k)] / total, epsilon, T(1) - epsilon);
      return alpha * std::pow(T(1) - o, gamma) * (-label(t[k]) * std::log(o));
    });
  }

  void slope(const T* t, const T* x, T* d) const {
    const std::vector<T> p = probabilities(x);
    const T total = static_cast<T>(sum_of(p.data(), length)), high = T(1) - epsilon;
    for (std::int64_t k = 0; k < length; ++k) {
      const T raw = p[static_cast<std::size_t>(k)] / total, o = clip(raw, epsilon, high);
      d[k] = label(t[k]) * alpha * (slope_of_power(T(1) - o, gamma) * std::log(o) - std::pow(T(1) - o, gamma) / o) * slope_of_clip(raw, epsilon, high);
    }
    through_normalization(p.data(), length, d);
    if (!logits) return;
    const T along = sum_over<T>(length, [&](std::int64_t k) { return d[k] * p[static_cast<std::size_t>(k)]; });
    for (std::int64_t k = 0; k < length; ++k) d[k] = p[static_cast<std::size_t>(k)] * (d[k] - along);
  }
};

/// (1 - p^q) / q of the label's own probability.
template <class T>
struct GeneralizedCrossentropyLine {
  std::int64_t length;
  T q;
  T value(const T* t, const T* p) const {
    const std::int64_t k = class_of(*t);
    return (T(1) - (k < 0 ? T(0) : std::pow(p[k], q))) / q;
  }
  void slope(const T* t, const T* p, T* d) const {
    std::fill(d, d + length, T(0));
    if (const std::int64_t k = class_of(*t); k >= 0) d[k] = -std::pow(p[k], q - T(1));
  }
  std::int64_t class_of(T t) const { return t > T(-1) && t < static_cast<T>(length) ? static_cast<std::int64_t>(t) : -1; }
};

/// -cosine of the angle between t and p. 1 / |x| is at most 1 / epsilon.
template <class T>
struct CosineLine {
  std::int64_t length;
  T epsilon;
  T inverse_norm(const T* x) const {
    return std::min(T(1) / std::sqrt(sum_over<T>(length, [&](std::int64_t k) { return x[k] * x[k]; })), T(1) / epsilon);
  }
  T value(const T* t, const T* p) const {
    const T of_t = inverse_norm(t), of_p = inverse_norm(p);
    return -sum_over<T>(length, [&](std::int64_t k) { return t[k] * of_t * (p[k] * of_p); });
  }
  void slope(const T* t, const T* p, T* d) const {
    const T of_t = inverse_norm(t), of_p = inverse_norm(p), cosine = -value(t, p);
    const T along = of_p < T(1) / epsilon ? cosine : T(0);
    for (std::int64_t k = 0; k < length; ++k) d[k] = (along * (p[k] * of_p) - t[k] * of_t) * of_p;
  }
};

/// max(0, 1 + the best wrong class - the right one).
template <class T>
struct CategoricalHingeLine {
  std::int64_t length;
  T wrong(const T* t, const T* p, std::int64_t k) const { return (T(1) - t[k]) * p[k]; }
  T best_wrong(const T* t, const T* p) const {
    T best = wrong(t, p, 0);
    for (std::int64_t k = 1; k < length; ++k) best = wrong(t, p, k) > best || std::isnan(wrong(t, p, k)) ? wrong(t, p, k) : best;
    return best;
  }
  T margin(const T* t, const T* p) const {
    return best_wrong(t, p) - sum_over<T>(length, [&](std::int64_t k) { return t[k] * p[k]; }) + T(1);
  }
  T value(const T* t, const T* p) const { return std::max(margin(t, p), T(0)); }
  void slope(const T* t, const T* p, T* d) const {
    const T best = best_wrong(t, p), open = slope_of_max(margin(t, p), T(0));
    T shared = 0;                                            // equally bad classes share the slope
    for (std::int64_t k = 0; k < length; ++k) shared += wrong(t, p, k) == best ? T(1) : T(0);
    for (std::int64_t k = 0; k < length; ++k) d[k] = open * ((wrong(t, p, k) == best ? (T(1) - t[k]) / shared : T(0)) - t[k]);
  }
};

/// 1 - I / (I + alpha * sum((1 - p) * t) + beta * sum(p * (1 - t)) + epsilon), I = sum(t * p).
template <class T>
struct TverskyLine {
  std::int64_t length;
  T epsilon, alpha, beta;
  struct Sums { T both, all; };
  Sums sums(const T* t, const T* p) const {
    const T both = sum_over<T>(length, [&](std::int64_t k) { return t[k] * p[k]; });
    const T missed = sum_over<T>(length, [&](std::int64_t k) { return (T(1) - p[k]) * t[k]; });
    const T wrong = sum_over<T>(length, [&](std::int64_t k) { return p[k] * (T(1) - t[k]); });
    return {both, both + missed * alpha + wrong * beta + epsilon};
  }
  T value(const T* t, const T* p) const {
    const Sums s = sums(t, p);
    return T(1) - s.both / s.all;
  }
  void slope(const T* t, const T* p, T* d) const {
    const Sums s = sums(t, p);
    const T share = s.both / s.all;
    for (std::int64_t k = 0; k < length; ++k) d[k] = (share * (t[k] - alpha * t[k] + beta * (T(1) - t[k])) - t[k]) / s.all;
  }
};

/// 1 - 2 * sum(t * p) / (sum(t) + sum(p) + epsilon).
template <class T>
struct DiceLine {
  std::int64_t length;
  T epsilon;
  T all(const T* t, const T* p) const { return static_cast<T>(sum_of(t, length)) + static_cast<T>(sum_of(p, length)) + epsilon; }
  T share(const T* t, const T* p) const {
    return T(2) * sum_over<T>(length, [&](std::int64_t k) { return t[k] * p[k]; }) / all(t, p);
  }
  T value(const T* t, const T* p) const { return T(1) - share(t, p); }
  void slope(const T* t, const T* p, T* d) const {
    const T denominator = all(t, p), s = share(t, p);
    for (std::int64_t k = 0; k < length; ++k) d[k] = (s - T(2) * t[k]) / denominator;
  }
};

template <class T>
struct Evaluator {
  const LossContext& context;
  const LossLines<T>& l;
  T epsilon = static_cast<T>(context.epsilon);

  static T cast(double value) { return static_cast<T>(value); }
  BinaryCrossentropyTerm<T> crossentropy(double smoothing) const { return {epsilon, cast(smoothing)}; }

  void operator()(const losses::MeanSquaredError&) const { sum_terms(l, SquaredErrorTerm<T>{}, true); }
  void operator()(const losses::MeanAbsoluteError&) const { sum_terms(l, AbsoluteErrorTerm<T>{}, true); }
  void operator()(const losses::MeanAbsolutePercentageError&) const { sum_terms(l, AbsolutePercentageErrorTerm<T>{epsilon}, true); }
  void operator()(const losses::MeanSquaredLogarithmicError&) const { sum_terms(l, SquaredLogarithmicErrorTerm<T>{epsilon}, true); }
  void operator()(const losses::Huber& o) const { sum_terms(l, HuberTerm<T>{cast(o.delta)}, true); }
  void operator()(const losses::LogCosh&) const { sum_terms(l, LogCoshTerm<T>{}, true); }
  void operator()(const losses::BinaryCrossentropy& o) const {
    if (o.from_logits) return sum_terms(l, BinaryLogitsTerm<T>{crossentropy(o.label_smoothing)}, true);
    sum_terms(l, crossentropy(o.label_smoothing), true);
  }
  void operator()(const losses::BinaryFocalCrossentropy& o) const {
    sum_terms(l, BinaryFocalTerm<T>{crossentropy(o.label_smoothing), cast(o.gamma), cast(o.alpha), o.apply_class_balancing, o.from_logits}, true);
  }
  void operator()(const losses::KLDivergence&) const { sum_terms(l, DivergenceTerm<T>{epsilon}, false); }
  void operator()(const losses::Poisson&) const { sum_terms(l, PoissonTerm<T>{epsilon}, true); }
  void operator()(const losses::Hinge&) const { sum_terms(l, HingeTerm<T>{context.binary_labels}, true); }
  void operator()(const losses::SquaredHinge&) const { sum_terms(l, SquaredHingeTerm<T>{{context.binary_labels}}, true); }

  void operator()(const losses::CategoricalCrossentropy& o) const {
    const T smoothing = cast(o.label_smoothing), classes = static_cast<T>(context.classes);
    const auto label = [=](const T* t, std::int64_t k) { return smoothing == 0 ? t[k] : t[k] * (T(1) - smoothing) + smoothing / classes; };
    each_line(l, l.length, CrossentropyLine<T, decltype(label)>{l.length, epsilon, o.from_logits, label});
  }
  void operator()(const losses::CategoricalFocalCrossentropy& o) const {
    each_line(l, l.length, FocalCrossentropyLine<T>{l.length, context.classes, epsilon, cast(o.alpha), cast(o.gamma), cast(o.label_smoothing), o.from_logits});
  }
  void operator()(const losses::SparseCategoricalCrossentropy& o) const {
    // Fractions are cut off; a number that is no class has no label at all, so its loss is 0.
    const auto label = [](const T* t, std::int64_t k) { return std::trunc(*t) == static_cast<T>(k) ? T(1) : T(0); };
    each_line(l, 1, CrossentropyLine<T, decltype(label)>{l.length, epsilon, o.from_logits, label});
  }
  void operator()(const losses::CategoricalGeneralizedCrossEntropy& o) const {
    each_line(l, 1, GeneralizedCrossentropyLine<T>{l.length, cast(o.q)});
  }
  void operator()(const losses::CosineSimilarity&) const { each_line(l, l.length, CosineLine<T>{l.length, epsilon}); }
  void operator()(const losses::CategoricalHinge&) const { each_line(l, l.length, CategoricalHingeLine<T>{l.length}); }
  void operator()(const losses::Dice&) const { each_line(l, l.length, DiceLine<T>{l.length, epsilon}); }
  void operator()(const losses::Tversky& o) const {
    each_line(l, l.length, TverskyLine<T>{l.length, epsilon, cast(o.alpha), cast(o.beta)});
  }
};

}  // namespace

template <class T>
void evaluate_lines(const LossFunction& function, const LossContext& context, const LossLines<T>& lines) {
  std::visit(Evaluator<T>{context, lines}, function);
}

template void evaluate_lines(const LossFunction&, const LossContext&, const LossLines<float>&);
template void evaluate_lines(const LossFunction&, const LossContext&, const LossLines<double>&);

}  // namespace upconv::nn
