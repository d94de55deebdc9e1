// SPDX-License-Identifier: Apache-2.0
#include "ops/bias_gradient.h"

#include <algorithm>
#include <vector>

#include "kernels/sums.h"
#include "ops/parallel.h"
#include "ops/pixels.h"

namespace upconv::ops {

namespace {

/// dbias = the sums of all rows of dY; row(index, line) returns a row, for which it may use `line`. A row is summed alone, and
/// rows one after the other. A null dbias asks for the rows only.
template <class T, class Row>
void sum_rows(const Geometry& g, std::int64_t line_elements, T* dbias, const Execution& e, const Row& row) {
  const std::int64_t rows = g.n * g.y.o;
  const int threads = static_cast<double>(g.output_elements()) < kThreadingThreshold ? 1 : e.threads;
  const std::int64_t parts = std::min<std::int64_t>(4 * threads, rows);
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  std::vector<double> sums(dbias ? at(rows * g.co) : 0, 0.0);
  std::vector<T> lines(at(parts * line_elements));
  parallel_for(*e.executor, threads, parts, [&](std::int64_t part) {
    for (std::int64_t r = rows * part / parts; r < rows * (part + 1) / parts; ++r) {
      const T* pixel = row(r, lines.data() + part * line_elements);
      if (dbias) kernels::add_rows(pixel, g.x.o, g.co, sums.data() + r * g.co, e.isa);
    }
  });
  if (!dbias) return;
  for (std::int64_t r = 1; r < rows; ++r)
    for (std::int64_t f = 0; f < g.co; ++f) sums[at(f)] += sums[at(r * g.co + f)];
  for (std::int64_t f = 0; f < g.co; ++f) dbias[f] = rows > 0 ? static_cast<T>(sums[at(f)]) : T(0);
}

}  // namespace

template <class T>
void bias_gradient(const Geometry& g, DType dtype, const void* dy, T* dbias, const Execution& execution) {
  const Image image{dtype, g.data_format, g.y.o, g.x.o, g.co};
  const std::int64_t width = g.x.o * g.co;
  if (image.direct(dtype_of<T>))
    return sum_rows(g, 0, dbias, execution, [&](std::int64_t r, T*) { return static_cast<const T*>(dy) + r * width; });
  sum_rows(g, width, dbias, execution, [&](std::int64_t r, T* line) {
    load_pixels<T>(image, dy, r / g.y.o, r % g.y.o, 0, g.x.o, line);
    return static_cast<const T*>(line);
  });
}

template <class T>
void activation_bias_gradient(const Geometry& g, const kernels::ActivationSpec& spec, const T* x, const T* dy, T* dsums, T* dbias,
                              const Execution& execution) {
  const std::int64_t width = g.x.o * g.co;
  sum_rows(g, 0, dbias, execution, [&](std::int64_t r, T*) {
    kernels::activate_gradient(spec, x + r * width, dy + r * width, dsums + r * width, width, execution.isa);
    return static_cast<const T*>(dsums + r * width);
  });
}

template <class T>
void relu_bias_gradient(const Geometry& g, const std::uint8_t* bits, const T* dy, T* dsums, T* dbias, const Execution& execution) {
  const std::int64_t width = g.x.o * g.co, bytes = relu_row_bytes(g);
  sum_rows(g, 0, dbias, execution, [&](std::int64_t r, T*) {
    kernels::where_positive(bits + r * bytes, dy + r * width, dsums + r * width, width, execution.isa);
    return static_cast<const T*>(dsums + r * width);
  });
}

template void bias_gradient(const Geometry&, DType, const void*, float*, const Execution&);
template void bias_gradient(const Geometry&, DType, const void*, double*, const Execution&);
template void activation_bias_gradient(const Geometry&, const kernels::ActivationSpec&, const float*, const float*, float*, float*, const Execution&);
template void activation_bias_gradient(const Geometry&, const kernels::ActivationSpec&, const double*, const double*, double*, double*,
                                       const Execution&);
template void relu_bias_gradient(const Geometry&, const std::uint8_t*, const float*, float*, float*, const Execution&);
template void relu_bias_gradient(const Geometry&, const std::uint8_t*, const double*, double*, double*, const Execution&);

}  // namespace upconv::ops
