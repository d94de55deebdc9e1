// SPDX-License-Identifier: Apache-2.0
// The losses' numbers on lines: a line holds the elements that a loss joins to one value (the classes of a pixel, or
// everything for Dice over a whole batch).
#pragma once

#include <cstdint>

#include "upconv/loss.h"

namespace upconv::nn {

/// Some lines of a batch, one after another.
template <class T>
struct LossLines {
  std::int64_t lines, length;
  const T* y_true;                  // (lines, length); for losses of class numbers (lines)
  const T* y_pred;                  // (lines, length)
  T* values;                        // (lines): the loss of each line
  T* gradient = nullptr;            // (lines, length), or null: factor * weight[line] * d value / d y_pred
  double factor = 1;
  const double* weight = nullptr;   // (lines), or null: all are 1

  T coefficient(std::int64_t line) const { return static_cast<T>(weight ? factor * weight[line] : factor); }
};

/// What a loss needs to know beyond its lines.
struct LossContext {
  double epsilon;                   // Keras's fuzz factor
  bool binary_labels = false;       // Hinge and SquaredHinge: all labels of the batch are 0 or 1, and mean -1 and 1
  std::int64_t classes = 1;         // size of y_true's last axis, which label smoothing divides by
};

template <class T>
void evaluate_lines(const LossFunction& function, const LossContext& context, const LossLines<T>& lines);

}  // namespace upconv::nn
