// SPDX-License-Identifier: Apache-2.0
// Winograd on the phases of a transposed convolution. A phase (or neighbouring phases with equal shifts together, which then
// share their input windows) is a stride-1 correlation with r taps an axis, computed in tiles of m output blocks through
// m + r - 1 products an axis instead of m * r. Phases of other tap counts have windows of their own; an axis of one tap is
// not transformed.
//
// For a block of tiles: transform the inputs to v[point][tile][ci]; then, for a chunk of columns (phase, phase, filter),
// one GEMM a point against the transformed kernel and the transform of the products into outputs, while they lie in L2.
// Channels_first and the half types are staged a few tiles at a time. A tile with a result that is not finite is computed
// again, product by product, so that NaN and Inf reach exactly the outputs they should. Which tiles there are depends on one
// sample's geometry only, and a sum on its tile only; so no bit depends on batch, threads or blocks.
#include <algorithm>
#include <atomic>
#include <span>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/element.h"
#include "ops/parallel.h"
#include "ops/pixels.h"
#include "ops/plan.h"
#include "ops/winograd_layout.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kChunkColumns = 128;              // 64 and 256 are up to 5 % slower here, faster there
constexpr std::int64_t kLineElements = 16;               // of a cache line
constexpr std::int64_t kFewestTiles = 32, kMostTiles = 96;   // of a block: with 12 the kernel was read twice as often (16x16x1024: 1.6 x the time)
constexpr std::int64_t kBlockElements = 320 << 10;      // of v and m: v is read again for every chunk; 200 K lost up to 15 %, 512 K won nothing
constexpr std::int64_t kStagedElements = 32 << 10;      // of the input, where it cannot be read in place

std::int64_t bytes_of(std::int64_t elements, std::size_t size) {
  return base::round_up(base::checked_mul(elements, static_cast<std::int64_t>(size), "workspace size"), 64);
}

/// Hands out memory from `memory` on.
float* take(char*& memory, std::int64_t elements) {
  return reinterpret_cast<float*>(std::exchange(memory, memory + bytes_of(elements, sizeof(float))));
}

/// Outputs [low, high) of a tile, those inside the tensor, and the cell of the first of them.
struct Outputs {
  int low, high;
  std::int64_t cell;
};

/// Output i of a tile lies at cell first + i * s.
Outputs outputs(const Axis& axis, const kernels::WinogradScheme& scheme, std::int64_t first) noexcept {
  Outputs found{0, scheme.outputs(), first};
  while (found.high > 0 && first + (found.high - 1) * axis.s >= axis.o) --found.high;
  for (; found.low < found.high && found.cell < 0; found.cell += axis.s) ++found.low;
  return found;
}

class WinogradPlan final : public ForwardPlan {
 public:
  WinogradPlan(const Problem& problem, const Execution& execution, std::string reason);

  const std::string& algorithm() const noexcept override { return algorithm_names()[kWinograd]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override { return static_cast<std::size_t>(shared_bytes_ + workers_ * slot_bytes_); }
  std::size_t unpacked_workspace_bytes() const noexcept override {
    return workspace_bytes() + static_cast<std::size_t>(bytes_of(layout_.packed_elements, sizeof(float)));
  }
  std::string packing_key() const override { return layout_.key(); }
  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override {
    auto packed = std::make_shared<Packed>(layout_.packed_elements, p_);
    pack_all(kernel, packed->data.data<float>());
    std::copy_n(static_cast<const char*>(kernel), packed->weights.byte_size(), static_cast<char*>(packed->weights.bytes()));
    return packed;
  }
  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override {
    const auto& packed = static_cast<const Packed&>(kernel);
    run_packed(x, static_cast<const float*>(packed.data.bytes()), packed.weights.bytes(), bias, y, static_cast<char*>(workspace));
  }
  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override {
    char* memory = static_cast<char*>(workspace);
    float* packed = reinterpret_cast<float*>(memory + workspace_bytes());
    pack_all(kernel, packed);
    run_packed(x, packed, kernel, bias, y, memory);
  }

 private:
  struct Packed final : PackedKernel {
    Packed(std::int64_t elements, const Problem& p)
        : data(Tensor::uninitialized({elements})), weights(Tensor::uninitialized({p.geometry.kernel_elements()}, p.dtype)) {}
    std::size_t bytes() const noexcept override { return data.byte_size() + weights.byte_size(); }
    Tensor data, weights;   // transformed; as they were, for recompute()
  };
  struct Call {
    const void *x, *weights;              // weights: as they were
    const float *kernel, *bias, *zeros;   // kernel: transformed
    void* y;
  };
  /// A thread's scratch.
  struct Slot {
    float *v, *m, *staged, *results;
  };
  struct Tile {
    std::int64_t n, y, x;   // image, first block of rows and of columns
  };
  /// Input pixel (i, j) of an image at base + i * row + j * ci.
  struct View {
    const float* base;
    std::int64_t row;
  };
  /// Panels whose columns are multiplied and transformed together.
  struct Chunk {
    std::size_t first_panel, last_panel;
    std::int64_t column, width;
  };
  /// How the work of a window is cut: blocks of tiles, and shares of the chunks, so that few blocks serve many threads too.
  struct Cut {
    std::vector<Chunk> chunks;
    std::int64_t blocks = 0, shares = 1;
  };
  /// A window with what belongs to it.
  struct Unit {
    const WinogradWindow& w;
    const WinogradColumns& columns;
  };

  void pack_all(const void* kernel, float* packed) const noexcept;
  void run_packed(const void* x, const float* kernel, const void* weights, const void* bias, void* y, char* memory) const noexcept;
  Cut cut(std::size_t window) const;
  void share_chunks(std::int64_t threads);
  void run_block(const Call& call, const Unit& unit, std::span<const Chunk> chunks, std::int64_t first, std::int64_t count, const Slot& slot) const noexcept;
  void transform_inputs(const Call& call, const WinogradWindow& w, std::int64_t first, std::int64_t count, const Slot& slot) const noexcept;
  View view(const Call& call, const WinogradWindow& w, const Tile& first, std::int64_t tiles, float* staged) const noexcept;
  void multiply(const Call& call, const Unit& unit, const Chunk& chunk, std::int64_t count, const Slot& slot) const noexcept;
  void finish(const Call& call, const Unit& unit, const Tile& tile, std::int64_t first, std::int64_t last, const float* m, float* results) const noexcept;
  void activate(const kernels::WinogradOutput& task) const noexcept;
  void recompute(const Call& call, const Unit& unit, const Tile& tile, std::int64_t phase, std::int64_t f0,
                 const kernels::WinogradOutput& task) const noexcept;
  double direct_sum(const Call& call, const WinogradWindow& w, std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t phase,
                    std::int64_t f) const noexcept;

  Unit unit(std::size_t window) const noexcept { return {layout_.windows[window], layout_.columns[window]}; }
  Tile tile(const WinogradWindow& w, std::int64_t index) const noexcept {
    return {index / w.tiles(), w.y.first_block + index / w.tiles_x % w.tiles_y * w.along_y.outputs(),
            w.x.first_block + index % w.tiles_x * w.along_x.outputs()};
  }
  /// Row and column of the input under a tile's first point.
  static std::int64_t first_row(const WinogradWindow& w, const Tile& t) noexcept { return t.y - w.y.shifts.back(); }
  static std::int64_t first_column(const WinogradWindow& w, const Tile& t) noexcept { return t.x - w.x.shifts.back(); }
  std::int64_t block_tiles(const WinogradWindow& w) const noexcept {
    const std::int64_t all = p_.geometry.n * w.tiles(), most = std::clamp<std::int64_t>(kBlockElements / (w.points() * (row_ + m_row_)), kFewestTiles, kMostTiles);
    return all == 0 ? 0 : base::ceil_div(all, base::ceil_div(all, most));
  }
  /// Tiles side by side whose input is staged at once.
  std::int64_t staged_tiles(const WinogradWindow& w) const noexcept {
    const std::int64_t columns = kStagedElements / (w.along_y.points * p_.geometry.ci);
    return std::max<std::int64_t>(1, (columns - w.along_x.taps + 1) / w.along_x.outputs());
  }
  std::int64_t staged_elements(const WinogradWindow& w) const noexcept {
    return w.along_y.points * (staged_tiles(w) * w.along_x.outputs() + w.along_x.taps - 1) * p_.geometry.ci;
  }
  std::int64_t v_stride(std::int64_t count) const noexcept { return count * row_ + kLineElements; }
  std::int64_t m_tile(const WinogradWindow& w) const noexcept { return w.points() * m_row_ + kLineElements; }

  Problem p_;
  Execution e_;
  std::string reason_;
  const kernels::TileKernels<float>& kernels_;
  WinogradLayout layout_;
  Image in_, out_;
  std::vector<kernels::TileStep> steps_;
  std::vector<Cut> cuts_;                   // of each window
  std::int64_t row_ = 0, m_row_ = 0;        // elements from tile to tile of v, from point to point of m
  std::int64_t v_elements_ = 0, m_elements_ = 0, staged_elements_ = 0, results_elements_ = 0;
  std::int64_t workers_ = 1, shared_bytes_ = 0, slot_bytes_ = 0;
  bool linear_ = false, relu_ = false;
};

WinogradPlan::WinogradPlan(const Problem& problem, const Execution& execution, std::string reason)
    : p_(problem), e_(execution), reason_(std::move(reason)), kernels_(kernels::tile_kernels<float>(e_.isa)),
      layout_(p_.geometry, choose_winograd(p_, e_.isa).windows, kernels_),
      in_{p_.dtype, p_.geometry.data_format, p_.geometry.y.n, p_.geometry.x.n, p_.geometry.ci},
      out_{p_.dtype, p_.geometry.data_format, p_.geometry.y.o, p_.geometry.x.o, p_.geometry.co},
      steps_(kernels::tile_steps(1, p_.geometry.ci)) {
  const Geometry& g = p_.geometry;
  // A line of padding keeps the points' planes, and rows of a multiple of 1024 bytes, off the same cache sets.
  row_ = base::round_up(g.ci, kLineElements) + (g.ci % 256 == 0 ? kLineElements : 0);
  m_row_ = kChunkColumns + kLineElements;
  double products = 0;
  for (std::size_t i = 0; i < layout_.windows.size(); ++i) {
    const WinogradWindow& w = layout_.windows[i];
    const std::int64_t tiles = block_tiles(w);
    cuts_.push_back(cut(i));
    v_elements_ = std::max(v_elements_, w.points() * v_stride(tiles));
    m_elements_ = std::max(m_elements_, tiles * m_tile(w) + 64);
    if (!in_.direct(DType::float32)) staged_elements_ = std::max(staged_elements_, staged_elements(w));
    if (!out_.direct(DType::float32)) results_elements_ = kernels::winograd_most_pixels * kChunkColumns;
    products += static_cast<double>(g.n * w.tiles() * w.points()) * static_cast<double>(w.phases() * g.co * g.ci);
  }
  linear_ = p_.activation.is_linear(), relu_ = p_.activation.is_relu();
  share_chunks(products < kThreadingThreshold ? 1 : e_.threads);
  shared_bytes_ = bytes_of(layout_.bias_elements, sizeof(float)) + bytes_of(g.ci, sizeof(float));
  for (const std::int64_t elements : {v_elements_, m_elements_, staged_elements_, results_elements_}) slot_bytes_ += bytes_of(elements, sizeof(float));
}

WinogradPlan::Cut WinogradPlan::cut(std::size_t window) const {
  Cut cut;
  const std::int64_t tiles = block_tiles(layout_.windows[window]);
  cut.blocks = tiles > 0 ? base::ceil_div(p_.geometry.n * layout_.windows[window].tiles(), tiles) : 0;
  const std::vector<int>& panels = layout_.columns[window].panels;
  const std::int64_t most = cut.blocks < e_.threads ? 0 : kChunkColumns;   // fewer blocks than threads: every panel alone, to be shared out
  std::int64_t column = 0;
  for (std::size_t panel = 0; panel < panels.size();) {
    Chunk chunk{panel, panel, column, 0};
    while (panel < panels.size() && (panel == chunk.first_panel || chunk.width + panels[panel] * kernels_.lanes <= most))
      chunk.width += panels[panel++] * kernels_.lanes;
    chunk.last_panel = panel, column += chunk.width;
    cut.chunks.push_back(chunk);
  }
  return cut;
}

/// The fewest shares that keep all threads busy: each share transforms the inputs of its blocks again.
void WinogradPlan::share_chunks(std::int64_t threads) {
  std::int64_t items = 0;
  for (Cut& cut : cuts_) {
    const auto most = static_cast<std::int64_t>(cut.chunks.size());
    while (cut.shares < most && cut.blocks * cut.shares % threads != 0 && cut.blocks * cut.shares < 4 * threads) ++cut.shares;
    items += cut.blocks * cut.shares;
  }
  workers_ = std::clamp<std::int64_t>(items, 1, threads);
}

void WinogradPlan::pack_all(const void* kernel, float* packed) const noexcept {
  const int threads = static_cast<double>(layout_.packed_elements) < kThreadingThreshold ? 1 : e_.threads;
  parallel_for(*e_.executor, threads, layout_.panel_count, [&](std::int64_t panel) { layout_.pack(kernel, p_.dtype, panel, packed); });
}

void WinogradPlan::run_packed(const void* x, const float* kernel, const void* weights, const void* bias, void* y, char* memory) const noexcept {
  const Geometry& g = p_.geometry;
  float *spread = take(memory, layout_.bias_elements), *zeros = take(memory, g.ci);
  std::fill_n(zeros, g.ci, 0.0f);
  layout_.spread_bias(p_.has_bias ? bias : nullptr, p_.dtype, spread);
  const Call call{x, weights, kernel, spread, zeros, y};
  std::atomic<std::int64_t> next{0};
  parallel_for(*e_.executor, static_cast<int>(workers_), workers_, [&](std::int64_t worker) {
    char* mine = memory + worker * slot_bytes_;
    Slot slot;
    slot.v = take(mine, v_elements_), slot.m = take(mine, m_elements_);
    slot.staged = take(mine, staged_elements_), slot.results = take(mine, results_elements_);
    std::int64_t item = next.fetch_add(1, std::memory_order_relaxed), before = 0;
    for (std::size_t i = 0; i < cuts_.size(); before += cuts_[i].blocks * cuts_[i].shares, ++i) {
      const Cut& cut = cuts_[i];
      const std::int64_t tiles = g.n * layout_.windows[i].tiles(), chunks = std::ssize(cut.chunks);
      for (; item < before + cut.blocks * cut.shares; item = next.fetch_add(1, std::memory_order_relaxed)) {
        const std::int64_t share = (item - before) / cut.blocks, block = (item - before) % cut.blocks;   // a thread stays with its part of the kernel
        const std::int64_t first = tiles * block / cut.blocks, last = tiles * (block + 1) / cut.blocks;
        const std::int64_t low = chunks * share / cut.shares, high = chunks * (share + 1) / cut.shares;
        run_block(call, unit(i), std::span(cut.chunks).subspan(static_cast<std::size_t>(low), static_cast<std::size_t>(high - low)), first, last - first, slot);
      }
    }
  });
}

void WinogradPlan::run_block(const Call& call, const Unit& unit, std::span<const Chunk> chunks, std::int64_t first, std::int64_t count,
                             const Slot& slot) const noexcept {
  transform_inputs(call, unit.w, first, count, slot);
  for (const Chunk& chunk : chunks) {
    multiply(call, unit, chunk, count, slot);
    const std::int64_t last = std::min(chunk.column + chunk.width, unit.columns.columns);
    for (std::int64_t t = 0; t < count; ++t)
      finish(call, unit, tile(unit.w, first + t), chunk.column, last, slot.m + t * m_tile(unit.w), slot.results);
  }
}

/// The rows of the input under `tiles` tiles side by side, from tile `first` on.
WinogradPlan::View WinogradPlan::view(const Call& call, const WinogradWindow& w, const Tile& first, std::int64_t tiles, float* staged) const noexcept {
  const std::int64_t row = in_.w * in_.c;
  if (in_.direct(DType::float32)) return {static_cast<const float*>(call.x) + first.n * in_.h * row, row};
  const std::int64_t top = first_row(w, first), left = first_column(w, first);
  const std::int64_t i0 = std::clamp<std::int64_t>(top, 0, in_.h), i1 = std::clamp<std::int64_t>(top + w.along_y.points, i0, in_.h);
  const std::int64_t j0 = std::clamp<std::int64_t>(left, 0, in_.w);
  const std::int64_t j1 = std::clamp<std::int64_t>(left + tiles * w.along_x.outputs() + w.along_x.taps - 1, j0, in_.w);
  const std::int64_t staged_row = (j1 - j0) * in_.c;
  for (std::int64_t i = i0; i < i1; ++i) load_pixels<float>(in_, call.x, first.n, i, j0, j1, staged + (i - i0) * staged_row);
  return {staged - i0 * staged_row - j0 * in_.c, staged_row};
}

void WinogradPlan::transform_inputs(const Call& call, const WinogradWindow& w, std::int64_t first, std::int64_t count, const Slot& slot) const noexcept {
  const std::int64_t most = in_.direct(DType::float32) ? count : staged_tiles(w);
  const float* pixels[kernels::winograd_most_pixels];
  for (std::int64_t t = 0; t < count;) {
    const Tile start = tile(w, first + t);
    const std::int64_t tiles = std::min({most, count - t, w.tiles_x - (first + t) % w.tiles_x});
    const View from = view(call, w, start, tiles, slot.staged);
    const std::int64_t top = first_row(w, start);
    for (const std::int64_t end = t + tiles; t < end; ++t) {
      const std::int64_t left = first_column(w, tile(w, first + t));
      const float** pixel = pixels;
      for (std::int64_t i = top; i < top + w.along_y.points; ++i)
        for (std::int64_t j = left; j < left + w.along_x.points; ++j)
          *pixel++ = i >= 0 && i < in_.h && j >= 0 && j < in_.w ? from.base + i * from.row + j * in_.c : call.zeros;
      kernels::winograd_input({w.along_y, w.along_x, pixels, in_.c, slot.v + t * row_, v_stride(count)}, e_.isa);
    }
  }
}

/// m[tile][point][column - chunk.column] = v[point][tile] * packed[point] for the chunk's columns. Each tile brings a part of
/// the next panel into L2.
void WinogradPlan::multiply(const Call& call, const Unit& unit, const Chunk& chunk, std::int64_t count, const Slot& slot) const noexcept {
  const std::int64_t ci = p_.geometry.ci, points = unit.w.points();
  const float* const packed = call.kernel + unit.columns.packed;
  const float* rows[kMostTiles];
  float* c[kMostTiles];
  for (std::int64_t point = 0; point < points; ++point) {
    for (std::int64_t t = 0; t < count; ++t) rows[t] = slot.v + point * v_stride(count) + t * row_, c[t] = slot.m + t * m_tile(unit.w) + point * m_row_;
    std::int64_t column = chunk.column;
    for (std::size_t panel = chunk.first_panel; panel < chunk.last_panel; ++panel) {
      const int vectors = unit.columns.panels[panel];
      const std::int64_t width = vectors * kernels_.lanes, groups = base::ceil_div(count, std::int64_t{kernels_.rows[vectors]});
      const std::int64_t next = panel + 1 == chunk.last_panel && point + 1 < points ? (point + 1) * unit.columns.width + chunk.column
                                : panel + 1 == chunk.last_panel                   ? column + width
                                                                            : point * unit.columns.width + column + width;
      for (std::int64_t i = 0; i < groups; ++i) {
        const std::int64_t t = count * i / groups;
        kernels_.run[vectors][count * (i + 1) / groups - t](
            {.rows = rows + t, .tap_stride = 0, .steps = steps_.data(), .step_count = static_cast<std::int64_t>(steps_.size()),
             .panel = packed + (point * unit.columns.width + column) * ci, .bias = nullptr, .c = c + t, .c_offset = column - chunk.column,
             .columns = width, .relu = false, .more = i + 1 < groups, .fetch = packed + next * ci + std::min(i * kLineElements, width - kLineElements) * ci});
      }
      column += width;
    }
  }
}

/// Outputs of a tile for columns [first, last); m points at the tile's products, column `first` first.
void WinogradPlan::finish(const Call& call, const Unit& unit, const Tile& at, std::int64_t first, std::int64_t last, const float* m,
                          float* results) const noexcept {
  const Geometry& g = p_.geometry;
  const WinogradWindow& w = unit.w;
  const bool direct = out_.direct(DType::float32), channels_last = g.data_format == DataFormat::channels_last;
  for (std::int64_t column = first; column < last;) {
    const std::int64_t phase = column / g.co, f0 = column % g.co, width = std::min(g.co - f0, last - column);
    const Outputs y = outputs(g.y, w.along_y, at.y * g.y.s + w.y.first_phase + phase / w.x.phases - g.y.crop);
    const Outputs x = outputs(g.x, w.along_x, at.x * g.x.s + w.x.first_phase + phase % w.x.phases - g.x.crop);
    kernels::WinogradOutput task{w.along_y, w.along_x, m + column - first, m_row_, call.bias + unit.columns.bias + column, width, relu_,
                                 y.low, y.high, x.low, x.high, results, (x.high - x.low) * width, width};
    if (direct) {
      task.to = static_cast<float*>(call.y) + ((at.n * g.y.o + y.cell) * g.x.o + x.cell) * g.co + f0;
      task.row = g.y.s * g.x.o * g.co, task.column = g.x.s * g.co;
    }
    const bool finite = kernels::winograd_output(task, e_.isa);
    if (!finite) recompute(call, unit, at, phase, f0, task);
    if (!linear_ && (!relu_ || !finite)) activate(task);
    if (!direct) {
      Place places[kernels::winograd_most_pixels];
      std::int64_t count = 0;
      for (int i = y.low; i < y.high; ++i)
        for (int j = x.low; j < x.high; ++j, ++count) {
          const std::int64_t oy = y.cell + (i - y.low) * g.y.s, ox = x.cell + (j - x.low) * g.x.s;
          places[count] = {channels_last ? ((at.n * g.y.o + oy) * g.x.o + ox) * g.co : (at.n * g.co * g.y.o + oy) * g.x.o + ox, ox};
        }
      store_tile<float>(out_, call.y, results, width, {f0, width, 1}, places, count);
    }
    column += width;
  }
}

void WinogradPlan::activate(const kernels::WinogradOutput& task) const noexcept {
  for (int i = 0; i < task.y1 - task.y0; ++i)
    for (int j = 0; j < task.x1 - task.x0; ++j) {
      float* y = task.to + i * task.row + j * task.column;
      kernels::activate(p_.activation, y, y, task.columns, e_.isa);
    }
}

/// The sums of a tile's outputs, filters f0 on, product by product, before the activation.
void WinogradPlan::recompute(const Call& call, const Unit& unit, const Tile& at, std::int64_t phase, std::int64_t f0,
                             const kernels::WinogradOutput& task) const noexcept {
  for (int i = task.y0; i < task.y1; ++i)
    for (int j = task.x0; j < task.x1; ++j)
      for (std::int64_t f = 0; f < task.columns; ++f)
        task.to[(i - task.y0) * task.row + (j - task.x0) * task.column + f] =
            static_cast<float>(static_cast<double>(task.bias[f]) + direct_sum(call, unit.w, at.n, at.y + i, at.x + j, phase, f0 + f));
}

/// The products of output block (y, x) of a phase and filter, without bias.
double WinogradPlan::direct_sum(const Call& call, const WinogradWindow& w, std::int64_t n, std::int64_t y, std::int64_t x,
                                std::int64_t phase, std::int64_t f) const noexcept {
  const bool last = in_.data_format == DataFormat::channels_last;
  const ConstTensorView pixels{call.x, Shape{}, p_.dtype}, weights{call.weights, Shape{}, p_.dtype};
  const std::int64_t step = last ? 1 : in_.h * in_.w;
  double sum = 0;
  for (int a = 0; a < w.along_y.taps; ++a)
    for (int b = 0; b < w.along_x.taps; ++b) {
      const std::int64_t i = y - w.y.shifts[static_cast<std::size_t>(a)], j = x - w.x.shifts[static_cast<std::size_t>(b)];
      if (i < 0 || i >= in_.h || j < 0 || j >= in_.w) continue;
      const std::int64_t weight = layout_.weights_at(w, phase / w.x.phases, phase % w.x.phases, a, b, f);
      const std::int64_t pixel = last ? ((n * in_.h + i) * in_.w + j) * in_.c : (n * in_.c * in_.h + i) * in_.w + j;
      for (std::int64_t c = 0; c < in_.c; ++c) sum += base::read_element(pixels, pixel + c * step) * base::read_element(weights, weight + c);
    }
  return sum;
}

}  // namespace

bool winograd_applies(const Problem& problem) { return !choose_winograd(problem, 0).windows.empty(); }

double winograd_work(const Problem& problem, int isa) { return choose_winograd(problem, isa).cost; }

std::shared_ptr<const ForwardPlan> make_winograd_plan(const Problem& problem, const Execution& execution, std::string reason) {
  return std::make_shared<WinogradPlan>(problem, execution, std::move(reason));
}

}  // namespace upconv::ops
