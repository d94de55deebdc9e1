// SPDX-License-Identifier: Apache-2.0
// The kernel gradient is one GEMM a kernel row: M = kw * filters, N = input channels, K = pixels. Its result lies as the kernel
// does. dY is read through the pointers of ops/windows.h, where the taps of a kernel row lie side by side; x is packed once a
// chunk of pixels into panels, [panel][pixel][width].
//
// A task is kTaskRows rows of M. It goes through the chunk in chains of at most 256 pixels; of each it copies its part of dY, whose
// lines lie far apart, and passes all panels over all tiles, so that the copy, the panels and the sums stay in L2. Each chain's tile is
// added to the result; after kMostChains chains a new sum begins, and the finished one is added to the total: no sum of sums is longer.
// Tasks own their part of the result and chunks follow each other, so neither threads nor their number change a bit.
#include "ops/kernel_gradient.h"

#include <atomic>
#include <vector>

#include "kernels/outer.h"
#include "ops/parallel.h"
#include "ops/pixels.h"
#include "ops/windows.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kTaskRows = 48;                    // whole tiles of six and of eight rows: 48 KiB of dY a chain
// Of the packed x: half a megabyte stays in L2 through all tasks (128x128x64 -> 32 k2s2 1.27 x what 4 MB took).
constexpr std::int64_t kChunkElements = std::int64_t{1} << 17, kMostPixels = 8192, kTableElements = 65536;
constexpr std::int64_t kMostChains = 256;

struct Panel {
  std::int64_t first, columns;                            // of the input channels
  int vectors;
};

template <class T>
class KernelGradient {
 public:
  KernelGradient(const Geometry& g, DType dtype, const void* x, const void* dy, T* dkernel, const Execution& execution);
  void run();

 private:
  /// Rows of one GEMM that a task computes.
  struct Rows {
    std::int64_t tap, first, count;
  };

  void load(const Block& block);
  void pack_row(const Block& block, std::int64_t row, T* line) noexcept;
  void run_task(const Block& block, std::int64_t task, T* rows, T* sums, bool add) const noexcept;
  Rows rows_of(std::int64_t task) const noexcept {
    const std::int64_t parts = base::ceil_div(windows_.values, kTaskRows), first = task % parts * kTaskRows;
    return {task / parts, first, std::min(kTaskRows, windows_.values - first)};
  }
  void flush(bool add) noexcept;

  const Geometry& g_;
  Image x_image_;
  const void* x_;
  T* dkernel_;
  Execution e_;
  int threads_;
  const kernels::TileKernels<T>& tiles_;
  const kernels::OuterKernels<T>& kernels_;
  Blocking blocking_;
  Windows<T> windows_;
  typename Windows<T>::Scratch scratch_;
  std::vector<Panel> panels_;
  std::int64_t width_ = 0, tasks_ = 0;                    // width_: of all panels
  Tensor packed_, sums_, rows_;                           // rows_: of dY, a chain a thread
};

template <class T>
KernelGradient<T>::KernelGradient(const Geometry& g, DType dtype, const void* x, const void* dy, T* dkernel, const Execution& execution)
    : g_(g), x_image_{dtype, g.data_format, g.y.n, g.x.n, g.ci}, x_(x), dkernel_(dkernel), e_(execution),
      threads_(threads_worth_waking(g, e_.threads)),
      tiles_(kernels::tile_kernels<T>(e_.isa)), kernels_(kernels::outer_kernels<T>(e_.isa)),
      blocking_(Blocking::make(g.n, g.y.n, g.x.n,
                               std::clamp<std::int64_t>(std::min(kChunkElements / g.ci, kTableElements / (g.x.d == 1 ? g.y.k : g.y.k * g.x.k)),
                                                        kernels::longest_chain, kMostPixels))),
      windows_(g, dtype, dy, blocking_), scratch_(windows_.scratch()) {
  for (const int vectors : kernels::tile_panels(tiles_, tiles_.rows, g.ci, kernels::longest_chain).vectors) {
    const std::int64_t width = vectors * tiles_.lanes;
    panels_.push_back({width_, std::min(width, g.ci - width_), vectors});
    width_ += width;
  }
  tasks_ = windows_.taps * base::ceil_div(windows_.values, kTaskRows);
  packed_ = Tensor::uninitialized({blocking_.pixels() * width_}, dtype_of<T>);
}

/// Panels of x and pointers into dY for a block.
template <class T>
void KernelGradient<T>::load(const Block& b) {
  const std::int64_t height = b.y1 - b.y0, rows = (b.n1 - b.n0) * height, staged = windows_.staged_rows(b);
  const std::int64_t parts = std::min<std::int64_t>(4 * threads_, rows);
  parallel_for(*e_.executor, threads_, parts, [&](std::int64_t part) {
    std::vector<T> line(x_image_.direct(dtype_of<T>) ? 0 : static_cast<std::size_t>((b.x1 - b.x0) * g_.ci));
    for (std::int64_t row = rows * part / parts; row < rows * (part + 1) / parts; ++row) pack_row(b, row, line.data());
    windows_.stage(b, staged * part / parts, staged * (part + 1) / parts, scratch_);
  });
  windows_.fill_table(b, scratch_);
}

template <class T>
void KernelGradient<T>::pack_row(const Block& b, std::int64_t row, T* line) noexcept {
  const std::int64_t height = b.y1 - b.y0, columns = b.x1 - b.x0, n = b.n0 + row / height, i = b.y0 + row % height;
  const T* from = line;
  if (x_image_.direct(dtype_of<T>)) from = static_cast<const T*>(x_) + ((n * g_.y.n + i) * g_.x.n + b.x0) * g_.ci;
  else load_pixels<T>(x_image_, x_, n, i, b.x0, b.x1, line);
  T* const packed = packed_.data<T>();
  for (std::int64_t p = row * columns; p < (row + 1) * columns; ++p, from += g_.ci)
    for (const Panel& panel : panels_) {
      const std::int64_t width = panel.vectors * tiles_.lanes;
      T* to = packed + panel.first * b.pixels() + p * width;
      std::copy_n(from + panel.first, panel.columns, to);
      std::fill_n(to + panel.columns, width - panel.columns, T(0));
    }
}

template <class T>
void KernelGradient<T>::run() {
  const std::int64_t blocks = blocking_.count(), workers = std::min<std::int64_t>(tasks_, threads_);
  rows_ = Tensor::uninitialized({workers * kernels::longest_chain * kTaskRows}, dtype_of<T>);
  const std::int64_t chains = base::ceil_div(blocking_.pixels(), kernels::longest_chain);
  const std::int64_t blocks_a_sum = std::max<std::int64_t>(1, kMostChains / chains);
  if (blocks > blocks_a_sum) sums_ = Tensor::uninitialized({g_.kernel_elements()}, dtype_of<T>);
  T* const sums = blocks > blocks_a_sum ? sums_.data<T>() : dkernel_;
  for (std::int64_t i = 0; i < blocks; ++i) {
    const Block block = blocking_[i];
    load(block);
    std::atomic<std::int64_t> next{0};
    parallel_for(*e_.executor, threads_, workers, [&](std::int64_t worker) {
      T* const rows = rows_.data<T>() + worker * kernels::longest_chain * kTaskRows;
      for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks_;)
        run_task(block, task, rows, sums, i % blocks_a_sum != 0);
    });
    if (sums != dkernel_ && ((i + 1) % blocks_a_sum == 0 || i + 1 == blocks)) flush(i >= blocks_a_sum);
  }
}

/// Adds the sums to the result.
template <class T>
void KernelGradient<T>::flush(bool add) noexcept {
  const T* sums = static_cast<const T*>(std::as_const(sums_).bytes());
  for (std::int64_t i = 0; i < g_.kernel_elements(); ++i) dkernel_[i] = add ? dkernel_[i] + sums[i] : sums[i];
}

/// A task's part of the result over a block; `rows` is memory for a chain of dY. Tiles bring in what the next chain, of this task or
/// of the one after it, will copy.
template <class T>
void KernelGradient<T>::run_task(const Block& b, std::int64_t task, T* rows, T* sums, bool add) const noexcept {
  constexpr std::int64_t kLine = 64 / sizeof(T);
  const std::int64_t pixels = b.pixels(), chains = base::ceil_div(pixels, kernels::longest_chain);
  const auto start = [&](std::int64_t i) {              // no chain is longer than the next: no pointer is read beyond the table
    return i * (pixels / chains) + std::max<std::int64_t>(0, i - chains + pixels % chains);
  };
  const Rows mine = rows_of(task), after = rows_of(std::min(task + 1, tasks_ - 1));
  T* to = sums + (mine.tap * windows_.values + mine.first) * g_.ci;
  for (std::int64_t i = 0; i < chains; ++i) {
    const std::int64_t p = start(i), count = start(i + 1) - p;
    const T* const* pointers = scratch_.table.data() + mine.tap * pixels + p;
    kernels_.gather(pointers, mine.first, count, mine.count, rows, kTaskRows);
    const Rows& next = i + 1 < chains ? mine : after;
    const T* const* fetch = i + 1 < chains ? pointers + count : scratch_.table.data() + next.tap * pixels;
    std::int64_t fetched = 0;
    for (const Panel& panel : panels_) {
      const std::int64_t width = panel.vectors * tiles_.lanes, tiles = base::ceil_div(mine.count, std::int64_t{tiles_.rows[panel.vectors]});
      for (std::int64_t t = 0; t < tiles; ++t, fetched += kLine) {
        const std::int64_t m = mine.count * t / tiles, m_end = mine.count * (t + 1) / tiles;
        kernels_.run[panel.vectors][m_end - m](
            {.a = rows + m, .a_step = kTaskRows, .b = static_cast<const T*>(packed_.bytes()) + panel.first * pixels + p * width,
             .count = count, .c = to + m * g_.ci + panel.first, .ld = g_.ci, .columns = panel.columns, .add = add || i > 0,
             .fetch = fetched < next.count ? fetch : nullptr, .fetch_offset = next.first + fetched});
      }
    }
  }
}

}  // namespace

template <class T>
void kernel_gradient(const Geometry& g, DType dtype, const void* x, const void* dy, T* dkernel, const Execution& execution) {
  if (g.input_elements() == 0 || g.output_elements() == 0) std::fill_n(dkernel, g.kernel_elements(), T(0));
  else KernelGradient<T>(g, dtype, x, dy, dkernel, execution).run();
}

template void kernel_gradient(const Geometry&, DType, const void*, const void*, float*, const Execution&);
template void kernel_gradient(const Geometry&, DType, const void*, const void*, double*, const Execution&);

}  // namespace upconv::ops
