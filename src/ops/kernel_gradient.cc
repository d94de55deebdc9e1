// SPDX-License-Identifier: Apache-2.0
// The kernel gradient is one GEMM a tap: M = filters, N = input channels, K = the pixels whose product under this tap falls
// inside the output. x is packed once a chunk of image rows into panels of two vectors, [panel][pixel][width]; dy is read
// where it lies, because moving to another tap only moves its first pixel. The chunk (about kChunkPixels pixels) keeps the
// panels and its rows of dy in L2 while all taps and filters pass over them. Partial sums of a chunk are added in double,
// chunk after chunk in order, so neither threads nor their number change a bit.
#include "ops/kernel_gradient.h"

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "kernels/outer.h"
#include "ops/parallel.h"
#include "upconv/tensor.h"

namespace upconv::ops {

namespace {

// 1024 pixels: 384 lose 1 and 120 lose 8 points of the FMA peak on 32x24x256 -> 256 k4s2; more leave L2.
constexpr std::int64_t kChunkPixels = 1024;

/// Input positions of one axis whose product with tap `j` falls inside the output: [first, last).
struct Range {
  std::int64_t first, last;
};
Range inside(const Axis& axis, std::int64_t j) {
  const std::int64_t shift = j * axis.d - axis.crop;          // o = i*s + shift, 0 <= o < O
  const std::int64_t first = shift >= 0 ? 0 : base::ceil_div(-shift, axis.s);
  const std::int64_t last = axis.o - shift <= 0 ? 0 : std::min(axis.n, base::ceil_div(axis.o - shift, axis.s));
  return {first, std::max(first, last)};
}

/// Some rows of one image, and their packed panels.
struct Chunk {
  std::int64_t image, first_row, rows;
};

template <class T>
void pack_panel(const Geometry& g, const Chunk& chunk, const T* x, std::int64_t panel, std::int64_t width, T* packed) {
  const std::int64_t pixels = chunk.rows * g.x.n;
  const std::int64_t used = std::min(width, g.ci - panel * width);
  const T* from = x + (chunk.image * g.y.n + chunk.first_row) * g.x.n * g.ci + panel * width;
  T* to = packed + panel * pixels * width;
  for (std::int64_t p = 0; p < pixels; ++p, from += g.ci, to += width) {
    std::copy_n(from, used, to);
    std::fill_n(to + used, width - used, T(0));
  }
}

/// All panels and filters of one tap over one chunk, added to dkernel.
template <class T>
void add_tap(const Geometry& g, const Chunk& chunk, const T* packed, const T* dy, std::int64_t tap, std::int64_t first_filter,
             std::int64_t filters, std::int64_t width, int isa, double* dkernel) {
  const std::int64_t a = tap / g.x.k, b = tap % g.x.k;
  Range rows = inside(g.y, a);
  rows.first = std::max(rows.first, chunk.first_row);
  rows.last = std::min(rows.last, chunk.first_row + chunk.rows);
  const Range columns = inside(g.x, b);
  if (rows.first >= rows.last || columns.first >= columns.last) return;
  const std::int64_t oh = rows.first * g.y.s + a * g.y.d - g.y.crop, ow = columns.first * g.x.s + b * g.x.d - g.x.crop;
  const T* first_dy = dy + ((chunk.image * g.y.o + oh) * g.x.o + ow) * g.co;
  const std::int64_t pixels = chunk.rows * g.x.n;
  const std::int64_t first_pixel = (rows.first - chunk.first_row) * g.x.n + columns.first;
  for (std::int64_t panel = 0; panel * width < g.ci; ++panel)
    for (std::int64_t f = first_filter; f < first_filter + filters; f += kernels::outer_tile_rows) {
      const std::int64_t tile_rows = std::min(kernels::outer_tile_rows, first_filter + filters - f);
      const kernels::OuterRectangle<T> rectangle{
          .a = first_dy + f, .b = packed + (panel * pixels + first_pixel) * width,
          .rows = rows.last - rows.first, .columns = columns.last - columns.first,
          .a_row = g.y.s * g.x.o * g.co, .a_col = g.x.s * g.co, .b_row = g.x.n};
      kernels::outer_accumulate(rectangle, tile_rows, std::min(width, g.ci - panel * width),
                                dkernel + (tap * g.co + f) * g.ci + panel * width, g.ci, isa);
    }
}

}  // namespace

template <class T>
void kernel_gradient(const Geometry& g, const T* x, const T* dy, double* dkernel, const Execution& execution) {
  std::fill_n(dkernel, g.kernel_elements(), 0.0);
  if (g.input_elements() == 0 || g.output_elements() == 0) return;
  const std::int64_t width = kernels::outer_panel_width(execution.isa, sizeof(T));
  const std::int64_t panels = base::ceil_div(g.ci, width);
  const std::int64_t chunk_rows = std::clamp<std::int64_t>(kChunkPixels / std::max<std::int64_t>(1, g.x.n), 1, g.y.n);
  Tensor packed = Tensor::uninitialized({panels * chunk_rows * g.x.n * width}, dtype_of<T>);
  // Filters in groups of whole tiles, so that one tap of a 1x1 kernel still feeds every thread.
  const std::int64_t group = base::round_up(std::max<std::int64_t>(1, g.co / 8), kernels::outer_tile_rows);
  const std::int64_t groups = base::ceil_div(g.co, group), taps = g.y.k * g.x.k;
  for (std::int64_t image = 0; image < g.n; ++image)
    for (std::int64_t row = 0; row < g.y.n; row += chunk_rows) {
      const Chunk chunk{image, row, std::min(chunk_rows, g.y.n - row)};
      T* panel_data = packed.data<T>();
      parallel_for(*execution.executor, execution.threads, panels,
                   [&](std::int64_t panel) { pack_panel(g, chunk, x, panel, width, panel_data); });
      parallel_for(*execution.executor, execution.threads, taps * groups, [&](std::int64_t task) {
        const std::int64_t first = task % groups * group;
        add_tap(g, chunk, panel_data, dy, task / groups, first, std::min(group, g.co - first), width, execution.isa, dkernel);
      });
    }
}

template <class T>
void bias_gradient(const Geometry& g, const T* dy, double* dbias, const Execution& execution) {
  const std::int64_t pixels = g.n * g.y.o * g.x.o;
  const std::int64_t blocks = std::max<std::int64_t>(1, base::ceil_div(pixels, kChunkPixels));
  std::vector<double> partial(static_cast<std::size_t>(blocks * g.co), 0.0);
  parallel_for(*execution.executor, execution.threads, blocks, [&](std::int64_t block) {
    double* sum = partial.data() + block * g.co;
    const std::int64_t last = std::min(pixels, (block + 1) * kChunkPixels);
    for (std::int64_t p = block * kChunkPixels; p < last; ++p)
      for (std::int64_t o = 0; o < g.co; ++o) sum[o] += static_cast<double>(dy[p * g.co + o]);
  });
  std::fill_n(dbias, g.co, 0.0);
  for (std::int64_t block = 0; block < blocks; ++block)
    for (std::int64_t o = 0; o < g.co; ++o) dbias[o] += partial[static_cast<std::size_t>(block * g.co + o)];
}

template void kernel_gradient(const Geometry&, const float*, const float*, double*, const Execution&);
template void kernel_gradient(const Geometry&, const double*, const double*, double*, const Execution&);
template void bias_gradient(const Geometry&, const float*, double*, const Execution&);
template void bias_gradient(const Geometry&, const double*, double*, const Execution&);

}  // namespace upconv::ops
