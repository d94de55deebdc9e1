// SPDX-License-Identifier: Apache-2.0
// Gradients with respect to kernel and bias, channels_last. Sums run in a fixed order: the same bits for any threads.
#pragma once

#include "ops/plan.h"

namespace upconv::ops {

/// dkernel[kh,kw,co,ci] = sum over n,h,w of dy[n,oh,ow,co] * x[n,h,w,ci]; written as double.
/// Error of each element: at most 32 u * sum|dy||x| (chains of 256 products, then double).
template <class T>
void kernel_gradient(const Geometry& g, const T* x, const T* dy, double* dkernel, const Execution& execution);

/// dbias[co] = sum of dy over all pixels.
template <class T>
void bias_gradient(const Geometry& g, const T* dy, double* dbias, const Execution& execution);

}  // namespace upconv::ops
