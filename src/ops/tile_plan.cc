// SPDX-License-Identifier: Apache-2.0
// The direct algorithms: implicit GEMMs over the output's blocks, swept by register tiles. tile_gemm (one tap a pixel),
// phase_gemm (the general case) and weight_stream (few pixels, many weights) differ in how columns are merged and how
// pixels are blocked; they add in one order and so give the same bits.
//
// The pixels of all images are cut into blocks. For a block and a unit (row phase x column group, ops/tile_layout.h) a
// table of row pointers, [tap][pixel], is built once; then each panel of weights is swept over the block's tiles. A tap
// outside the image on the left or right reads a row of zeros. Rows of taps outside above or below are skipped where tiles
// stay inside image rows; narrow images are cut into tiles across rows and read zeros there too. (So an Inf in a weight
// may reach a border pixel that its tap does not; one in the input never does.) What is skipped depends on the geometry of
// one sample only, never on the blocks: threads and batch change no bit.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "ops/blocks.h"
#include "ops/parallel.h"
#include "ops/pixels.h"
#include "ops/plan.h"
#include "ops/tile_layout.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlockElements = 65536;          // input of a block: fits L2 with the panels
constexpr std::int64_t kWholeElements = 262144;         // so small an input is one block
constexpr std::int64_t kStreamedBytes = 4 << 20;        // so many weights are read once, for all pixels
constexpr std::int64_t kMostPixels = 2048;
constexpr std::int64_t kStagedBytes = 128 << 10, kTableBytes = 96 << 10;   // of a thread's scratch

/// The input as the tiles read it: channel 0 of pixel (n, i, j) at base + n*image + i*row + j*column.
template <class T>
struct InputView {
  const T* base;
  std::int64_t image, row, column;
};

template <class T>
class TilePlan final : public ForwardPlan {
 public:
  TilePlan(const Problem& problem, const Execution& execution, std::size_t algorithm, std::string reason, bool merge);

  const std::string& algorithm() const noexcept override { return algorithm_names()[algorithm_]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override {
    return static_cast<std::size_t>(shared_bytes_ + workers_ * slot_bytes_);
  }
  std::size_t unpacked_workspace_bytes() const noexcept override {
    return workspace_bytes() + static_cast<std::size_t>(layout_.packed_elements) * sizeof(T) + 64;
  }
  std::string packing_key() const override { return layout_.key(); }
  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override;
  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override;
  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override;

 private:
  struct Packed final : PackedKernel {
    explicit Packed(std::int64_t elements) : data(Tensor::uninitialized({elements + 64}, dtype_of<T>)) {}
    std::size_t bytes() const noexcept override { return data.byte_size(); }
    Tensor data;
  };
  struct Call {
    const void* x;
    const T* kernel;
    const T* bias;     // spread over the packed columns
    const T* zeros;    // ci of them
    void* y;
  };
  /// A thread's scratch: staged input, row pointers [tap][pixel], places [pixel].
  struct Slot {
    T* staged;
    const T** table;
    Place* places;
  };
  struct Tiles;

  void choose_blocks();
  bool fits(const Blocking& b) const noexcept;
  std::int64_t staged_elements(const Blocking& b) const noexcept;
  Slot slot(char* memory) const noexcept;
  void pack_all(const void* kernel, T* packed) const noexcept;
  void run_packed(const Call& call, char* slots) const noexcept;
  void run_block(const Call& call, const Block& block, std::int64_t first_panel, std::int64_t last_panel, const Slot& slot) const noexcept;
  InputView<T> input(const Call& call, const Block& block, T* staged) const noexcept;
  std::int64_t fill_tables(const Call& call, const InputView<T>& in, const Block& unit_block, const TileUnit& unit,
                           const Slot& slot) const noexcept;
  void run_panel(const Call& call, const Block& unit_block, const TileUnit& unit, const TilePanel& panel, std::int64_t pixels,
                 const Slot& slot) const noexcept;
  void run_tile(const Call& call, const TilePanel& panel, kernels::TileTask<T>& task, const Place* places, std::int64_t count,
                std::int64_t phases) const noexcept;

  Problem p_;
  Execution e_;
  std::size_t algorithm_;
  std::string reason_;
  const kernels::TileKernels<T>& kernels_;
  TileLayout<T> layout_;
  Image in_, out_;
  std::int64_t y_first_ = 0, y_last_ = 0, x_first_ = 0, x_last_ = 0;   // blocks of the whole output
  std::int64_t y_reach_ = 0, x_reach_ = 0;                             // largest shifts
  Blocking blocking_;
  bool linear_ = false, relu_ = false, direct_ = false, by_rows_ = true;
  std::int64_t shares_ = 1, workers_ = 1, shared_bytes_ = 0, slot_bytes_ = 0;
};

std::int64_t bytes_of(std::int64_t elements, std::size_t size) {
  return base::round_up(base::checked_mul(elements, static_cast<std::int64_t>(size), "workspace size"), 64);
}

template <class T>
TilePlan<T>::TilePlan(const Problem& problem, const Execution& execution, std::size_t algorithm, std::string reason, bool merge)
    : p_(problem), e_(execution), algorithm_(algorithm), reason_(std::move(reason)), kernels_(kernels::tile_kernels<T>(e_.isa)),
      layout_(p_.geometry, kernels_, merge),
      in_{p_.dtype, p_.geometry.data_format, p_.geometry.y.n, p_.geometry.x.n, p_.geometry.ci},
      out_{p_.dtype, p_.geometry.data_format, p_.geometry.y.o, p_.geometry.x.o, p_.geometry.co} {
  const kernels::ActivationSpec& f = p_.activation;
  linear_ = f.function == kernels::Activation::linear;
  relu_ = f.function == kernels::Activation::relu && f.a == 0 && std::isinf(f.b) && f.c == 0;
  direct_ = out_.direct(dtype_of<T>) && (linear_ || relu_);
  const auto span = [](const std::vector<PhaseGroup>& groups, std::int64_t& first, std::int64_t& last, std::int64_t& reach) {
    for (const PhaseGroup& group : groups) {
      first = &group == groups.data() ? group.first_block : std::min(first, group.first_block);
      last = std::max(last, group.last_block);
      if (!group.shifts.empty()) reach = std::max(reach, group.shifts.back());
    }
  };
  span(layout_.rows, y_first_, y_last_, y_reach_);
  span(layout_.columns, x_first_, x_last_, x_reach_);
  // Tiles inside image rows skip dead taps, but narrow rows make short tiles.
  const std::int64_t width = x_last_ - x_first_, most = kernels_.rows[std::min(2, kernels_.vectors)];
  by_rows_ = width > 0 && width / base::ceil_div(width, most) >= 4;
  choose_blocks();
  const double products = static_cast<double>(p_.geometry.n) * layout_.work();
  const std::int64_t threads = products < kThreadingThreshold ? 1 : e_.threads;
  const std::int64_t blocks = blocking_.count();
  shares_ = threads == 1 || blocks >= 4 * threads
                ? 1
                : std::clamp<std::int64_t>(base::ceil_div(4 * threads, std::max<std::int64_t>(1, blocks)), 1,
                                           std::max<std::int64_t>(1, layout_.panel_count));
  workers_ = std::clamp<std::int64_t>(blocks * shares_, 1, threads);
  shared_bytes_ = bytes_of(layout_.bias_elements + 64, sizeof(T)) + bytes_of(p_.geometry.ci, sizeof(T));
  slot_bytes_ = bytes_of(staged_elements(blocking_), sizeof(T)) + bytes_of(layout_.most_taps * blocking_.pixels(), sizeof(T*)) +
                bytes_of(blocking_.pixels(), sizeof(Place));
}

template <class T>
std::int64_t TilePlan<T>::staged_elements(const Blocking& b) const noexcept {
  if (in_.direct(dtype_of<T>)) return 0;
  return b.images * (b.rows + y_reach_) * (b.columns + x_reach_) * in_.c;
}

template <class T>
bool TilePlan<T>::fits(const Blocking& b) const noexcept {
  return b.pixels() * layout_.most_taps * static_cast<std::int64_t>(sizeof(T*)) <= kTableBytes &&
         staged_elements(b) * static_cast<std::int64_t>(sizeof(T)) <= kStagedBytes;
}

template <class T>
void TilePlan<T>::choose_blocks() {
  const std::int64_t height = y_last_ - y_first_, width = x_last_ - x_first_, n = p_.geometry.n;
  const std::int64_t ci = std::max<std::int64_t>(1, in_.c);
  const bool whole = height * width * n <= kWholeElements / ci || layout_.packed_elements * static_cast<std::int64_t>(sizeof(T)) > kStreamedBytes;
  std::int64_t target = std::min(kMostPixels, whole ? kMostPixels : std::max<std::int64_t>(64, kBlockElements / ci));
  do {
    blocking_ = Blocking::make(n, height, width, target);
    blocking_.first_row = y_first_, blocking_.first_column = x_first_;
  } while (!fits(blocking_) && (target /= 2) > 0);
}

template <class T>
typename TilePlan<T>::Slot TilePlan<T>::slot(char* memory) const noexcept {
  Slot s;
  s.staged = reinterpret_cast<T*>(memory);
  memory += bytes_of(staged_elements(blocking_), sizeof(T));
  s.table = reinterpret_cast<const T**>(memory);
  memory += bytes_of(layout_.most_taps * blocking_.pixels(), sizeof(T*));
  s.places = reinterpret_cast<Place*>(memory);
  return s;
}

template <class T>
void TilePlan<T>::pack_all(const void* kernel, T* packed) const noexcept {
  const int threads = static_cast<double>(layout_.packed_elements) < kThreadingThreshold ? 1 : e_.threads;
  parallel_for(*e_.executor, threads, layout_.panel_count,
               [&](std::int64_t panel) { layout_.pack(kernel, p_.dtype, panel, packed); });
}

template <class T>
std::shared_ptr<const PackedKernel> TilePlan<T>::pack(const void* kernel) const {
  auto packed = std::make_shared<Packed>(layout_.packed_elements);
  pack_all(kernel, packed->data.template data<T>());
  return packed;
}

template <class T>
void TilePlan<T>::run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept {
  char* memory = static_cast<char*>(workspace);
  T* spread = reinterpret_cast<T*>(memory);
  T* zeros = reinterpret_cast<T*>(memory + bytes_of(layout_.bias_elements + 64, sizeof(T)));
  layout_.spread_bias(p_.has_bias ? bias : nullptr, p_.dtype, spread);
  std::fill_n(zeros, p_.geometry.ci, T(0));
  const Tensor& packed = static_cast<const Packed&>(kernel).data;
  run_packed({x, static_cast<const T*>(packed.bytes()), spread, zeros, y}, memory + shared_bytes_);
}

template <class T>
void TilePlan<T>::run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept {
  char* memory = static_cast<char*>(workspace);
  T* spread = reinterpret_cast<T*>(memory);
  T* zeros = reinterpret_cast<T*>(memory + bytes_of(layout_.bias_elements + 64, sizeof(T)));
  layout_.spread_bias(p_.has_bias ? bias : nullptr, p_.dtype, spread);
  std::fill_n(zeros, p_.geometry.ci, T(0));
  T* packed = reinterpret_cast<T*>(memory + workspace_bytes());
  pack_all(kernel, packed);
  run_packed({x, packed, spread, zeros, y}, memory + shared_bytes_);
}

template <class T>
void TilePlan<T>::run_packed(const Call& call, char* slots) const noexcept {
  const std::int64_t blocks = blocking_.count(), items = blocks * shares_, panels = layout_.panel_count;
  std::atomic<std::int64_t> next{0};
  parallel_for(*e_.executor, static_cast<int>(workers_), workers_, [&](std::int64_t worker) {
    const Slot mine = slot(slots + worker * slot_bytes_);
    for (std::int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;) {
      const std::int64_t share = item / blocks;
      run_block(call, blocking_[item % blocks], panels * share / shares_, panels * (share + 1) / shares_, mine);
    }
  });
}

template <class T>
InputView<T> TilePlan<T>::input(const Call& call, const Block& b, T* staged) const noexcept {
  InputView<T> view{static_cast<const T*>(call.x), in_.h * in_.w * in_.c, in_.w * in_.c, in_.c};
  if (in_.direct(dtype_of<T>)) return view;
  const std::int64_t i0 = std::clamp<std::int64_t>(b.y0 - y_reach_, 0, in_.h), i1 = std::clamp(b.y1, i0, in_.h);
  const std::int64_t j0 = std::clamp<std::int64_t>(b.x0 - x_reach_, 0, in_.w), j1 = std::clamp(b.x1, j0, in_.w);
  view.row = (j1 - j0) * in_.c;
  view.image = (i1 - i0) * view.row;
  for (std::int64_t n = b.n0; n < b.n1; ++n)
    for (std::int64_t i = i0; i < i1; ++i)
      load_pixels<T>(in_, call.x, n, i, j0, j1, staged + (n - b.n0) * view.image + (i - i0) * view.row);
  view.base = staged - b.n0 * view.image - i0 * view.row - j0 * view.column;
  return view;
}

template <class T>
void TilePlan<T>::run_block(const Call& call, const Block& b, std::int64_t first_panel, std::int64_t last_panel,
                            const Slot& slot) const noexcept {
  const InputView<T> in = input(call, b, slot.staged);
  std::int64_t number = 0;
  for (const TileUnit& unit : layout_.units) {
    const auto count = static_cast<std::int64_t>(unit.panels.size());
    const std::int64_t first = std::max<std::int64_t>(0, first_panel - number), last = std::min(count, last_panel - number);
    number += count;
    if (first >= last) continue;
    const PhaseGroup &y = layout_.rows[unit.y], &x = layout_.columns[unit.x];
    const Block part{b.n0, b.n1, std::max(b.y0, y.first_block), std::min(b.y1, y.last_block), std::max(b.x0, x.first_block),
                     std::min(b.x1, x.last_block)};
    if (part.y0 >= part.y1 || part.x0 >= part.x1) continue;
    const std::int64_t pixels = fill_tables(call, in, part, unit, slot);
    for (std::int64_t i = first; i < last; ++i)
      run_panel(call, part, unit, unit.panels[static_cast<std::size_t>(i)], pixels, slot);
  }
}

/// Row pointers and places of every pixel of the unit in the block; returns their number.
template <class T>
std::int64_t TilePlan<T>::fill_tables(const Call& call, const InputView<T>& in, const Block& b, const TileUnit& unit,
                                      const Slot& slot) const noexcept {
  const PhaseGroup &y = layout_.rows[unit.y], &x = layout_.columns[unit.x];
  const T** row = slot.table;
  for (const std::int64_t dy : y.shifts)
    for (const std::int64_t dx : x.shifts)
      for (std::int64_t n = b.n0; n < b.n1; ++n)
        for (std::int64_t q = b.y0; q < b.y1; ++q) {
          const bool inside = q - dy >= 0 && q - dy < in_.h;
          const std::int64_t low = std::clamp<std::int64_t>(dx, b.x0, b.x1);
          const std::int64_t high = inside ? std::clamp<std::int64_t>(in_.w + dx, low, b.x1) : low;
          const T* pixel = in.base + n * in.image + (q - dy) * in.row + (low - dx) * in.column;
          for (std::int64_t j = b.x0; j < low; ++j) *row++ = call.zeros;
          for (std::int64_t j = low; j < high; ++j, pixel += in.column) *row++ = pixel;
          for (std::int64_t j = high; j < b.x1; ++j) *row++ = call.zeros;
        }
  const Axis &ay = p_.geometry.y, &ax = p_.geometry.x;
  const bool last = out_.data_format == DataFormat::channels_last;
  const std::int64_t column_step = last ? out_.c : 1;
  Place* place = slot.places;
  for (std::int64_t n = b.n0; n < b.n1; ++n)
    for (std::int64_t q = b.y0; q < b.y1; ++q) {
      const std::int64_t oy = q * ay.s + y.first_phase - ay.crop;
      const std::int64_t first = last ? (n * out_.h + oy) * out_.w * out_.c : (n * out_.c * out_.h + oy) * out_.w;
      for (std::int64_t j = b.x0; j < b.x1; ++j) {
        const std::int64_t ox = j * ax.s + x.first_phase - ax.crop;
        *place++ = {first + ox * column_step, ox};
      }
    }
  return place - slot.places;
}

template <class T>
void TilePlan<T>::run_panel(const Call& call, const Block& b, const TileUnit& unit, const TilePanel& panel, std::int64_t pixels,
                            const Slot& slot) const noexcept {
  const PhaseGroup &y = layout_.rows[unit.y], &x = layout_.columns[unit.x];
  const std::int64_t segment = by_rows_ ? b.x1 - b.x0 : pixels, height = b.y1 - b.y0;
  const std::int64_t steps_a_row = static_cast<std::int64_t>(x.shifts.size()) * unit.steps_a_tap;
  const std::int64_t tiles = base::ceil_div(segment, std::int64_t{kernels_.rows[panel.vectors]});
  kernels::TileTask<T> task{.rows = nullptr, .tap_stride = pixels, .steps = unit.steps.data(),
                            .step_count = static_cast<std::int64_t>(unit.steps.size()), .panel = call.kernel + panel.packed,
                            .bias = call.bias + panel.bias, .c = nullptr, .c_offset = panel.first, .columns = panel.columns,
                            .relu = relu_};
  for (std::int64_t start = 0; start < pixels; start += segment) {
    if (by_rows_) {   // rows of taps that lie above or below the image add nothing
      const std::int64_t q = b.y0 + start / segment % height;
      std::size_t t0 = 0, t1 = y.shifts.size();
      while (t1 > t0 && y.shifts[t1 - 1] > q) --t1;
      while (t0 < t1 && y.shifts[t0] <= q - in_.h) ++t0;
      task.steps = unit.steps.data() + static_cast<std::int64_t>(t0) * steps_a_row;
      task.step_count = static_cast<std::int64_t>(t1 - t0) * steps_a_row;
    }
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = start + segment * tile / tiles, last = start + segment * (tile + 1) / tiles;
      task.rows = slot.table + first;
      run_tile(call, panel, task, slot.places + first, last - first, x.phases);
    }
  }
}

template <class T>
void TilePlan<T>::run_tile(const Call& call, const TilePanel& panel, kernels::TileTask<T>& task, const Place* places,
                           std::int64_t count, std::int64_t phases) const noexcept {
  const auto run = kernels_.run[panel.vectors][count];
  T* c[kernels::tile_max_rows];
  task.c = c;
  const bool cut = places[0].column < 0 || places[count - 1].column + phases > out_.w ||
                   (!by_rows_ && phases > 1 && std::any_of(places, places + count, [&](const Place& place) {
                     return place.column < 0 || place.column + phases > out_.w;
                   }));
  if (direct_ && !cut) {
    for (std::int64_t m = 0; m < count; ++m) c[m] = static_cast<T*>(call.y) + places[m].element;
    run(task);
    return;
  }
  alignas(64) T buffer[kernels::tile_max_tile];
  const std::int64_t width = panel.vectors * layout_.lanes;
  for (std::int64_t m = 0; m < count; ++m) c[m] = buffer + m * width;
  kernels::TileTask<T> buffered = task;
  buffered.c_offset = 0, buffered.columns = width;
  run(buffered);
  if (!linear_ && !relu_) kernels::activate(p_.activation, buffer, buffer, count * width, e_.isa);
  store_tile<T>(out_, call.y, buffer, width, {panel.first, panel.columns, phases}, places, count);
}

/// Merging the phases of a row fills the lanes better but computes blocks that the crop cuts.
template <class T>
bool merging_pays(const Geometry& g, int isa) {
  const kernels::TileKernels<T>& kernels = kernels::tile_kernels<T>(isa);
  return TileLayout<T>(g, kernels, true).work() < 0.97 * TileLayout<T>(g, kernels, false).work();
}

template <class T>
bool merges(const Geometry& g, int isa, std::size_t algorithm) {
  return algorithm == kTileGemm || merging_pays<T>(g, isa);
}

template <class T>
double work(const Geometry& g, int isa, std::size_t algorithm) {
  return TileLayout<T>(g, kernels::tile_kernels<T>(isa), merges<T>(g, isa, algorithm)).work();
}

template <class T>
std::shared_ptr<const ForwardPlan> make(const Problem& p, const Execution& e, std::size_t algorithm, std::string reason) {
  return std::make_shared<TilePlan<T>>(p, e, algorithm, std::move(reason), merges<T>(p.geometry, e.isa, algorithm));
}

}  // namespace

double tile_work(const Problem& problem, int isa, std::size_t algorithm) {
  return compute_dtype(problem.dtype) == DType::float64 ? work<double>(problem.geometry, isa, algorithm)
                                                        : work<float>(problem.geometry, isa, algorithm);
}

std::shared_ptr<const ForwardPlan> make_tile_plan(const Problem& problem, const Execution& execution, std::size_t algorithm,
                                                  std::string reason) {
  if (compute_dtype(problem.dtype) == DType::float64) return make<double>(problem, execution, algorithm, std::move(reason));
  return make<float>(problem, execution, algorithm, std::move(reason));
}

}  // namespace upconv::ops
