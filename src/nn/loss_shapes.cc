// SPDX-License-Identifier: Apache-2.0
#include "nn/loss_shapes.h"

#include <algorithm>
#include <numeric>

#include "base/element.h"
#include "base/text.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv::nn {

namespace {

Shape without_last(const Shape& shape) { return Shape(std::span(shape.begin(), shape.rank() - 1)); }

bool ends_in_one(const Shape& shape) { return shape.rank() > 0 && shape.back() == 1; }

int checked_axis(int axis, const Shape& shape) {
  const int rank = static_cast<int>(shape.rank());
  if (axis < -rank || axis >= rank)
    throw ArgumentError("axis", base::cat("axis ", axis, " is out of bounds for array of dimension ", rank, ". Received: y_pred.shape=", shape.str()));
  return axis < 0 ? axis + rank : axis;
}

bool takes_class_numbers(const LossFunction& function) {
  return std::holds_alternative<losses::SparseCategoricalCrossentropy>(function) ||
         std::holds_alternative<losses::CategoricalGeneralizedCrossEntropy>(function);
}

Shape without_axes(const Shape& shape, const std::vector<int>& axes) {
  Shape rest;
  for (std::size_t i = 0; i < shape.rank(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int>(i)) == axes.end()) rest.push_back(shape[i]);
  return rest;
}

void check_labels(LossShapes& s) {
  if (s.class_numbers) {
    const int axis = s.axes[0];
    if (s.y_true.rank() == s.y_pred.rank() && s.y_true[static_cast<std::size_t>(axis)] == 1) s.y_true = without_axes(s.y_true, s.axes);
    if (s.y_true != s.values)
      throw ArgumentError("y_true", base::cat("Arguments `target` and `output` must have the same shape up until the last dimension: target.shape=",
                                              s.y_true.str(), ", output.shape=", s.y_pred.str()));
  } else if (s.y_true != s.y_pred) {
    throw ArgumentError("y_true", base::cat("Arguments `target` and `output` must have the same shape. Received: target.shape=", s.y_true.str(),
                                            ", output.shape=", s.y_pred.str()));
  }
}

/// The shape that both broadcast to, aligned at the last axis. Throws ArgumentError.
Shape broadcast(const Shape& values, const Shape& weights) {
  const std::size_t rank = std::max(values.rank(), weights.rank());
  const auto size = [rank](const Shape& s, std::size_t axis) { return axis + s.rank() < rank ? 1 : s[axis + s.rank() - rank]; };
  Shape shape;
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const std::int64_t a = size(values, axis), b = size(weights, axis);
    if (a != b && a != 1 && b != 1)
      throw ArgumentError("sample_weight", base::cat("Incompatible shapes for broadcasting: shapes=[", values.str(), ", ", weights.str(),
                                                     "]. `sample_weight` must fit the losses before their reduction, whose shape is ", values.str()));
    shape.push_back(a == 1 ? b : a);
  }
  return shape;
}

/// f(i, place of element i of `shape` in a tensor that broadcasts to it).
template <class F>
void each_broadcast(const Shape& shape, const Shape& from, F f) {
  std::vector<std::int64_t> index(shape.rank(), 0), stride(shape.rank(), 0);
  std::int64_t step = 1, place = 0;
  for (std::size_t i = from.rank(); i-- > 0; step *= from[i])
    if (from[i] != 1) stride[i + shape.rank() - from.rank()] = step;
  const std::int64_t count = shape.elements();
  for (std::int64_t i = 0; i < count; ++i) {
    f(i, place);
    for (std::size_t axis = shape.rank(); axis-- > 0;) {
      place += stride[axis];
      if (++index[axis] < shape[axis]) break;
      place -= stride[axis] * shape[axis], index[axis] = 0;
    }
  }
}

/// Values and weights as they are multiplied.
struct Product {
  Shape values, weights, shape;
  Product(const Shape& of_values, const Shape& of_weights) : values(of_values), weights(of_weights) {
    if (weights.rank() == 1 && values.rank() > 1 && weights[0] == values[0])
      while (weights.rank() < values.rank()) weights.push_back(1);       // a weight a sample
    match_ranks(values, weights);
    shape = broadcast(values, weights);
  }
};

/// The place in `values` of each element of the product.
std::vector<std::int64_t> places(const Shape& shape, const Shape& from) {
  std::vector<std::int64_t> result(static_cast<std::size_t>(shape.elements()));
  each_broadcast(shape, from, [&](std::int64_t i, std::int64_t place) { result[static_cast<std::size_t>(i)] = place; });
  return result;
}

bool is_mean(Reduction reduction) { return reduction != Reduction::sum && reduction != Reduction::none; }

}  // namespace

std::optional<std::vector<int>> loss_axes(const LossFunction& function) {
  return std::visit(
      []<class F>(const F& f) -> std::optional<std::vector<int>> {
        if constexpr (requires { f.axis.has_value(); }) return f.axis;
        else if constexpr (requires { f.axis; }) return std::vector{f.axis};
        else return std::vector{-1};
      },
      function);
}

void match_ranks(Shape& a, Shape& b) {
  if (b.rank() == a.rank() + 1) return match_ranks(b, a);
  if (a.rank() != b.rank() + 1 || !ends_in_one(a)) return;
  if (b.rank() == 1) b.push_back(1);
  else a = without_last(a);
}

LossShapes match_shapes(const LossFunction& function, Shape y_true, Shape y_pred) {
  const bool class_numbers = takes_class_numbers(function);
  match_ranks(y_true, y_pred);
  if (y_pred.rank() == 0)
    throw ArgumentError("y_pred", base::cat("Arguments `target` and `output` must be at least rank 1. Received: target.shape=", y_true.str(),
                                            ", output.shape=", y_pred.str()));
  LossShapes s{y_true, y_pred, {}, class_numbers, {}};
  if (const auto axes = loss_axes(function)) {
    for (const int axis : *axes) s.axes.push_back(checked_axis(axis, y_pred));
  } else {
    s.axes.resize(y_pred.rank());
    std::iota(s.axes.begin(), s.axes.end(), 0);
  }
  s.values = without_axes(y_pred, s.axes);
  check_labels(s);
  if (s.values.rank() > 0)
    for (const int axis : s.axes)
      if (y_pred[static_cast<std::size_t>(axis)] == 0)
        throw ArgumentError("y_pred", base::cat("A loss needs elements along its axis. Received: axis=", axis, ", y_pred.shape=", y_pred.str()));
  return s;
}

template <class T>
LossContext loss_context(const LossFunction& function, const LossShapes& shapes, const T* y_true) {
  LossContext context{default_epsilon()};
  if (shapes.y_true.rank() > 0) context.classes = shapes.y_true.back();
  if (std::holds_alternative<losses::Hinge>(function) || std::holds_alternative<losses::SquaredHinge>(function))
    context.binary_labels = std::all_of(y_true, y_true + shapes.y_true.elements(), [](T t) { return t == 0 || t == 1; });
  return context;
}
template LossContext loss_context(const LossFunction&, const LossShapes&, const float*);
template LossContext loss_context(const LossFunction&, const LossShapes&, const double*);

LineWeights line_weights(const LossFunction& function, Reduction reduction, const LossShapes& shapes, ConstTensorView y_true,
                         const Tensor* sample_weight) {
  LineWeights result;
  const std::int64_t lines = shapes.values.elements();
  double valid = static_cast<double>(lines);
  const auto* sparse = std::get_if<losses::SparseCategoricalCrossentropy>(&function);
  if (sparse && sparse->ignore_class) {
    result.mask.resize(static_cast<std::size_t>(lines));
    for (std::int64_t i = 0; i < lines; ++i)
      if (base::read_element(y_true, i) == *sparse->ignore_class) result.mask[static_cast<std::size_t>(i)] = true, --valid;
  }
  // The divisor of the means: Keras divides a masked batch by its valid elements.
  double divisor = valid;
  Shape product = shapes.values;
  if (sample_weight) {
    const Product p(shapes.values, sample_weight->shape());
    product = p.shape;
    const double copies = lines == 0 ? 0 : static_cast<double>(product.elements()) / static_cast<double>(lines);
    const std::vector<std::int64_t> line_of = places(p.shape, p.values);
    result.weight.assign(static_cast<std::size_t>(lines), 0);
    divisor = reduction == Reduction::mean_with_sample_weight ? 0 : valid * copies;
    each_broadcast(p.shape, p.weights, [&](std::int64_t i, std::int64_t place) {
      const std::int64_t line = line_of[static_cast<std::size_t>(i)];
      const double w = base::read_element(*sample_weight, place);
      result.weight[static_cast<std::size_t>(line)] += w;
      if (reduction == Reduction::mean_with_sample_weight && !result.mask.empty() && !result.masked(line)) divisor += w;
    });
    if (reduction == Reduction::mean_with_sample_weight && result.mask.empty())
      for (std::int64_t i = 0; i < sample_weight->elements(); ++i) divisor += base::read_element(*sample_weight, i);
  }
  if (is_mean(reduction) && product.rank() > 0) result.denominator = divisor;
  return result;
}

Tensor weighted(Tensor values, const Tensor* sample_weight) {
  if (!sample_weight) return values;
  const Product p(values.shape(), sample_weight->shape());
  const std::vector<std::int64_t> place_of = places(p.shape, p.values);
  Tensor result(p.shape, values.dtype());
  each_broadcast(p.shape, p.weights, [&](std::int64_t i, std::int64_t place) {
    base::write_element(result, i, base::read_element(values, place_of[static_cast<std::size_t>(i)]) * base::read_element(*sample_weight, place));
  });
  return result;
}

}  // namespace upconv::nn
