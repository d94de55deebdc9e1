// SPDX-License-Identifier: Apache-2.0
// The direct algorithms: implicit GEMMs over the output's blocks, swept by register tiles. tile_gemm (one tap a pixel),
// phase_gemm (the general case) and weight_stream (few pixels, many weights) differ in how columns are merged and how
// pixels are blocked; they add in one order and so give the same bits.
//
// The pixels of all images are cut into blocks. For a block and a unit (row phase x column group, ops/tile_layout.h) a
// table of row pointers, [tap][pixel], is built once; then each panel of weights is swept over the block's tiles. A tap
// outside the image on the left or right reads a row of zeros. Rows of taps outside above or below are skipped where tiles
// stay inside image rows; narrow images are cut into tiles across rows and read zeros there too. (So an Inf in a weight
// may reach a border pixel that its tap does not; one in the input never does.) Where the image has few pixels and many channels
// a panel is read tap by tap, each meeting only the pixels that it reaches, while their sums wait in memory. What is skipped
// depends on the geometry of one sample only, never on the blocks: threads and batch change no bit.
#include "ops/tile_plan.h"

#include <algorithm>
#include <limits>

#include "ops/costs.h"
#include "ops/parallel.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlockElements = 65536;          // input of a block: fits L2 with the panels
constexpr std::int64_t kWholeElements = 262144;         // so small an input is one block
constexpr std::int64_t kStreamedBytes = 4 << 20;        // so many weights are read once, for all pixels
constexpr std::int64_t kFewWeights = 32768;             // elements
constexpr std::int64_t kNearInput = 1 << 20;            // bytes: a larger one has to be fetched from L3
constexpr std::int64_t kMostPixels = 2048;
constexpr std::int64_t kShortPanel = 32768;             // bytes of one vector of it
constexpr std::int64_t kPaddedChannels = 64;            // so few, or an input so near, are copied with zeros on both sides of a row:
                                                        // 14x14x64 -> 32 k3s2 1.10 x, 128x128x128 -> 64 k3s2 0.96 x
constexpr std::int64_t kStagedBytes = 128 << 10, kTableBytes = 96 << 10;   // of a thread's scratch

Image input_image(const Problem& p) { return {p.dtype, p.geometry.data_format, p.geometry.y.n, p.geometry.x.n, p.geometry.ci}; }
Image output_image(const Problem& p) { return {p.dtype, p.geometry.data_format, p.geometry.y.o, p.geometry.x.o, p.geometry.co}; }

/// Sums go straight to their place in y.
template <class T>
bool stores_directly(const Problem& p) {
  return output_image(p).direct(dtype_of<T>) && (p.activation.is_linear() || p.activation.is_relu());
}

/// Rows copied with zeros on both sides lie evenly spaced under every tap; a panel is then read once a row.
template <class T>
bool copies_rows(const Geometry& g, std::int64_t lanes) {
  const std::int64_t element = sizeof(T), taps = base::ceil_div(g.y.k, g.y.s) * base::ceil_div(g.x.k, g.x.s);
  if (g.ci <= kPaddedChannels) return true;
  return g.y.n * g.x.n * g.ci * element <= kNearInput && taps * g.ci * lanes * element <= kShortPanel;   // 32x24x256 -> 256 k4s2 with 64 KB: 0.86 x
}

/// The most rows of tiles inside image rows, by vectors: those of row tiles where pixels lie evenly spaced under every tap.
template <class T>
const int* row_heights(const Problem& p, int isa) {
  const Geometry& g = p.geometry;
  const bool even = !input_image(p).direct(dtype_of<T>) || g.x.k <= g.x.s || copies_rows<T>(g, kernels::tile_kernels<T>(isa).lanes);
  return stores_directly<T>(p) && even ? kernels::row_tiles<T>(isa).rows : kernels::tile_kernels<T>(isa).rows;
}

}  // namespace

template <class T>
TilePlan<T>::TilePlan(const Problem& problem, const Execution& execution, std::size_t algorithm, std::string reason, Merge merge)
    : p_(problem), e_(execution), algorithm_(algorithm), reason_(std::move(reason)), kernels_(kernels::tile_kernels<T>(e_.isa)),
      row_tiles_(kernels::row_tiles<T>(e_.isa)),
      layout_(p_.geometry, kernels_, row_heights<T>(p_, e_.isa), merge),
      in_(input_image(p_)), out_(output_image(p_)) {
  linear_ = p_.activation.is_linear(), relu_ = p_.activation.is_relu(), direct_ = stores_directly<T>(p_);
  const auto span = [](const std::vector<PhaseGroup>& groups, std::int64_t& first, std::int64_t& last, std::int64_t& reach) {
    for (const PhaseGroup& group : groups) {
      first = &group == groups.data() ? group.first_block : std::min(first, group.first_block);
      last = std::max(last, group.last_block);
      if (!group.shifts.empty()) reach = std::max(reach, group.shifts.back());
    }
  };
  span(layout_.rows, y_first_, y_last_, y_reach_);
  span(layout_.columns, x_first_, x_last_, x_reach_);
  by_rows_ = layout_.in_rows;
  padded_ = direct_ && by_rows_ && x_reach_ > 0 && copies_rows<T>(p_.geometry, kernels_.lanes);
  choose_blocks();
  const std::int64_t threads = threads_worth_waking(p_.geometry, e_.threads);
  const std::int64_t blocks = blocking_.count();
  shares_ = threads == 1 || blocks >= 4 * threads
                ? 1
                : std::clamp<std::int64_t>(base::ceil_div(4 * threads, std::max<std::int64_t>(1, blocks)), 1,
                                           std::max<std::int64_t>(1, layout_.panel_count));
  workers_ = std::clamp<std::int64_t>(blocks * shares_, 1, threads);
  shared_bytes_ = padded_bytes(layout_.bias_elements + 64, sizeof(T)) + padded_bytes(p_.geometry.ci, sizeof(T));
  streamed_ = layout_.packed_elements * static_cast<std::int64_t>(sizeof(T)) > kStreamedBytes;
  far_output_ = passes_caches(out_, p_.geometry.n);
  far_ = p_.geometry.input_elements() * static_cast<std::int64_t>(sizeof(T)) > kNearInput;
  if (layout_.by_taps) carried_ = blocking_.pixels() * kernels_.vectors * kernels_.lanes;
  slot_bytes_ = padded_bytes(staged_elements(blocking_), sizeof(T)) + padded_bytes(carried_, sizeof(T)) + padded_bytes(layout_.most_taps * blocking_.pixels(), sizeof(T*)) +
                padded_bytes(blocking_.pixels(), sizeof(Place));
}

template <class T>
std::int64_t TilePlan<T>::staged_elements(const Blocking& b) const noexcept {
  if (in_.direct(dtype_of<T>) && !padded_) return 0;
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
  // One tap: x is read once, and with few weights it is the output that should stay in L2 until its lines are whole.
  const std::int64_t output = layout_.most_taps <= 1 && layout_.packed_elements <= kFewWeights ? p_.geometry.y.s * p_.geometry.x.s * out_.c : 0;
  std::int64_t target = std::min(layout_.by_taps ? most_pixels_by_taps : kMostPixels, whole ? kMostPixels : std::max<std::int64_t>(64, kBlockElements / (ci + output)));
  do {
    blocking_ = Blocking::make(n, height, width, target);
    blocking_.first_row = y_first_, blocking_.first_column = x_first_;
  } while (!fits(blocking_) && (target /= 2) > 0);
}

template <class T>
typename TilePlan<T>::Slot TilePlan<T>::slot(char* memory) const noexcept {
  Slot s;
  s.staged = reinterpret_cast<T*>(memory);
  memory += padded_bytes(staged_elements(blocking_), sizeof(T));
  s.carry = carried_ ? reinterpret_cast<T*>(memory) : nullptr;
  memory += padded_bytes(carried_, sizeof(T));
  s.table = reinterpret_cast<const T**>(memory);
  memory += padded_bytes(layout_.most_taps * blocking_.pixels(), sizeof(T*));
  s.places = reinterpret_cast<Place*>(memory);
  return s;
}

template <class T>
void TilePlan<T>::pack_all(const void* kernel, T* packed) const noexcept {
  const int threads = static_cast<double>(layout_.packed_elements) < kThreadingThreshold ? 1 : e_.threads;
  const kernels::StripKernels<T>& strips = kernels::strip_kernels<T>(e_.isa);
  parallel_for(*e_.executor, threads, layout_.panel_count,
               [&](std::int64_t panel) { layout_.pack(strips, kernel, p_.dtype, panel, packed); });
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
  T* zeros = reinterpret_cast<T*>(memory + padded_bytes(layout_.bias_elements + 64, sizeof(T)));
  layout_.spread_bias(p_.has_bias ? bias : nullptr, p_.dtype, spread);
  std::fill_n(zeros, p_.geometry.ci, T(0));
  const Tensor& packed = static_cast<const Packed&>(kernel).data;
  run_packed({x, static_cast<const T*>(packed.bytes()), spread, zeros, y}, memory + shared_bytes_);
}

template <class T>
void TilePlan<T>::run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept {
  char* memory = static_cast<char*>(workspace);
  T* spread = reinterpret_cast<T*>(memory);
  T* zeros = reinterpret_cast<T*>(memory + padded_bytes(layout_.bias_elements + 64, sizeof(T)));
  layout_.spread_bias(p_.has_bias ? bias : nullptr, p_.dtype, spread);
  std::fill_n(zeros, p_.geometry.ci, T(0));
  T* packed = reinterpret_cast<T*>(memory + workspace_bytes());
  pack_all(kernel, packed);
  run_packed({x, packed, spread, zeros, y}, memory + shared_bytes_);
}

template class TilePlan<float>;
template class TilePlan<double>;

namespace {

/// Whether columns of several output rows can be computed at once: pixels go straight from x to y, and the crop cuts no block.
template <class T>
bool can_merge_rows(const Problem& p) {
  const Geometry& g = p.geometry;
  const auto whole = [](const Axis& a) { return a.k <= a.s && a.d == 1 && a.crop == 0 && a.o == a.n * a.s; };
  return whole(g.y) && whole(g.x) && g.data_format == DataFormat::channels_last && stores_directly<T>(p);
}

/// How phases are merged, and what a sample then costs. Merging fills the lanes better, but computes blocks that the crop cuts
/// and stores vectors in pieces: five vectors instead of six were slower (256x512x20 -> 20 k2s2), three instead of four faster.
template <class T>
std::pair<Merge, double> best_merge(const Problem& p, int isa, std::size_t algorithm) {
  const kernels::TileKernels<T>& kernels = kernels::tile_kernels<T>(isa);
  const auto work = [&](Merge merge) {
    const TileLayout<T> layout(p.geometry, kernels, row_heights<T>(p, isa), merge);
    if (merge == Merge::both && !layout.in_rows) return std::numeric_limits<double>::infinity();
    const auto weights = static_cast<double>(layout.packed_elements);
    return std::max(layout.work(), costs(isa).reading(weights) * weights);
  };
  std::pair<Merge, double> best{Merge::columns, work(Merge::columns)};
  if (algorithm != kTileGemm)
    if (const double none = work(Merge::none); best.second >= 0.97 * none) best = {Merge::none, none};
  if (can_merge_rows<T>(p))
    if (const double both = work(Merge::both); both < 0.87 * best.second) best = {Merge::both, both};
  return best;
}

template <class T>
std::shared_ptr<const ForwardPlan> make(const Problem& p, const Execution& e, std::size_t algorithm, std::string reason) {
  return std::make_shared<TilePlan<T>>(p, e, algorithm, std::move(reason), best_merge<T>(p, e.isa, algorithm).first);
}

}  // namespace

double tile_work(const Problem& problem, int isa, std::size_t algorithm) {
  return compute_dtype(problem.dtype) == DType::float64 ? best_merge<double>(problem, isa, algorithm).second
                                                        : best_merge<float>(problem, isa, algorithm).second;
}

std::shared_ptr<const ForwardPlan> make_tile_plan(const Problem& problem, const Execution& execution, std::size_t algorithm,
                                                  std::string reason) {
  if (compute_dtype(problem.dtype) == DType::float64) return make<double>(problem, execution, algorithm, std::move(reason));
  return make<float>(problem, execution, algorithm, std::move(reason));
}

}  // namespace upconv::ops
