// SPDX-License-Identifier: Apache-2.0
// The three gradients for every dtype and data format: tensors that are not channels_last float32 or float64 are brought
// into that form first (the half types are exact in float32), and results are rounded once on the way back.
#include <vector>

#include "base/element.h"
#include "ops/input_gradient.h"
#include "ops/kernel_gradient.h"
#include "ops/parallel.h"
#include "ops/rows.h"

namespace upconv::ops {

namespace {

/// A tensor as channels_last T: the caller's memory where it already is that, else a converted copy.
template <class T>
class Operand {
 public:
  Operand(const Image& image, std::int64_t n, const void* tensor, const Execution& e) {
    if (image.direct(dtype_of<T>)) {
      data_ = static_cast<const T*>(tensor);
      return;
    }
    copy_ = Tensor::uninitialized({n * image.h * image.w * image.c}, dtype_of<T>);
    T* to = copy_.data<T>();
    parallel_for(*e.executor, e.threads, n * image.h, [&](std::int64_t row) {
      load_row<T>(image, tensor, row / image.h, row % image.h, to + row * image.w * image.c);
    });
    data_ = to;
  }
  const T* data() const noexcept { return data_; }

 private:
  Tensor copy_;
  const T* data_ = nullptr;
};

template <class T>
void gradients(const Geometry& g, DType dtype, const void* x, const void* kernel, const void* dy, const GradientOutputs& out,
               const Execution& e) {
  const Image in{dtype, g.data_format, g.y.n, g.x.n, g.ci}, result{dtype, g.data_format, g.y.o, g.x.o, g.co};
  const Image flat_kernel{dtype, DataFormat::channels_last, 1, 1, g.kernel_elements()};
  const Operand<T> last_dy(result, g.n, dy, e);
  if (out.kernel) {
    const Operand<T> last_x(in, g.n, x, e);
    std::vector<double> dkernel(static_cast<std::size_t>(g.kernel_elements()));
    kernel_gradient(g, last_x.data(), last_dy.data(), dkernel.data(), e);
    for (std::int64_t i = 0; i < g.kernel_elements(); ++i)
      base::write_element({out.kernel, {g.kernel_elements()}, dtype}, i, dkernel[static_cast<std::size_t>(i)]);
  }
  if (out.bias) {
    std::vector<double> dbias(static_cast<std::size_t>(g.co));
    bias_gradient(g, last_dy.data(), dbias.data(), e);
    for (std::int64_t i = 0; i < g.co; ++i) base::write_element({out.bias, {g.co}, dtype}, i, dbias[static_cast<std::size_t>(i)]);
  }
  if (!out.input) return;
  const Operand<T> wide_kernel(flat_kernel, 1, kernel, e);
  if (in.direct(dtype_of<T>)) return input_gradient(g, last_dy.data(), wide_kernel.data(), static_cast<T*>(out.input), e);
  Tensor dx = Tensor::uninitialized({g.input_elements()}, dtype_of<T>);
  input_gradient(g, last_dy.data(), wide_kernel.data(), dx.data<T>(), e);
  const T* rows = dx.data<T>();
  parallel_for(*e.executor, e.threads, g.n * g.y.n, [&](std::int64_t row) {
    store_row<T>(in, out.input, row / g.y.n, row % g.y.n, rows + row * g.x.n * g.ci);
  });
}

}  // namespace

void conv_transpose_gradients(const Geometry& g, DType dtype, const void* x, const void* kernel, const void* dy,
                              const GradientOutputs& outputs, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  if (compute_dtype(dtype) == DType::float64) gradients<double>(g, dtype, x, kernel, dy, outputs, e);
  else gradients<float>(g, dtype, x, kernel, dy, outputs, e);
}

}  // namespace upconv::ops
