// SPDX-License-Identifier: Apache-2.0
// Sums of tensors, and the fixed tree in which the pieces of a batch are added.
#pragma once

#include <vector>

#include "upconv/conv_transpose.h"
#include "upconv/tensor.h"

namespace upconv::nn {

/// sum += term, each element rounded to the dtype once. An empty `sum` takes the term over.
void add_into(Tensor& sum, Tensor&& term);

/// to[i] += from[i], for equal shapes and dtypes.
void add_view_into(TensorView to, ConstTensorView from);

/// The sum of terms in a binary tree over their places: ((0 + 1) + (2 + 3)) + ... An empty term counts as zeros of the others'
/// shape, so a negative zero beside it becomes zero on one machine as on many. Terms come one by one and are added as soon as
/// the tree allows, so that of eight terms no more than four are held.
class TreeSum {
 public:
  explicit TreeSum(const ExecutionOptions& execution = {}) : execution_(execution) {}
  void add(Tensor term);
  /// Empty when all terms were.
  Tensor finish() &&;

 private:
  Tensor merged(std::size_t nodes, Tensor term);
  ExecutionOptions execution_;
  std::vector<Tensor> nodes_;                          // sums of whole subtrees, the largest first
  std::size_t count_ = 0;
};

Tensor tree_sum(std::vector<Tensor> terms, const ExecutionOptions& execution = {});
std::vector<double> tree_sum(std::vector<std::vector<double>> terms);

}  // namespace upconv::nn
