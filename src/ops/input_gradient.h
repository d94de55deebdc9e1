// SPDX-License-Identifier: Apache-2.0
// The gradient with respect to the input, channels_last.
#pragma once

#include "ops/plan.h"

namespace upconv::ops {

/// dx[n,h,w,ci] = sum over taps of dy[n,oh,ow,co] * kernel[kh,kw,co,ci]. Sums in the canonical order of kernels/gemm.h.
template <class T>
void input_gradient(const Geometry& g, const T* dy, const T* kernel, T* dx, const Execution& execution);

}  // namespace upconv::ops
