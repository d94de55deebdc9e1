// SPDX-License-Identifier: Apache-2.0
// Element-wise activations on whole tensors of any dtype; half types are computed in float32 and rounded once. On one thread
// unless the options say otherwise.
#pragma once

#include "kernels/elementwise.h"
#include "upconv/conv_transpose.h"

namespace upconv::ops {

/// y = f(x); same shape and dtype.
void activate(const kernels::ActivationSpec& spec, ConstTensorView x, TensorView y, const ExecutionOptions& options = {.threads = 1});
/// dx = dy * f'(x).
void activate_gradient(const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy, TensorView dx,
                       const ExecutionOptions& options = {.threads = 1});

}  // namespace upconv::ops
