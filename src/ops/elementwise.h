// SPDX-License-Identifier: Apache-2.0
// Element-wise activations on whole tensors of any dtype; half types are computed in float32 and rounded once.
#pragma once

#include "kernels/elementwise.h"
#include "upconv/tensor.h"

namespace upconv::ops {

/// y = f(x); same shape and dtype.
void activate(const kernels::ActivationSpec& spec, ConstTensorView x, TensorView y);
/// dx = dy * f'(x).
void activate_gradient(const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy, TensorView dx);

}  // namespace upconv::ops
