// SPDX-License-Identifier: Apache-2.0
// How labels, predictions and sample weights of a loss fit together, and what the reduction divides by.
#pragma once

#include <vector>

#include "nn/loss_functions.h"
#include "upconv/loss.h"

namespace upconv::nn {

struct LossShapes {
  Shape y_true, y_pred;             // after Keras's squeezing or expanding by a last axis of 1
  std::vector<int> axes;            // of y_pred that make a line
  bool class_numbers;               // y_true holds one number a line
  Shape values;                     // y_pred without the axes
};

/// The axes that a loss reduces, as given (negative ones count from the end); all axes: nothing.
std::optional<std::vector<int>> loss_axes(const LossFunction& function);

/// Keras's squeeze_or_expand_to_same_rank.
void match_ranks(Shape& a, Shape& b);

/// Throws ArgumentError when the shapes do not fit.
LossShapes match_shapes(const LossFunction& function, Shape y_true, Shape y_pred);

template <class T>
LossContext loss_context(const LossFunction& function, const LossShapes& shapes, const T* y_true);

struct LineWeights {
  std::vector<double> weight = {};  // of each line; none: all are 1
  std::vector<bool> mask = {};      // lines of an ignored class; none: no line
  double denominator = 1;

  double of(std::int64_t line) const { return weight.empty() ? 1 : weight[static_cast<std::size_t>(line)]; }
  bool masked(std::int64_t line) const { return !mask.empty() && mask[static_cast<std::size_t>(line)]; }
};

/// `y_true`: float32 or float64. Throws ArgumentError where the sample weights do not broadcast.
LineWeights line_weights(const LossFunction& function, Reduction reduction, const LossShapes& shapes, ConstTensorView y_true,
                         const Tensor* sample_weight);

/// values * sample_weight, broadcast; the values of masked lines are 0 already.
Tensor weighted(Tensor values, const Tensor* sample_weight);

}  // namespace upconv::nn
