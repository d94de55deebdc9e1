// SPDX-License-Identifier: Apache-2.0
// The three gradients for every dtype and data format.
#include "ops/bias_gradient.h"
#include "ops/elementwise.h"
#include "ops/input_gradient.h"
#include "ops/kernel_gradient.h"
#include "ops/parallel.h"
#include "ops/rows.h"
#include "ops/winograd_gradients.h"

namespace upconv::ops {

namespace {

/// Calls compute(T*) for `elements` results, which are rounded once to `dtype` if that is not T.
template <class T, class Compute>
void rounded(void* out, std::int64_t elements, DType dtype, const Compute& compute) {
  if (dtype == dtype_of<T>) return compute(static_cast<T*>(out));
  Tensor wide = Tensor::uninitialized({elements}, dtype_of<T>);
  compute(wide.data<T>());
  store_row<T>({dtype, DataFormat::channels_last, 1, 1, elements}, out, 0, 0, wide.data<T>());
}

template <class T>
void gradients(const Geometry& g, DType dtype, const void* x, const void* kernel, const void* dy, const GradientOutputs& out,
               const Execution& e) {
  const bool fast = e.math == Math::fast;
  if (out.kernel && !(fast && winograd_kernel_gradient(g, dtype, x, dy, static_cast<float*>(out.kernel), e)))
    rounded<T>(out.kernel, g.kernel_elements(), dtype, [&](T* dkernel) { kernel_gradient(g, dtype, x, dy, dkernel, e); });
  if (out.bias) rounded<T>(out.bias, g.co, dtype, [&](T* dbias) { bias_gradient(g, dtype, dy, dbias, e); });
  if (out.input && !(fast && winograd_input_gradient(g, dtype, dy, kernel, out.input, e)))
    input_gradient(g, dtype, dy, kernel, out.input, e);
}

}  // namespace

std::string gradient_algorithm(const Geometry& g, DType dtype, GradientOf gradient, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  const int points = gradient == GradientOf::input ? winograd_input_gradient_points(g, dtype, e.isa) : winograd_kernel_gradient_points(g, dtype, e.isa);
  return e.math == Math::fast && points > 0 ? "winograd" : "direct";
}

void conv_transpose_gradients(const Geometry& g, DType dtype, const void* x, const void* kernel, const void* dy,
                              const GradientOutputs& outputs, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  if (compute_dtype(dtype) == DType::float64) gradients<double>(g, dtype, x, kernel, dy, outputs, e);
  else gradients<float>(g, dtype, x, kernel, dy, outputs, e);
}

void activation_bias_gradient(const Geometry& g, const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy,
                              TensorView dsums, void* dbias, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  const bool last = g.data_format == DataFormat::channels_last;
  if (last && x.dtype == DType::float32)
    return activation_bias_gradient(g, spec, x.data<float>(), dy.data<float>(), dsums.data<float>(), static_cast<float*>(dbias), e);
  if (last && x.dtype == DType::float64)
    return activation_bias_gradient(g, spec, x.data<double>(), dy.data<double>(), dsums.data<double>(), static_cast<double*>(dbias), e);
  activate_gradient(spec, x, dy, dsums, options);
  if (dbias) conv_transpose_gradients(g, x.dtype, nullptr, nullptr, dsums.bytes, {nullptr, nullptr, dbias}, options);
}

std::int64_t relu_sample_bytes(const Geometry& g) noexcept { return g.y.o * relu_row_bytes(g); }

std::vector<std::uint8_t> relu_bits(const Geometry& g, ConstTensorView y, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  const std::int64_t rows = g.n * g.y.o, width = g.x.o * g.co, bytes = relu_row_bytes(g), parts = std::min<std::int64_t>(4 * e.threads, rows);
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(rows * bytes));
  parallel_for(*e.executor, threads_worth_waking(g, e.threads), parts, [&](std::int64_t part) {
    for (std::int64_t r = rows * part / parts; r < rows * (part + 1) / parts; ++r) {
      if (y.dtype == DType::float32) kernels::positive_bits(y.data<float>() + r * width, bits.data() + r * bytes, width, e.isa);
      else kernels::positive_bits(y.data<double>() + r * width, bits.data() + r * bytes, width, e.isa);
    }
  });
  return bits;
}

void relu_bias_gradient(const Geometry& g, const std::uint8_t* bits, ConstTensorView dy, TensorView dsums, void* dbias, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  if (dy.dtype == DType::float32) return relu_bias_gradient(g, bits, dy.data<float>(), dsums.data<float>(), static_cast<float*>(dbias), e);
  relu_bias_gradient(g, bits, dy.data<double>(), dsums.data<double>(), static_cast<double*>(dbias), e);
}

}  // namespace upconv::ops
