// SPDX-License-Identifier: Apache-2.0
// The gradient with respect to the kernel. Sums run in a fixed order: the same bits for any number of threads.
#pragma once

#include "ops/plan.h"

namespace upconv::ops {

/// dkernel[kh,kw,co,ci] = sum over n,h,w of dy[n,oh,ow,co] * x[n,h,w,ci], every product once. x and dy of `dtype`, in the
/// geometry's data format; T is its compute_dtype(). Chains of at most 256 additions, whose sums are added likewise: each
/// element's error is at most 32 u * sum|dy||x|. A product with a pixel outside dY is one with zero: x that is not finite
/// beside the border may reach taps that do not meet it.
template <class T>
void kernel_gradient(const Geometry& g, DType dtype, const void* x, const void* dy, T* dkernel, const Execution& execution);

}  // namespace upconv::ops
