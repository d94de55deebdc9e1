// SPDX-License-Identifier: Apache-2.0
// The three gradients for every dtype and data format. For those of kernel and bias, tensors that are not channels_last
// float32 or float64 are brought into that form first (the half types are exact in float32); results are rounded once.
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
void weight_gradients(const Geometry& g, DType dtype, const void* x, const void* dy, const GradientOutputs& out, const Execution& e) {
  const Operand<T> last_dy({dtype, g.data_format, g.y.o, g.x.o, g.co}, g.n, dy, e);
  if (out.kernel) {
    const Operand<T> last_x({dtype, g.data_format, g.y.n, g.x.n, g.ci}, g.n, x, e);
    std::vector<double> dkernel(static_cast<std::size_t>(g.kernel_elements()));
    kernel_gradient(g, last_x.data(), last_dy.data(), dkernel.data(), e);
    for (std::int64_t i = 0; i < g.kernel_elements(); ++i)
      base::write_element({out.kernel, {g.kernel_elements()}, dtype}, i, dkernel[static_cast<std::size_t>(i)]);
  }
  if (!out.bias) return;
  std::vector<double> dbias(static_cast<std::size_t>(g.co));
  bias_gradient(g, last_dy.data(), dbias.data(), e);
  for (std::int64_t i = 0; i < g.co; ++i) base::write_element({out.bias, {g.co}, dtype}, i, dbias[static_cast<std::size_t>(i)]);
}

}  // namespace

void conv_transpose_gradients(const Geometry& g, DType dtype, const void* x, const void* kernel, const void* dy,
                              const GradientOutputs& outputs, const ExecutionOptions& options) {
  const Execution e = resolve(options);
  if (outputs.kernel || outputs.bias) {
    if (compute_dtype(dtype) == DType::float64) weight_gradients<double>(g, dtype, x, dy, outputs, e);
    else weight_gradients<float>(g, dtype, x, dy, outputs, e);
  }
  if (outputs.input) input_gradient(g, dtype, dy, kernel, outputs.input, e);
}

}  // namespace upconv::ops
