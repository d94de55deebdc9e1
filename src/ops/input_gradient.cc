// SPDX-License-Identifier: Apache-2.0
// dX is a strided convolution of dY: one GEMM without phases or waste, rows = input pixels, columns = input channels, depth
// = taps x filters, in which the kernel (kh,kw,co,ci) already lies and is only cut into panels.
//
// The taps of one kernel row read kw * co contiguous values of dY (unless the taps are dilated), so a row pointer stands for
// a whole kernel row and few filters cost no more than many. A window that the border of dY cuts is copied beside zeros; one
// outside points at zeros. Kernel rows above or below dY are skipped where tiles stay inside image rows. All this depends on
// one sample's geometry only: neither threads nor batch change a bit.
#include "ops/input_gradient.h"

#include <atomic>
#include <vector>

#include "kernels/tiles.h"
#include "ops/blocks.h"
#include "ops/pack.h"
#include "ops/parallel.h"
#include "ops/pixels.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlockElements = 65536;            // of dY under a block: fits L2 beside a panel
constexpr std::int64_t kMostPixels = 1024;
constexpr std::int64_t kTableBytes = 96 << 10;
constexpr std::int64_t kStreamedBytes = 4 << 20;          // so large a kernel is read once, for all pixels

struct Panel {
  std::int64_t first, columns, packed;                    // columns of the GEMM; element offset in the packed kernel
  int vectors;
};

template <class T>
class InputGradient {
 public:
  InputGradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution);
  void run();

 private:
  /// A thread's scratch.
  struct Slot {
    std::vector<T> staged, cut;
    Tensor panel;                                         // packed here where the kernel is not packed whole
    std::vector<const T*> table;                          // [tap][pixel]
    std::vector<Place> places;
  };
  /// dY as the tiles read it: pixel (n, i, j) at base + n*image + i*row + j*column.
  struct View {
    const T* base;
    std::int64_t image, row, column;
  };

  void pack(const Panel& panel, T* packed) const noexcept;
  void run_block(const Block& block, std::size_t first_panel, std::size_t last_panel, Slot& slot) const noexcept;
  View view(const Block& block, Slot& slot) const noexcept;
  void fill_table(const Block& block, const View& in, Slot& slot) const noexcept;
  T* cut_window(const View& in, const T* row, std::int64_t column, T* to) const noexcept;
  void fill_places(const Block& block, Slot& slot) const noexcept;
  void run_panel(const Block& block, const Panel& panel, const T* packed, const Slot& slot) const noexcept;
  void run_tile(const Panel& panel, kernels::TileTask<T>& task, const Place* places, std::int64_t count) const noexcept;
  std::int64_t dy_row(std::int64_t i, std::int64_t a) const noexcept { return i * g_.y.s + a * g_.y.d - g_.y.crop; }
  std::int64_t cut_elements() const noexcept {
    return taps_ * channels_ * blocking_.images * blocking_.rows * std::min(blocking_.columns, 2 * base::ceil_div(run_, g_.x.s));
  }

  const Geometry& g_;
  Image dy_image_, dx_image_;
  const void *dy_, *kernel_;
  void* dx_;
  Execution e_;
  const kernels::TileKernels<T>& kernels_;
  std::int64_t run_, taps_, channels_;                    // taps side by side in dY; pointers a pixel; values under a pointer
  std::vector<kernels::TileStep> steps_;
  std::vector<Panel> panels_;
  std::int64_t packed_elements_ = 0, stage_rows_ = 0, stage_columns_ = 0;
  Blocking blocking_;
  bool by_rows_;
  std::vector<T> zeros_;
  Tensor packed_;
};

template <class T>
InputGradient<T>::InputGradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution)
    : g_(g), dy_image_{dtype, g.data_format, g.y.o, g.x.o, g.co}, dx_image_{dtype, g.data_format, g.y.n, g.x.n, g.ci},
      dy_(dy), kernel_(kernel), dx_(dx), e_(execution), kernels_(kernels::tile_kernels<T>(e_.isa)), run_(g.x.d == 1 ? g.x.k : 1),
      taps_(g.y.k * g.x.k / run_), channels_(run_ * g.co), steps_(kernels::tile_steps(taps_, channels_)),
      zeros_(static_cast<std::size_t>(channels_), T(0)) {
  std::int64_t first = 0;
  for (const int vectors : kernels::tile_panels(kernels_, g.ci, taps_ * channels_)) {
    const std::int64_t width = vectors * kernels_.lanes;
    panels_.push_back({first, std::min(width, g.ci - first), packed_elements_, vectors});
    packed_elements_ += taps_ * channels_ * width;
    first += width;
  }
  by_rows_ = g.x.n / base::ceil_div(g.x.n, std::int64_t{kernels_.rows[std::min(2, kernels_.vectors)]}) >= 4;
  const bool streamed = packed_elements_ * static_cast<std::int64_t>(sizeof(T)) >= kStreamedBytes;
  const std::int64_t stride = g.y.s * g.x.s * g.co;
  std::int64_t target = streamed ? kMostPixels : std::max<std::int64_t>(48, kBlockElements / stride);
  target = std::clamp<std::int64_t>(kTableBytes / (taps_ * static_cast<std::int64_t>(sizeof(T*))), 8, target);
  blocking_ = Blocking::make(g.n, g.y.n, g.x.n, target);
  stage_rows_ = (blocking_.rows - 1) * g.y.s + g.y.effective_kernel();
  stage_columns_ = (blocking_.columns - 1) * g.x.s + g.x.effective_kernel();
}

/// packed[k][0..width) = kernel[k][first..first + width), zeros beyond its last column.
template <class T>
void InputGradient<T>::pack(const Panel& panel, T* packed) const noexcept {
  constexpr std::int64_t kLine = 64 / sizeof(T), kAhead = 24;   // rows lie ci apart: no hardware prefetcher follows them
  const std::int64_t width = panel.vectors * kernels_.lanes, depth = taps_ * channels_;
  with_elements(dx_image_.dtype, kernel_, [&]<class E>(const E* from) {
    from += panel.first;
    for (std::int64_t k = 0; k < depth; ++k, from += g_.ci, packed += width) {
      std::int64_t c = 0;
      for (; c + kLine <= panel.columns; c += kLine) {
        if (k + kAhead < depth) __builtin_prefetch(from + kAhead * g_.ci + c);
        for (std::int64_t i = 0; i < kLine; ++i) packed[c + i] = computed<T>(from[c + i]);
      }
      for (; c < panel.columns; ++c) packed[c] = computed<T>(from[c]);
      std::fill(packed + panel.columns, packed + width, T(0));
    }
  });
}

template <class T>
void InputGradient<T>::run() {
  const std::int64_t blocks = blocking_.count();
  const auto panels = static_cast<std::int64_t>(panels_.size());
  const double products = static_cast<double>(g_.n * g_.y.n * g_.x.n) * static_cast<double>(packed_elements_);
  const int threads = products < kThreadingThreshold ? 1 : e_.threads;
  // One block: every panel is packed where it is used, and is still in L2 then.
  if (blocks > 1) {
    packed_ = Tensor::uninitialized({packed_elements_}, dtype_of<T>);
    parallel_for(*e_.executor, threads, panels, [&](std::int64_t i) {
      const Panel& panel = panels_[static_cast<std::size_t>(i)];
      pack(panel, packed_.data<T>() + panel.packed);
    });
  }
  const std::int64_t shares = threads == 1 || blocks >= 4 * threads ? 1 : std::min(panels, base::ceil_div(4 * std::int64_t{threads}, blocks));
  const std::int64_t items = blocks * shares, workers = std::min<std::int64_t>(items, threads);
  std::vector<Slot> slots(static_cast<std::size_t>(workers));
  const auto size = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  for (Slot& slot : slots) {
    slot.table.resize(size(taps_ * blocking_.pixels()));
    slot.places.resize(size(blocking_.pixels()));
    slot.cut.resize(size(cut_elements()));
    if (!dy_image_.direct(dtype_of<T>)) slot.staged.resize(size(blocking_.images * stage_rows_ * stage_columns_ * g_.co));
    if (blocks == 1) slot.panel = Tensor::uninitialized({taps_ * channels_ * kernels_.lanes * kernels_.vectors}, dtype_of<T>);
  }
  std::atomic<std::int64_t> next{0};
  parallel_for(*e_.executor, static_cast<int>(workers), workers, [&](std::int64_t worker) {
    for (std::int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;) {
      const std::int64_t share = item / blocks;
      run_block(blocking_[item % blocks], size(panels * share / shares), size(panels * (share + 1) / shares), slots[size(worker)]);
    }
  });
}

template <class T>
void InputGradient<T>::run_block(const Block& block, std::size_t first_panel, std::size_t last_panel, Slot& slot) const noexcept {
  fill_table(block, view(block, slot), slot);
  fill_places(block, slot);
  for (std::size_t i = first_panel; i < last_panel; ++i) {
    const bool here = slot.panel.elements() > 0;
    if (here) pack(panels_[i], slot.panel.template data<T>());
    run_panel(block, panels_[i], here ? slot.panel.template data<T>() : static_cast<const T*>(packed_.bytes()) + panels_[i].packed, slot);
  }
}

/// dY where it lies, or the part under the block, converted.
template <class T>
typename InputGradient<T>::View InputGradient<T>::view(const Block& b, Slot& slot) const noexcept {
  if (dy_image_.direct(dtype_of<T>)) return {static_cast<const T*>(dy_), g_.y.o * g_.x.o * g_.co, g_.x.o * g_.co, g_.co};
  const auto inside = [](const Axis& axis, std::int64_t first, std::int64_t last) {
    const std::int64_t low = std::clamp<std::int64_t>(first * axis.s - axis.crop, 0, axis.o);
    return std::pair{low, std::clamp((last - 1) * axis.s + axis.effective_kernel() - axis.crop, low, axis.o)};
  };
  const auto [i0, i1] = inside(g_.y, b.y0, b.y1);
  const auto [j0, j1] = inside(g_.x, b.x0, b.x1);
  View v{nullptr, stage_rows_ * stage_columns_ * g_.co, stage_columns_ * g_.co, g_.co};
  for (std::int64_t n = b.n0; n < b.n1; ++n)
    for (std::int64_t i = i0; i < i1; ++i)
      load_pixels<T>(dy_image_, dy_, n, i, j0, j1, slot.staged.data() + (n - b.n0) * v.image + (i - i0) * v.row);
  v.base = slot.staged.data() - b.n0 * v.image - i0 * v.row - j0 * v.column;
  return v;
}

template <class T>
void InputGradient<T>::fill_table(const Block& b, const View& in, Slot& slot) const noexcept {
  const T** pointer = slot.table.data();
  T* cut = slot.cut.data();
  for (std::int64_t tap = 0; tap < taps_; ++tap) {
    const std::int64_t groups = g_.x.k / run_, a = tap / groups, shift = tap % groups * g_.x.d - g_.x.crop;
    for (std::int64_t n = b.n0; n < b.n1; ++n)
      for (std::int64_t i = b.y0; i < b.y1; ++i) {
        const std::int64_t oh = dy_row(i, a);
        const bool inside = oh >= 0 && oh < g_.y.o;
        const T* row = in.base + n * in.image + oh * in.row;
        for (std::int64_t j = b.x0; j < b.x1; ++j) {
          const std::int64_t ow = j * g_.x.s + shift;
          if (!inside || ow + run_ <= 0 || ow >= g_.x.o) *pointer++ = zeros_.data();
          else if (ow >= 0 && ow + run_ <= g_.x.o) *pointer++ = row + ow * in.column;
          else *pointer++ = std::exchange(cut, cut_window(in, row, ow, cut));
        }
      }
  }
}

/// Copies the window at `column` of a row of dY with zeros for what lies outside; returns the end of the copy.
template <class T>
T* InputGradient<T>::cut_window(const View& in, const T* row, std::int64_t column, T* to) const noexcept {
  const std::int64_t low = std::max<std::int64_t>(column, 0), high = std::min(column + run_, g_.x.o);
  to = std::fill_n(to, (low - column) * g_.co, T(0));
  to = std::copy(row + low * in.column, row + high * in.column, to);
  return std::fill_n(to, (column + run_ - high) * g_.co, T(0));
}

template <class T>
void InputGradient<T>::fill_places(const Block& b, Slot& slot) const noexcept {
  const bool last = dx_image_.data_format == DataFormat::channels_last;
  Place* place = slot.places.data();
  for (std::int64_t n = b.n0; n < b.n1; ++n)
    for (std::int64_t i = b.y0; i < b.y1; ++i)
      for (std::int64_t j = b.x0; j < b.x1; ++j)
        *place++ = {last ? ((n * g_.y.n + i) * g_.x.n + j) * g_.ci : (n * g_.ci * g_.y.n + i) * g_.x.n + j, j};
}

template <class T>
void InputGradient<T>::run_panel(const Block& b, const Panel& panel, const T* packed, const Slot& slot) const noexcept {
  const std::int64_t pixels = b.pixels(), segment = by_rows_ ? b.x1 - b.x0 : pixels, height = b.y1 - b.y0;
  const std::int64_t tiles = base::ceil_div(segment, std::int64_t{kernels_.rows[panel.vectors]});
  const std::int64_t steps_a_row = static_cast<std::int64_t>(steps_.size()) / g_.y.k;
  kernels::TileTask<T> task{.rows = nullptr, .tap_stride = pixels, .steps = steps_.data(),
                            .step_count = static_cast<std::int64_t>(steps_.size()), .panel = packed, .bias = nullptr,
                            .c = nullptr, .c_offset = panel.first, .columns = panel.columns, .relu = false};
  for (std::int64_t start = 0; start < pixels; start += segment) {
    if (by_rows_) {
      const std::int64_t i = b.y0 + start / segment % height;
      std::int64_t a0 = 0, a1 = g_.y.k;
      while (a0 < a1 && dy_row(i, a0) < 0) ++a0;
      while (a1 > a0 && dy_row(i, a1 - 1) >= g_.y.o) --a1;
      task.steps = steps_.data() + a0 * steps_a_row;
      task.step_count = (a1 - a0) * steps_a_row;
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = start + segment * tile / tiles, last = start + segment * (tile + 1) / tiles;
      task.rows = slot.table.data() + first;
      run_tile(panel, task, slot.places.data() + first, last - first);
    }
  }
}

template <class T>
void InputGradient<T>::run_tile(const Panel& panel, kernels::TileTask<T>& task, const Place* places, std::int64_t count) const noexcept {
  const auto run = kernels_.run[panel.vectors][count];
  T* c[kernels::tile_max_rows];
  task.c = c;
  if (dx_image_.direct(dtype_of<T>)) {
    for (std::int64_t m = 0; m < count; ++m) c[m] = static_cast<T*>(dx_) + places[m].element;
    return run(task);
  }
  alignas(64) T buffer[kernels::tile_max_tile];
  const std::int64_t width = panel.vectors * kernels_.lanes;
  for (std::int64_t m = 0; m < count; ++m) c[m] = buffer + m * width;
  kernels::TileTask<T> buffered = task;
  buffered.c_offset = 0, buffered.columns = width;
  run(buffered);
  store_tile<T>(dx_image_, dx_, buffer, width, {panel.first, panel.columns, 1}, places, count);
}

}  // namespace

void input_gradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution) {
  if (g.input_elements() == 0) return;
  if (compute_dtype(dtype) == DType::float64) InputGradient<double>(g, dtype, dy, kernel, dx, execution).run();
  else InputGradient<float>(g, dtype, dy, kernel, dx, execution).run();
}

}  // namespace upconv::ops
