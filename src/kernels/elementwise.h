// SPDX-License-Identifier: Apache-2.0
// Element-wise activations on raw spans, vectorised on Highway for every target, forward and gradient.
// Formulas and derivatives at kinks are Keras's on the JAX backend (docs/keras_parity.md). float32 and float64; the half
// types are converted, computed in float32 and rounded once by ops/elementwise.
#pragma once

#include <cmath>
#include <cstdint>

namespace upconv::kernels {

/// The element-wise functions; names are Keras's. leaky_relu is its own entry because its kink differs from relu's.
enum class Activation : std::uint8_t {
  linear, relu, leaky_relu, relu6, elu, selu, celu, gelu, gelu_tanh, silu, hard_silu, mish, sigmoid, hard_sigmoid,
  hard_sigmoid_keras2, log_sigmoid, sparse_sigmoid, softplus, sparse_plus, softsign, squareplus, tanh, exponential,
  tanh_shrink, hard_tanh, soft_shrink, hard_shrink, threshold,
};

/// A function with its parameters. Meaning of a, b, c by function (unused ones are 0):
///   relu: a = negative_slope, b = max_value (infinity: none), c = threshold;   leaky_relu: a = negative_slope;
///   elu, celu: a = alpha;   squareplus: a = b;   soft_shrink, hard_shrink: a = threshold;
///   threshold: a = threshold, b = default_value.
struct ActivationSpec {
  Activation function = Activation::linear;
  double a = 0, b = 0, c = 0;

  bool is_linear() const noexcept { return function == Activation::linear; }
  /// max(x, 0) and nothing else, which the tiles' epilogues do.
  bool is_relu() const noexcept { return function == Activation::relu && a == 0 && std::isinf(b) && c == 0; }
};

/// y[i] = f(x[i]); x may equal y. `isa`: an index into isas(). Any alignment, any count; no allocation.
void activate(const ActivationSpec& spec, const float* x, float* y, std::int64_t count, int isa) noexcept;
void activate(const ActivationSpec& spec, const double* x, double* y, std::int64_t count, int isa) noexcept;

/// dx[i] = dy[i] * f'(x[i]); dx may equal dy.
void activate_gradient(const ActivationSpec& spec, const float* x, const float* dy, float* dx, std::int64_t count,
                       int isa) noexcept;
void activate_gradient(const ActivationSpec& spec, const double* x, const double* dy, double* dx, std::int64_t count,
                       int isa) noexcept;

/// What relu's gradient needs of its result, in a bit an element: bit i % 8 of bits[i / 8] says y[i] > 0. (count + 7) / 8 bytes.
void positive_bits(const float* y, std::uint8_t* bits, std::int64_t count, int isa) noexcept;
void positive_bits(const double* y, std::uint8_t* bits, std::int64_t count, int isa) noexcept;

/// dx[i] = dy[i] where bit i is set, else 0; dx may equal dy.
void where_positive(const std::uint8_t* bits, const float* dy, float* dx, std::int64_t count, int isa) noexcept;
void where_positive(const std::uint8_t* bits, const double* dy, double* dx, std::int64_t count, int isa) noexcept;

}  // namespace upconv::kernels
