// SPDX-License-Identifier: Apache-2.0
// The gradient with respect to the input.
#pragma once

#include "ops/plan.h"

namespace upconv::ops {

/// dx[n,h,w,ci] = sum over taps of dy[n,oh,ow,co] * kernel[kh,kw,co,ci], every product once, in the canonical order of
/// kernels/tiles.h: taps row-major, filters ascending. All of `dtype`, dy and dx in the geometry's data format.
void input_gradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution);

}  // namespace upconv::ops
