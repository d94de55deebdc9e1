// SPDX-License-Identifier: Apache-2.0
// Losses of whole batches: lines of y_pred give values, weights and the reduction give each value a coefficient, and the
// loss is the sum of their products.
#include <cmath>

#include "base/lines.h"
#include "base/text.h"
#include "nn/loss_functions.h"
#include "upconv/error.h"

namespace upconv {

namespace {

using namespace losses;

/// The axes over which one value is formed; empty: all of them at once.
struct AxesOf {
  std::vector<int> operator()(const Dice& o) const { return o.axis.value_or(std::vector<int>{}); }
  std::vector<int> operator()(const Tversky& o) const { return o.axis.value_or(std::vector<int>{}); }
  std::vector<int> operator()(const CategoricalGeneralizedCrossEntropy&) const { return {-1}; }
  template <class L> std::vector<int> operator()(const L& o) const {
    if constexpr (requires { o.axis; }) return {o.axis};
    else return {-1};
  }
};

bool is_sparse(const LossFunction& f) {
  return std::holds_alternative<SparseCategoricalCrossentropy>(f) || std::holds_alternative<CategoricalGeneralizedCrossEntropy>(f);
}

Shape without(const Shape& shape, const std::vector<int>& axes) {
  Shape rest;
  for (std::size_t axis = 0; axis < shape.rank(); ++axis)
    if (std::find(axes.begin(), axes.end(), static_cast<int>(axis)) == axes.end()) rest.push_back(shape[axis]);
  return rest;
}

std::vector<int> normalized_axes(const LossFunction& function, const Shape& shape) {
  std::vector<int> axes = std::visit(AxesOf{}, function);
  const int rank = static_cast<int>(shape.rank());
  for (int& axis : axes) {
    if (axis < -rank || axis >= rank)
      throw ArgumentError("axis", base::cat("The loss's axis ", axis, " is out of bounds for y_pred of shape ", shape.str(), "."));
    if (axis < 0) axis += rank;
  }
  if (axes.empty())
    for (int axis = 0; axis < rank; ++axis) axes.push_back(axis);
  return axes;
}

/// y_true in the shape that meets y_pred's: a last axis of 1 is dropped or added, as Keras squeezes and expands.
Shape matched_target(const Loss& loss, bool sparse, const Shape& target, const Shape& predicted, const std::vector<int>& axes) {
  const Shape wanted = sparse ? without(predicted, axes) : predicted;
  Shape with_one = wanted;
  with_one.push_back(1);
  if (target == wanted || target == with_one) return wanted;
  if (!sparse && wanted.rank() > 0 && wanted.back() == 1 && target == Shape(std::span(wanted.begin(), wanted.rank() - 1))) return wanted;
  throw ArgumentError("y_true", base::cat("The loss '", loss.name(), "' needs y_true of shape ", wanted.str(), " for y_pred of shape ", predicted.str(),
                                          ". Received: y_true.shape=", target.str(), ", y_pred.shape=", predicted.str(), "."));
}

/// The shape of values * sample_weight, aligned from the right as NumPy does, after Keras's squeeze of a last axis of 1. A
/// weight a sample, of shape (n), belongs to the first axis.
struct Weighting {
  Shape values, weights, product;
  Weighting(const Shape& values_, const Tensor* sample_weight) : values(values_), product(values_) {
    if (!sample_weight) return;
    weights = sample_weight->shape();
    if (weights.rank() == values.rank() + 1 && weights.back() == 1) weights = Shape(std::span(weights.begin(), weights.rank() - 1));
    if (weights.rank() == 1 && values.rank() > 1 && weights[0] == values[0])
      while (weights.rank() < values.rank()) weights.push_back(1);
    const auto refuse = [&] {
      throw ArgumentError("sample_weight", base::cat("The sample weights must be broadcastable to the loss values of shape ", values.str(),
                                                     ". Received: ", sample_weight->shape().str(), "."));
    };
    const std::size_t rank = std::max(values.rank(), weights.rank());
    product = Shape();
    for (std::size_t axis = 0; axis < rank; ++axis) {
      const std::int64_t a = dim(values, axis, rank), b = dim(weights, axis, rank);
      if (a != b && a != 1 && b != 1) refuse();
      product.push_back(a == 1 ? b : a);
    }
  }
  static std::int64_t dim(const Shape& s, std::size_t axis, std::size_t rank) { return axis + s.rank() < rank ? 1 : s[axis + s.rank() - rank]; }
  /// The place in a tensor of shape `s` of element i of the product.
  std::int64_t place(const Shape& s, std::int64_t i) const {
    std::int64_t at = 0, stride = 1;
    for (std::size_t axis = product.rank(); axis-- > 0; i /= product[axis]) {
      const std::int64_t size = dim(s, axis, product.rank());
      if (size != 1) at += i % product[axis] * stride;
      stride *= size;
    }
    return at;
  }
};

/// A batch of a loss, in the arithmetic of T.
template <class T>
struct Work {
  std::vector<int> axes;
  base::Lines lines;
  Shape value_shape;
  std::vector<T> t, p;
  std::vector<bool> valid = {};              // of each value; empty where no class is ignored

  Work(const Loss& loss, const LossFunction& function, ConstTensorView y_true, ConstTensorView y_pred)
      : axes(normalized_axes(function, y_pred.shape)), lines(base::lines_along(y_pred.shape, axes)), value_shape(without(y_pred.shape, axes)) {
    matched_target(loss, is_sparse(function), y_true.shape, y_pred.shape, axes);
    t.resize(static_cast<std::size_t>(y_true.elements())), p.resize(static_cast<std::size_t>(y_pred.elements()));
    convert(y_true, {t.data(), y_true.shape});
    convert(y_pred, {p.data(), y_pred.shape});
    const auto* sparse = std::get_if<SparseCategoricalCrossentropy>(&function);
    if (sparse && sparse->ignore_class)
      for (const T label : t) valid.push_back(label != static_cast<T>(*sparse->ignore_class));
  }
  std::int64_t valid_count() const { return std::count(valid.begin(), valid.end(), true); }
  bool is_valid(std::size_t i) const { return valid.empty() || valid[i]; }

  /// Values of all lines; `g` like y_pred, or null.
  std::vector<double> values(const LossFunction& function, T* g) const {
    nn::LineLoss<T> line_loss;
    line_loss.hinge_labels_binary = std::all_of(t.begin(), t.end(), [](T x) { return x == 0 || x == 1; });
    std::vector<double> out(lines.starts.size());
    const bool sparse = is_sparse(function);
    std::visit([&](const auto& f) {
      for (std::size_t i = 0; i < out.size(); ++i) {
        if (!is_valid(i)) continue;          // value and gradient stay 0
        const std::int64_t at = lines.starts[i];
        out[i] = line_loss(f, {t.data() + (sparse ? static_cast<std::int64_t>(i) : at), p.data() + at, g ? g + at : nullptr, lines.steps});
      }
    }, function);
    return out;
  }

  double denominator(Reduction reduction, const Tensor* sample_weight) const {
    const Weighting weighting(value_shape, sample_weight);
    if (reduction == Reduction::sum || reduction == Reduction::none || weighting.product.rank() == 0) return 1;
    if (reduction != Reduction::mean_with_sample_weight || (!sample_weight && valid.empty()))
      return static_cast<double>(valid.empty() ? weighting.product.elements() : valid_count());
    if (valid.empty()) return sum_of(*sample_weight);
    double sum = 0;
    for (std::int64_t i = 0; i < weighting.product.elements(); ++i)
      if (is_valid(static_cast<std::size_t>(weighting.place(value_shape, i)))) sum += weight_at(weighting, sample_weight, i);
    return sum;
  }
  static double sum_of(const Tensor& weights) {
    double sum = 0;
    const Tensor w = weights.cast(DType::float64);
    for (const double x : w.span<double>()) sum += x;
    return sum;
  }
  static double weight_at(const Weighting& weighting, const Tensor* sample_weight, std::int64_t i) {
    if (!sample_weight) return 1;
    const std::int64_t at = weighting.place(weighting.weights, i);
    return sample_weight->dtype() == DType::float32 ? static_cast<double>(sample_weight->data<float>()[at]) : sample_weight->cast(DType::float64).template data<double>()[at];
  }
  /// What each value is multiplied by in the sum: its weights, over the denominator.
  std::vector<double> coefficients(const Tensor* sample_weight, double denominator) const {
    const Weighting weighting(value_shape, sample_weight);
    const double share = denominator == 0 ? 0 : 1 / denominator;         // Keras's divide_no_nan
    std::vector<double> out(lines.starts.size(), sample_weight ? 0 : share);
    Tensor wide = sample_weight ? sample_weight->cast(DType::float64) : Tensor();
    for (std::int64_t i = 0; sample_weight && i < weighting.product.elements(); ++i)
      out[static_cast<std::size_t>(weighting.place(value_shape, i))] += wide.data<double>()[weighting.place(weighting.weights, i)] * share;
    return out;
  }
};

/// f(Work<T>) with the arithmetic of y_pred: float64 in double, everything else in float.
template <class F>
auto in_arithmetic_of(ConstTensorView y_pred, const Loss& loss, const LossFunction& function, ConstTensorView y_true, F f) {
  if (y_pred.dtype == DType::float64) return f(Work<double>(loss, function, y_true, y_pred));
  return f(Work<float>(loss, function, y_true, y_pred));
}

}  // namespace

bool Loss::separable() const noexcept {
  const auto whole = [](const auto& o) {
    if constexpr (requires { o.axis->size(); }) return !o.axis || std::find(o.axis->begin(), o.axis->end(), 0) != o.axis->end();
    else return false;
  };
  return !std::visit(whole, function_);
}

double Loss::denominator(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) const {
  return in_arithmetic_of(y_pred, *this, function_, y_true, [&](const auto& work) { return work.denominator(reduction_, sample_weight); });
}

Loss::Evaluation Loss::evaluate(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight, double denominator, double scale) const {
  return in_arithmetic_of(y_pred, *this, function_, y_true, [&]<class T>(const Work<T>& work) {
    std::vector<T> g(work.p.size());
    const std::vector<double> values = work.values(function_, g.data());
    const std::vector<double> coefficients =
        work.coefficients(sample_weight, denominator != 0 ? denominator : work.denominator(reduction_, sample_weight));
    Evaluation e{0, Tensor::uninitialized(y_pred.shape, y_pred.dtype)};
    for (std::size_t i = 0; i < values.size(); ++i) {
      e.value += values[i] * coefficients[i];
      const T by = static_cast<T>(coefficients[i] * scale);
      for (const std::int64_t step : work.lines.steps) g[static_cast<std::size_t>(work.lines.starts[i] + step)] *= by;
    }
    convert({g.data(), y_pred.shape}, e.gradient);
    return e;
  });
}

double Loss::operator()(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) const {
  return evaluate(y_true, y_pred, sample_weight).value;
}

Tensor Loss::values(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) const {
  return in_arithmetic_of(y_pred, *this, function_, y_true, [&]<class T>(const Work<T>& work) {
    const std::vector<double> values = work.values(function_, nullptr);
    const Weighting weighting(work.value_shape, sample_weight);
    Tensor out = Tensor::uninitialized(weighting.product, dtype_of<T>);
    for (std::int64_t i = 0; i < out.elements(); ++i)
      out.data<T>()[i] = static_cast<T>(values[static_cast<std::size_t>(weighting.place(work.value_shape, i))] *
                                        work.weight_at(weighting, sample_weight, i));
    return out;
  });
}

}  // namespace upconv
