// SPDX-License-Identifier: Apache-2.0
// dX is a strided convolution of dY: one GEMM without phases or waste, rows = input pixels, columns = input channels, depth
// = taps x filters, in which the kernel (kh,kw,co,ci) already lies and is only cut into panels.
// The row pointers of a pixel stand for whole kernel rows (ops/windows.h), so few filters cost no more than many. Kernel rows
// above or below dY are skipped where tiles stay inside image rows. All this depends on one sample's geometry only: neither
// threads nor batch change a bit.
#include "ops/input_gradient.h"

#include <atomic>
#include <vector>

#include "kernels/tiles.h"
#include "ops/pack.h"
#include "ops/parallel.h"
#include "ops/phases.h"
#include "ops/pixels.h"
#include "ops/windows.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlockElements = 65536;            // of dY under a block: fits L2 beside a panel
constexpr std::int64_t kMostPixels = 1024;
constexpr std::int64_t kNearBytes = 1 << 20;              // a larger dY has to be fetched from L3
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
    typename Windows<T>::Scratch windows;
    std::vector<Place> places;
    Tensor panel;                                         // packed here where the kernel is not packed whole
  };

  void pack(const Panel& panel, T* packed) const noexcept;
  void run_block(const Block& block, std::size_t first_panel, std::size_t last_panel, Slot& slot) const noexcept;
  void fill_places(const Block& block, Slot& slot) const noexcept;
  void run_panel(const Block& block, const Panel& panel, const T* packed, const Slot& slot) const noexcept;
  void run_tile(const Panel& panel, kernels::TileTask<T>& task, const Place* places, std::int64_t count) const noexcept;

  const Geometry& g_;
  Image dx_image_;
  const void* kernel_;
  void* dx_;
  Execution e_;
  const kernels::TileKernels<T>& kernels_;
  std::int64_t depth_;                                    // taps x filters
  bool by_rows_;
  std::vector<Panel> panels_;
  std::int64_t packed_elements_ = 0;
  Blocking blocking_;
  Windows<T> windows_;
  std::vector<kernels::TileStep> steps_;
  Tensor packed_;
};

/// Whether tiles that stay inside image rows, which skip kernel rows above and below dY, take less time than tiles across rows.
template <class T>
bool rows_pay(const Geometry& g, const kernels::TileKernels<T>& kernels, std::int64_t depth) {
  const double live = static_cast<double>(live_products(g.y)) / static_cast<double>(g.y.n * g.y.k);
  return live * kernels::tile_panels(kernels, kernels.rows, g.ci, depth, g.x.n).cost <= kernels::tile_panels(kernels, kernels.rows, g.ci, depth).cost;
}

/// The kernel's columns, cut for tiles that stay inside rows of `run` pixels; 0: for tiles across rows.
template <class T>
std::vector<Panel> cut_columns(const kernels::TileKernels<T>& kernels, std::int64_t columns, std::int64_t depth, std::int64_t run) {
  std::vector<Panel> panels;
  std::int64_t first = 0;
  for (const int vectors : kernels::tile_panels(kernels, kernels.rows, columns, depth, run).vectors) {
    const std::int64_t width = vectors * kernels.lanes;
    panels.push_back({first, std::min(width, columns - first), first * depth, vectors});
    first += width;
  }
  return panels;
}

/// Pixels of a block: few enough for L2, but all of them where the kernel is what memory has to deliver.
template <class T>
Blocking blocks_of(const Geometry& g, std::int64_t depth) {
  const bool streamed = depth * g.ci * static_cast<std::int64_t>(sizeof(T)) >= kStreamedBytes;
  const std::int64_t target = streamed ? kMostPixels : std::max<std::int64_t>(48, kBlockElements / (g.y.s * g.x.s * g.co));
  const std::int64_t pointers = g.x.d == 1 ? g.y.k : g.y.k * g.x.k;
  return Blocking::make(g.n, g.y.n, g.x.n, std::clamp<std::int64_t>(kTableBytes / (pointers * static_cast<std::int64_t>(sizeof(T*))), 8, target));
}

template <class T>
InputGradient<T>::InputGradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution)
    : g_(g), dx_image_{dtype, g.data_format, g.y.n, g.x.n, g.ci}, kernel_(kernel), dx_(dx), e_(execution),
      kernels_(kernels::tile_kernels<T>(e_.isa)), depth_(g.y.k * g.x.k * g.co), by_rows_(rows_pay(g, kernels_, depth_)),
      panels_(cut_columns(kernels_, g.ci, depth_, by_rows_ ? g.x.n : 0)),
      packed_elements_(panels_.back().packed + depth_ * panels_.back().vectors * kernels_.lanes),
      blocking_(blocks_of<T>(g, depth_)), windows_(g, dtype, dy, blocking_), steps_(kernels::tile_steps(windows_.taps, windows_.values)) {}

/// packed[k][0..width) = kernel[k][first..first + width), zeros beyond its last column.
template <class T>
void InputGradient<T>::pack(const Panel& panel, T* packed) const noexcept {
  constexpr std::int64_t kLine = 64 / sizeof(T), kAhead = 24;   // rows lie ci apart: no hardware prefetcher follows them
  const std::int64_t width = panel.vectors * kernels_.lanes;
  with_elements(dx_image_.dtype, kernel_, [&]<class E>(const E* from) {
    from += panel.first;
    for (std::int64_t k = 0; k < depth_; ++k, from += g_.ci, packed += width) {
      std::int64_t c = 0;
      for (; c + kLine <= panel.columns; c += kLine) {
        if (k + kAhead < depth_) __builtin_prefetch(from + kAhead * g_.ci + c);
        for (std::int64_t i = 0; i < kLine; ++i) packed[c + i] = base::converted<T>(from[c + i]);
      }
      for (; c < panel.columns; ++c) packed[c] = base::converted<T>(from[c]);
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
    slot.windows = windows_.scratch();
    slot.places.resize(size(blocking_.pixels()));
    if (blocks == 1) slot.panel = Tensor::uninitialized({depth_ * kernels_.lanes * kernels_.vectors}, dtype_of<T>);
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
  windows_.stage(block, 0, windows_.staged_rows(block), slot.windows);
  windows_.fill_table(block, slot.windows);
  fill_places(block, slot);
  for (std::size_t i = first_panel; i < last_panel; ++i) {
    const bool here = slot.panel.elements() > 0;
    if (here) pack(panels_[i], slot.panel.template data<T>());
    run_panel(block, panels_[i], here ? slot.panel.template data<T>() : static_cast<const T*>(packed_.bytes()) + panels_[i].packed, slot);
  }
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
  const bool far = g_.output_elements() * static_cast<std::int64_t>(sizeof(T)) > kNearBytes;
  for (std::int64_t start = 0; start < pixels; start += segment) {
    if (by_rows_) {
      const std::int64_t i = b.y0 + start / segment % height;
      const auto rows = windows_.kernel_rows(i);
      task.steps = steps_.data() + rows.first * steps_a_row;
      task.step_count = (rows.last - rows.first) * steps_a_row;
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = start + segment * tile / tiles, last = start + segment * (tile + 1) / tiles;
      task.rows = slot.windows.table.data() + first, task.more = far && last < pixels;
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
