// SPDX-License-Identifier: Apache-2.0
// The gradient with respect to the bias. Sums run in a fixed order: the same bits for any number of threads.
#pragma once

#include "ops/plan.h"

namespace upconv::ops {

/// dbias[co] = sum of dy over all pixels, in double, rounded once. dy of `dtype`, in the geometry's data format; T is its
/// compute_dtype().
template <class T>
void bias_gradient(const Geometry& g, DType dtype, const void* dy, T* dbias, const Execution& execution);

/// The same of dsums = dy * f'(x), which is computed on the way, a row at a time. channels_last; dbias may be null.
template <class T>
void activation_bias_gradient(const Geometry& g, const kernels::ActivationSpec& spec, const T* x, const T* dy, T* dsums, T* dbias,
                              const Execution& execution);

}  // namespace upconv::ops
