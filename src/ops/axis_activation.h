// SPDX-License-Identifier: Apache-2.0
// Activations along axes: softmax, log_softmax, glu, sparsemax, forward and gradient. Any shape and dtype; sums and
// exponentials are double, the result is rounded once. Axes are normalised (0 <= axis < rank) and distinct.
#pragma once

#include <span>

#include "upconv/tensor.h"

namespace upconv::ops {

/// y = exp(x - max) / sum over the axes together; log_softmax: x - max - log(sum).
void softmax(ConstTensorView x, TensorView y, std::span<const int> axes);
void log_softmax(ConstTensorView x, TensorView y, std::span<const int> axes);
/// dx from y = softmax(x) and dy.
void softmax_gradient(ConstTensorView y, ConstTensorView dy, TensorView dx, std::span<const int> axes);
void log_softmax_gradient(ConstTensorView y, ConstTensorView dy, TensorView dx, std::span<const int> axes);

/// x split in halves a, b along the (even) axis: y = a * sigmoid(b), half as long there.
void glu(ConstTensorView x, TensorView y, int axis);
void glu_gradient(ConstTensorView x, ConstTensorView dy, TensorView dx, int axis);

/// y = max(x - threshold, 0), as Keras computes it: its threshold is (the sum of the support's RUNNING sums - 1) / size of
/// the support, where Martins and Astudillo, "From Softmax to Sparsemax", https://arxiv.org/abs/1602.02068, have the sum of
/// the support's elements. So lines of more than one supported element do not sum to 1.
void sparsemax(ConstTensorView x, TensorView y, int axis);
void sparsemax_gradient(ConstTensorView x, ConstTensorView dy, TensorView dx, int axis);

}  // namespace upconv::ops
