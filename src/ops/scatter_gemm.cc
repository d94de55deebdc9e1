// SPDX-License-Identifier: Apache-2.0
// Few filters: as columns of a GEMM they would fill a few lanes of a vector, so pixels lie along the lanes
// (kernels/strips.h) and every lane works whatever the number of filters. For each row of blocks of the output
//   products[p][b][f][pixel] = sum over vertical taps and channels of x[pixel][c] * kernel[a][b][f][c]
// is one GEMM: vertical taps are other rows of strips, so they cost nothing but their multiply-adds. Horizontal taps are
// columns of their own; an output cell adds the products of its few horizontal taps, which lie in rows of pixels at places
// that their shifts move. The phases of a row, each a row of pixels, are woven together at the end.
//
// Rows of strips are transposed once and kept in a ring as high as the kernel. Narrow images are cut into bands that lie
// side by side, so that they fill strips too; wide ones into blocks of columns. An output's sum does not depend on any of
// these cuts. (But an Inf in a weight may reach a border pixel that its tap does not, by way of a band's zeros.)
#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "ops/pack.h"
#include "ops/parallel.h"
#include "ops/pixels.h"
#include "ops/plan.h"
#include "ops/scatter_layout.h"

namespace upconv::ops {

namespace {

template <class T>
class ScatterGemm final : public ForwardPlan {
 public:
  ScatterGemm(const Problem& problem, const Execution& execution, std::string reason);

  const std::string& algorithm() const noexcept override { return algorithm_names()[kScatterGemm]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override {
    return static_cast<std::size_t>(shared_bytes_ + workers_ * slot_bytes_);
  }
  std::size_t unpacked_workspace_bytes() const noexcept override {
    return workspace_bytes() + static_cast<std::size_t>(padded_bytes(layout_.packed_elements, sizeof(T)));
  }
  std::string packing_key() const override { return layout_.key(); }

  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override {
    auto packed = std::make_shared<Packed>(layout_.packed_elements);
    layout_.pack(kernel, p_.dtype, packed->data.template data<T>());
    return packed;
  }
  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override {
    run_packed(x, static_cast<const T*>(static_cast<const Packed&>(kernel).data.bytes()), bias, y, static_cast<char*>(workspace));
  }
  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override {
    char* memory = static_cast<char*>(workspace);
    T* packed = reinterpret_cast<T*>(memory + workspace_bytes());
    layout_.pack(kernel, p_.dtype, packed);
    run_packed(x, packed, bias, y, memory);
  }

 private:
  struct Packed final : PackedKernel {
    explicit Packed(std::int64_t elements) : data(Tensor::uninitialized({elements}, dtype_of<T>)) {}
    std::size_t bytes() const noexcept override { return data.byte_size(); }
    Tensor data;
  };
  struct Call {
    const void* x;
    const T* kernel;
    const T* bias;      // co of them
    const T* zeros;     // ci of them
    void* y;
  };
  /// Rows of blocks [y0, y1) in bands, columns of blocks [x0, x1), reading pixels [j0, j1) of image n.
  struct Part {
    std::int64_t n, y0, y1, x0, x1, j0, j1;
  };
  /// A thread's scratch.
  struct Slot {
    T* ring;              // rows of strips, y_reach + 1 of them
    T* products;          // [columns][product_row_]
    T* sums;              // [phase * co + f][sum_row_]
    T* staged;            // pixels of one row of bands
    T* woven;             // a finished row where it cannot go to y
    const T** pixels;     // of a row of bands, one a lane
    const T** taps;       // rows of strips
    Place* places;
  };

  Slot slot(char* memory) const noexcept;
  void run_packed(const void* x, const T* packed, const void* bias, void* y, char* memory) const noexcept;
  Part part(std::int64_t task) const noexcept;
  void run_part(const Call& call, const Part& part, const Slot& slot) const noexcept;
  void load_row(const Call& call, const Part& part, std::int64_t row, const Slot& slot) const noexcept;
  void multiply(const Call& call, const Part& part, std::int64_t row, const ScatterUnit& unit, const char*& fetch, const char* fetched,
                const Slot& slot) const noexcept;
  void finish(const Call& call, const Part& part, std::int64_t q, std::int64_t band, const ScatterUnit& unit, const Slot& slot) const noexcept;
  void store(const Call& call, const Part& part, std::int64_t oy, const Slot& slot) const noexcept;
  void weave(const T* from, std::int64_t stride, std::int64_t rows, std::int64_t begin, std::int64_t count, T* to,
             std::int64_t length) const noexcept;
  T* ring_row(const Slot& slot, std::int64_t row) const noexcept {
    return slot.ring + (row + layout_.y_reach) % (layout_.y_reach + 1) * layout_.strips * strip_stride_;
  }

  Problem p_;
  Execution e_;
  std::string reason_;
  const kernels::StripKernels<T>& kernels_;
  ScatterLayout<T> layout_;
  Image in_, out_;
  bool linear_ = false, relu_ = false, fetches_ = false;     // fetches_: the tiles' products suffice to bring in a row
  std::int64_t tasks_ = 0, workers_ = 1, shared_bytes_ = 0, slot_bytes_ = 0;
  std::vector<std::int64_t> tap_offsets_, tap_ends_;       // of the horizontal taps, by column phase: from a block to its products
  std::array<std::int64_t, 8> slot_sizes_{};               // of the parts of a Slot, in order
  std::int64_t strip_stride_ = 0, lead_ = 0, product_row_ = 0, sum_row_ = 0;
};

template <class T>
ScatterGemm<T>::ScatterGemm(const Problem& problem, const Execution& execution, std::string reason)
    : p_(problem), e_(execution), reason_(std::move(reason)), kernels_(kernels::strip_kernels<T>(e_.isa)),
      layout_(p_.geometry, e_.isa),
      in_{p_.dtype, p_.geometry.data_format, p_.geometry.y.n, p_.geometry.x.n, p_.geometry.ci},
      out_{p_.dtype, p_.geometry.data_format, p_.geometry.y.o, p_.geometry.x.o, p_.geometry.co} {
  const Geometry& g = p_.geometry;
  linear_ = p_.activation.is_linear(), relu_ = p_.activation.is_relu();
  const std::int64_t lanes = layout_.lanes;
  tasks_ = g.output_elements() == 0 ? 0 : g.n * layout_.parts * layout_.blocks;
  const std::int64_t threads = threads_worth_waking(g, e_.threads);
  workers_ = std::clamp<std::int64_t>(tasks_, 1, threads);
  double products = 0;                   // of a row's tiles
  for (const ScatterUnit& unit : layout_.units)
    for (const ScatterPanel& panel : unit.panels)
      products += static_cast<double>(base::ceil_div(layout_.strips, std::int64_t{kernels_.strips[panel.columns]}) * g.ci) *
                  static_cast<double>(layout_.rows[unit.y].shifts.size());
  fetches_ = in_.direct(dtype_of<T>) && layout_.bands == 1 && products * 64 >= static_cast<double>(g.x.n * g.ci) * sizeof(T);
  strip_stride_ = (g.ci + 1) * lanes;   // one more: strips side by side would fall on the same sets of the cache
  lead_ = base::round_up(layout_.x_reach, lanes);
  product_row_ = base::round_up(lead_ + std::max(layout_.strips * lanes, (layout_.bands - 1) * layout_.band_pixels +
                                                     layout_.block_columns + layout_.x_reach) + lanes, lanes) + lanes;
  sum_row_ = base::round_up(layout_.block_columns, lanes) + lanes;
  for (std::int64_t phase = 0; phase < g.x.s; ++phase) {
    for (std::int64_t b = 0; b < g.x.k; ++b)
      if (b * g.x.d % g.x.s == phase) tap_offsets_.push_back(b * g.co * product_row_ - b * g.x.d / g.x.s);
    tap_ends_.push_back(static_cast<std::int64_t>(tap_offsets_.size()));
  }
  shared_bytes_ = padded_bytes(g.co, sizeof(T)) + padded_bytes(g.ci, sizeof(T));
  const bool converts = p_.dtype != dtype_of<T>;
  slot_sizes_ = {padded_bytes((layout_.y_reach + 1) * layout_.strips * strip_stride_, sizeof(T)),
                 padded_bytes(layout_.most_columns * product_row_, sizeof(T)), padded_bytes(g.x.s * g.co * sum_row_, sizeof(T)),
                 padded_bytes(in_.direct(dtype_of<T>) ? 0 : layout_.bands * layout_.band_pixels * g.ci, sizeof(T)),
                 padded_bytes(converts ? layout_.block_columns * g.x.s * g.co : 0, sizeof(T)),
                 padded_bytes(layout_.strips * lanes, sizeof(T*)), padded_bytes(layout_.most_taps, sizeof(T*)),
                 padded_bytes(converts ? layout_.block_columns * g.x.s : 0, sizeof(Place))};
  slot_bytes_ = std::accumulate(slot_sizes_.begin(), slot_sizes_.end(), std::int64_t{0});
}

template <class T>
typename ScatterGemm<T>::Slot ScatterGemm<T>::slot(char* memory) const noexcept {
  const std::int64_t* size = slot_sizes_.data();
  const auto take = [&]<class P>(P*& p) { p = reinterpret_cast<P*>(std::exchange(memory, memory + *size++)); };
  Slot s;
  take(s.ring), take(s.products), take(s.sums), take(s.staged), take(s.woven), take(s.pixels), take(s.taps), take(s.places);
  return s;
}

template <class T>
void ScatterGemm<T>::run_packed(const void* x, const T* packed, const void* bias, void* y, char* memory) const noexcept {
  const Geometry& g = p_.geometry;
  T* wide_bias = reinterpret_cast<T*>(memory);
  T* zeros = reinterpret_cast<T*>(memory + padded_bytes(g.co, sizeof(T)));
  std::fill_n(wide_bias, g.co, T(0));
  if (p_.has_bias && bias)
    with_elements(p_.dtype, bias, [&](const auto* b) { std::transform(b, b + g.co, wide_bias, [](auto v) { return base::converted<T>(v); }); });
  std::fill_n(zeros, g.ci, T(0));
  char* slots = memory + shared_bytes_;
  std::atomic<std::int64_t> next{0};
  parallel_for(*e_.executor, static_cast<int>(workers_), workers_, [&](std::int64_t worker) {
    const Slot mine = slot(slots + worker * slot_bytes_);
    for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks_;)
      run_part({x, packed, wide_bias, zeros, y}, part(task), mine);
  });
}

template <class T>
typename ScatterGemm<T>::Part ScatterGemm<T>::part(std::int64_t task) const noexcept {
  const std::int64_t block = task % layout_.blocks, row = task / layout_.blocks % layout_.parts;
  Part p;
  p.n = task / layout_.blocks / layout_.parts;
  p.y0 = layout_.y_first + row * layout_.part_rows, p.y1 = std::min(p.y0 + layout_.part_rows, layout_.y_last);
  p.x0 = layout_.x_first + block * layout_.block_columns, p.x1 = std::min(p.x0 + layout_.block_columns, layout_.x_last);
  p.j0 = std::clamp<std::int64_t>(p.x0 - layout_.x_reach, 0, in_.w), p.j1 = std::clamp(p.x1, p.j0, in_.w);
  return p;
}

/// Row number r of the bands holds rows y0 + band * band_rows + r of the image, side by side.
template <class T>
void ScatterGemm<T>::run_part(const Call& call, const Part& part, const Slot& slot) const noexcept {
  const std::int64_t used = layout_.strips * layout_.lanes;
  for (std::int64_t n = 0; n < layout_.most_columns; ++n) {   // pixels left and right of the image
    T* row = slot.products + n * product_row_;
    std::fill_n(row, lead_, T(0));
    std::fill_n(row + lead_ + used, product_row_ - lead_ - used, T(0));
  }
  for (std::int64_t row = -layout_.y_reach; row < layout_.band_rows; ++row) {
    load_row(call, part, row, slot);
    if (row < 0) continue;
    const char* fetch = nullptr;                                // the next row of the image
    const std::int64_t bytes = (part.j1 - part.j0) * in_.c * static_cast<std::int64_t>(sizeof(T));
    if (fetches_ && part.y0 + row + 1 < in_.h)
      fetch = static_cast<const char*>(call.x) + (((part.n * in_.h + part.y0 + row + 1) * in_.w + part.j0) * in_.c) * static_cast<std::int64_t>(sizeof(T));
    const char* const fetched = fetch + (fetch ? bytes : 0);
    for (const ScatterUnit& unit : layout_.units) {
      const PhaseGroup& group = layout_.rows[unit.y];
      bool multiplied = false;
      for (std::int64_t band = 0; band < layout_.bands; ++band) {
        const std::int64_t q = part.y0 + band * layout_.band_rows + row;
        if (q >= part.y1 || q < group.first_block || q >= group.last_block) continue;
        if (!std::exchange(multiplied, true)) multiply(call, part, row, unit, fetch, fetched, slot);
        finish(call, part, q, band, unit, slot);
      }
    }
  }
}

/// The strips of one row of the bands: into the ring.
template <class T>
void ScatterGemm<T>::load_row(const Call& call, const Part& part, std::int64_t row, const Slot& slot) const noexcept {
  const std::int64_t ci = in_.c, width = part.j1 - part.j0, lanes = layout_.lanes;
  const bool direct = in_.direct(dtype_of<T>);
  const auto pixels_of = [&](std::int64_t band) -> const T* {   // null: outside the image
    const std::int64_t i = part.y0 + band * layout_.band_rows + row;
    if (i < 0 || i >= in_.h || width == 0) return nullptr;
    if (direct) return static_cast<const T*>(call.x) + ((part.n * in_.h + i) * in_.w + part.j0) * ci;
    T* staged = slot.staged + band * layout_.band_pixels * ci;
    load_pixels<T>(in_, call.x, part.n, i, part.j0, part.j1, staged);
    return staged;
  };
  T* strip = ring_row(slot, row);
  std::int64_t whole = 0;                                       // strips of one band, without a gap
  const T** to = slot.pixels;
  const T** const end = slot.pixels + layout_.strips * lanes;
  if (layout_.bands == 1) {
    const T* pixels = pixels_of(0);
    if (!pixels) return;                                        // multiply() leaves its taps out
    whole = width / lanes;
    kernels_.load_row(pixels, ci, whole, strip_stride_, direct && !fetches_ ? in_.w * ci : 0, strip);
    to += whole * lanes;
    for (std::int64_t j = whole * lanes; j < width; ++j) *to++ = pixels + j * ci;
  } else {
    for (std::int64_t band = 0; band < layout_.bands; ++band) {
      if (const T* pixels = pixels_of(band))
        for (std::int64_t j = 0; j < width; ++j) *to++ = pixels + j * ci;
      const T** const next = std::min(end, slot.pixels + (band + 1) * layout_.band_pixels);
      std::fill(to, next, call.zeros);
      to = next;
    }
  }
  std::fill(to, end, call.zeros);
  for (std::int64_t s = whole; s < layout_.strips; ++s) kernels_.load_pixels(slot.pixels + s * lanes, ci, strip + s * strip_stride_, lanes);
}

/// The products of a unit for one row of the bands. Taps whose row lies outside the image in every band are left out.
template <class T>
void ScatterGemm<T>::multiply(const Call& call, const Part& part, std::int64_t row, const ScatterUnit& unit, const char*& fetch,
                              const char* fetched, const Slot& slot) const noexcept {
  const std::vector<std::int64_t>& shifts = layout_.rows[unit.y].shifts;
  const std::int64_t top = part.y0 + row, bottom = top + (layout_.bands - 1) * layout_.band_rows;
  std::size_t t0 = 0, t1 = shifts.size();
  while (t1 > t0 && shifts[t1 - 1] > bottom) --t1;
  while (t0 < t1 && shifts[t0] <= top - in_.h) ++t0;
  for (std::size_t t = t0; t < t1; ++t) slot.taps[t] = ring_row(slot, row - shifts[t]);
  const std::int64_t steps_a_tap = shifts.empty() ? 0 : static_cast<std::int64_t>(unit.steps.size() / shifts.size());
  kernels::StripTask<T> task{.strips = slot.taps, .strip_stride = strip_stride_, .first_strip = 0,
                             .steps = unit.steps.data() + static_cast<std::int64_t>(t0) * steps_a_tap,
                             .step_count = static_cast<std::int64_t>(t1 - t0) * steps_a_tap, .panel = nullptr, .c = nullptr,
                             .c_stride = product_row_};
  // Of neighbouring panels of one width each tile's strips are read for all: weights stream, strips stay.
  for (auto panel = unit.panels.begin(); panel != unit.panels.end();) {
    const auto end = std::find_if(panel, unit.panels.end(), [&](const ScatterPanel& other) { return other.columns != panel->columns; });
    const std::int64_t tiles = base::ceil_div(layout_.strips, std::int64_t{kernels_.strips[panel->columns]});
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      task.first_strip = layout_.strips * tile / tiles;
      const auto run = kernels_.run[panel->columns][layout_.strips * (tile + 1) / tiles - task.first_strip];
      for (auto each = panel; each != end; ++each) {
        task.panel = call.kernel + each->packed;
        task.c = slot.products + each->first * product_row_ + lead_ + task.first_strip * layout_.lanes;
        task.fetch = fetch < fetched ? fetch : nullptr;
        run(task);
        if (fetch < fetched) fetch += static_cast<std::int64_t>(t1 - t0) * in_.c * 64;
      }
    }
    panel = end;
  }
}

/// The output rows of a unit in one row of blocks of one band.
template <class T>
void ScatterGemm<T>::finish(const Call& call, const Part& part, std::int64_t q, std::int64_t band, const ScatterUnit& unit,
                            const Slot& slot) const noexcept {
  const Geometry& g = p_.geometry;
  const PhaseGroup& group = layout_.rows[unit.y];
  const T* first = slot.products + lead_ + band * layout_.band_pixels + part.x0 - part.j0;
  for (std::int64_t p = 0; p < group.phases; ++p) {
    const std::int64_t oy = q * g.y.s + group.first_phase + p - g.y.crop;
    if (oy < 0 || oy >= g.y.o) continue;
    kernels_.sum({.from = first + p * g.x.k * g.co * product_row_, .from_stride = product_row_, .taps = tap_offsets_.data(),
                  .ends = tap_ends_.data(), .phases = g.x.s, .filters = g.co, .bias = call.bias, .relu = relu_, .to = slot.sums,
                  .to_stride = sum_row_, .count = part.x1 - part.x0});
    store(call, part, oy, slot);
  }
}

/// Activation and store of output row oy, whose phases lie in slot.sums.
template <class T>
void ScatterGemm<T>::store(const Call& call, const Part& part, std::int64_t oy, const Slot& slot) const noexcept {
  const std::int64_t co = out_.c, s = p_.geometry.x.s, width = part.x1 - part.x0;
  const std::int64_t begin = part.x0 * s - p_.geometry.x.crop;           // output column of the first phase
  if (!linear_ && !relu_)
    kernels::activate(p_.activation, slot.sums, slot.sums, s * co * sum_row_, e_.isa);
  const bool last = out_.data_format == DataFormat::channels_last;
  if (p_.dtype == dtype_of<T> && (last || co == 1))
    return weave(slot.sums, sum_row_, s * co, begin * co, width, static_cast<T*>(call.y) + (part.n * out_.h + oy) * out_.w * co, out_.w * co);
  if (p_.dtype == dtype_of<T>) {
    for (std::int64_t f = 0; f < co; ++f)
      weave(slot.sums + f * sum_row_, co * sum_row_, s, begin, width,
            static_cast<T*>(call.y) + ((part.n * co + f) * out_.h + oy) * out_.w, out_.w);
    return;
  }
  kernels_.weave(kernels::Weave<T>{.from = slot.sums, .stride = sum_row_, .rows = s * co, .count = width, .to = slot.woven});
  const std::int64_t first = last ? (part.n * out_.h + oy) * out_.w * co : (part.n * co * out_.h + oy) * out_.w;
  for (std::int64_t i = 0; i < width * s; ++i) slot.places[i] = {first + (begin + i) * (last ? co : 1), begin + i};
  store_tile<T>(out_, call.y, slot.woven, co, {0, co, 1}, slot.places, width * s);
}

/// Weaves `rows` rows of `count` pixels into to[begin ...]; what falls outside [0, length) is left out.
template <class T>
void ScatterGemm<T>::weave(const T* from, std::int64_t stride, std::int64_t rows, std::int64_t begin, std::int64_t count, T* to,
                           std::int64_t length) const noexcept {
  const std::int64_t low = std::clamp<std::int64_t>(base::ceil_div(std::max<std::int64_t>(0, -begin), rows), 0, count);
  const std::int64_t high = std::clamp<std::int64_t>((length - begin) / rows, low, count);
  const auto single = [&](std::int64_t i) {
    for (std::int64_t r = 0; r < rows; ++r)
      if (const std::int64_t at = begin + i * rows + r; at >= 0 && at < length) to[at] = from[r * stride + i];
  };
  for (std::int64_t i = 0; i < low; ++i) single(i);
  kernels_.weave(kernels::Weave<T>{.from = from + low, .stride = stride, .rows = rows, .count = high - low,
                                        .to = to + begin + low * rows});
  for (std::int64_t i = high; i < count; ++i) single(i);
}

}  // namespace

double scatter_work(const Problem& problem, int isa) {
  if (compute_dtype(problem.dtype) == DType::float64)
    return ScatterLayout<double>(problem.geometry, isa).work();
  return ScatterLayout<float>(problem.geometry, isa).work();
}

std::shared_ptr<const ForwardPlan> make_scatter_gemm_plan(const Problem& problem, const Execution& execution, std::string reason) {
  if (compute_dtype(problem.dtype) == DType::float64)
    return std::make_shared<ScatterGemm<double>>(problem, execution, std::move(reason));
  return std::make_shared<ScatterGemm<float>>(problem, execution, std::move(reason));
}

}  // namespace upconv::ops
