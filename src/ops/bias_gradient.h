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

/// Bytes of a row of relu_bits().
inline std::int64_t relu_row_bytes(const Geometry& g) noexcept { return (g.x.o * g.co + 7) / 8; }
/// The same for relu, from the bits of its result's rows (kernels::positive_bits), [n * oh][relu_row_bytes].
template <class T>
void relu_bias_gradient(const Geometry& g, const std::uint8_t* bits, const T* dy, T* dsums, T* dbias, const Execution& execution);

}  // namespace upconv::ops
