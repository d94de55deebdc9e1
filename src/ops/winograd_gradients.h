// SPDX-License-Identifier: Apache-2.0
// The fast gradients: winograd on dY in blocks of s x s pixels (ops/winograd_tiles.h).
#pragma once

#include "ops/plan.h"

namespace upconv::ops {

/// The most points an axis that winograd takes; 0 where it does not apply or does not pay. With four small integers stay exact.
int winograd_input_gradient_points(const Geometry& g, DType dtype, int isa);
int winograd_kernel_gradient_points(const Geometry& g, DType dtype, int isa);

/// Both return false where winograd does not apply, does not pay, or met a value that is not finite; the result is then to be
/// computed exactly. Otherwise |error| <= 32 u * B, B being the sum that bounds winograd's error in Math::fast.
bool winograd_input_gradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution);
bool winograd_kernel_gradient(const Geometry& g, DType dtype, const void* x, const void* dy, float* dkernel, const Execution& execution);

}  // namespace upconv::ops
