// SPDX-License-Identifier: Apache-2.0
// The general algorithm: an implicit GEMM over the cropped output, with only the taps that reach a pixel.
//
// Output pixel (oy, ox) is reached by tap (a, b) from input pixel ((oy + crop - a*d) / s, (ox + crop - b*d) / s) where both
// divisions are exact and inside the image. Rows with the same remainder share their list of a, columns their list of b:
// a phase. Rows of a phase whose a-lists are equal (all inner rows; border rows lose taps, which are skipped, not
// multiplied by zero) form bands. A band is cut into blocks of about kBlockPixels pixels; in a block, for every column
// phase, a table of row pointers is built once and swept by every panel of filters, tile by tile. A tap that falls outside
// on the left or right reads a row of zeros: dropping it would cut the tiles at image rows. (So an Inf in a weight may
// reach a border pixel that its tap does not; one in the input never does.)
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/checked.h"
#include "kernels/gemm.h"
#include "ops/packed_panels.h"
#include "ops/parallel.h"
#include "ops/plan.h"
#include "ops/rows.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlockPixels = 256;   // 64..1024 are within 2 % of each other; the pointer table stays in L1/L2

/// Taps of one output position along an axis: tap j and the input index it reads.
struct Reach {
  std::int64_t tap, input;
};

/// Output positions o = first, first + s, ... (count of them) whose tap lists agree; inputs grow by one a step.
struct Band {
  std::int64_t first, count;
  std::vector<Reach> taps;                   // at `first`
};

std::vector<Reach> taps_at(const Axis& axis, std::int64_t o, bool inside_only) {
  std::vector<Reach> taps;
  for (std::int64_t j = 0; j < axis.k; ++j) {
    const std::int64_t position = o + axis.crop - j * axis.d;
    const std::int64_t remainder = ((position % axis.s) + axis.s) % axis.s;
    if (remainder != 0) continue;
    const std::int64_t i = (position - remainder) / axis.s;
    if (!inside_only || (i >= 0 && i < axis.n)) taps.push_back({j, i});
  }
  return taps;
}

bool same_taps(const std::vector<Reach>& a, const std::vector<Reach>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Reach& x, const Reach& y) { return x.tap == y.tap; });
}

/// Rows: bands of equal live taps. Columns: one band a phase, dead taps kept.
std::vector<Band> bands(const Axis& axis, bool inside_only, std::int64_t longest) {
  std::vector<Band> out;
  for (std::int64_t phase = 0; phase < std::min(axis.s, axis.o); ++phase)
    for (std::int64_t o = phase; o < axis.o; o += axis.s) {
      std::vector<Reach> taps = taps_at(axis, o, inside_only);
      if (o != phase && out.back().count < longest && same_taps(out.back().taps, taps)) ++out.back().count;
      else out.push_back({o, 1, std::move(taps)});
    }
  return out;
}

template <class T>
class PhaseGemm final : public ForwardPlan {
 public:
  PhaseGemm(const Problem& problem, const Execution& execution, std::string reason)
      : p_(problem), e_(execution), reason_(std::move(reason)),
        in_{p_.dtype, p_.geometry.data_format, p_.geometry.y.n, p_.geometry.x.n, p_.geometry.ci},
        out_{p_.dtype, p_.geometry.data_format, p_.geometry.y.o, p_.geometry.x.o, p_.geometry.co},
        width_(kernels::gemm_panel_width(e_.isa, sizeof(T))), panels_(base::ceil_div(p_.geometry.co, width_)) {
    const Geometry& g = p_.geometry;
    columns_ = bands(g.x, false, kBlockPixels);
    rows_ = bands(g.y, true, std::max<std::int64_t>(1, kBlockPixels / base::ceil_div(std::max<std::int64_t>(1, g.x.o), g.x.s)));
    for (const Band& band : rows_)
      for (const Band& column : columns_)
        table_ = std::max(table_, static_cast<std::int64_t>(band.taps.size() * column.taps.size()) * band.count * column.count);
    for (const Band& band : rows_) {
      most_outputs_ = std::max(most_outputs_, band.count);
      if (!band.taps.empty())
        most_inputs_ = std::max(most_inputs_, band.taps.front().input - band.taps.back().input + band.count);
    }
    relu_ = p_.activation.function == kernels::Activation::relu && p_.activation.a == 0 && std::isinf(p_.activation.b) &&
            p_.activation.c == 0;
    linear_ = p_.activation.function == kernels::Activation::linear;
    const double work = static_cast<double>(g.input_elements()) * static_cast<double>(g.y.k * g.x.k * g.co);
    threads_ = work < kThreadingThreshold ? 1 : e_.threads;
    tasks_ = g.n * static_cast<std::int64_t>(rows_.size());
    // Few bands: split the panels too. The split changes no bit, every output is one call of one tile.
    panel_groups_ = std::clamp<std::int64_t>(base::ceil_div(std::int64_t{4} * threads_, std::max<std::int64_t>(1, tasks_)), 1,
                                             panels_);
    if (!out_direct() || !(linear_ || relu_)) panel_groups_ = 1;
    slots_ = threads_ == 1 ? 1 : tasks_ * panel_groups_;
  }

  const std::string& algorithm() const noexcept override { return algorithm_names()[kPhaseGemm]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override {
    return static_cast<std::size_t>(slots_ * slot_bytes() + shared_bytes());
  }
  std::size_t unpacked_workspace_bytes() const noexcept override { return workspace_bytes(); }
  std::string packing_key() const override { return "panels" + std::to_string(width_) + (sizeof(T) == 8 ? "d" : "f"); }

  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override {
    const Geometry& g = p_.geometry;
    auto packed = std::make_shared<PackedPanels<T>>(g.y.k * g.x.k, g.ci, g.co, width_);
    parallel_for(*e_.executor, threads_, packed->panels(),
                 [&](std::int64_t panel) { packed->pack(kernel, p_.dtype, panel, panel + 1); });
    return packed;
  }

  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override {
    const auto& packed = static_cast<const PackedPanels<T>&>(kernel);
    char* memory = static_cast<char*>(workspace);
    T* zeros = reinterpret_cast<T*>(memory);
    T* padded_bias = zeros + base::round_up(p_.geometry.ci, 64);
    std::fill_n(zeros, p_.geometry.ci, T(0));
    fill_bias(bias, padded_bias);
    char* slots = memory + shared_bytes();
    parallel_for(*e_.executor, threads_, tasks_ * panel_groups_, [&](std::int64_t task) {
      char* slot = slots + (threads_ == 1 ? 0 : task) * slot_bytes();
      const std::int64_t group = task % panel_groups_, item = task / panel_groups_;
      const std::int64_t first = panels_ * group / panel_groups_, last = panels_ * (group + 1) / panel_groups_;
      const auto band_count = static_cast<std::int64_t>(rows_.size());
      run_band({x, &packed, p_.has_bias ? padded_bias : nullptr, zeros, y, slot}, item / band_count,
               rows_[static_cast<std::size_t>(item % band_count)], first, last);
    });
  }

  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override {
    run(x, *pack(kernel), bias, y, workspace);
  }

 private:
  struct Call {
    const void* x;
    const PackedPanels<T>* kernel;
    const T* bias;                           // padded to whole panels, or null
    const T* zeros;
    void* y;
    char* slot;
  };

  bool in_direct() const noexcept { return in_.direct(dtype_of<T>); }
  bool out_direct() const noexcept { return out_.direct(dtype_of<T>); }

  // A slot: staged input rows, staged output rows, the table of row pointers.
  std::int64_t staged_input() const noexcept {
    return in_direct() ? 0 : base::round_up(most_inputs_ * in_.w * in_.c * static_cast<std::int64_t>(sizeof(T)), 64);
  }
  std::int64_t staged_output() const noexcept {
    return out_direct() ? 0 : base::round_up(most_outputs_ * out_.w * out_.c * static_cast<std::int64_t>(sizeof(T)), 64);
  }
  std::int64_t slot_bytes() const noexcept {
    return staged_input() + staged_output() + base::round_up(table_ * static_cast<std::int64_t>(sizeof(T*)), 64);
  }
  std::int64_t shared_bytes() const noexcept {
    return (base::round_up(p_.geometry.ci, 64) + base::round_up(panels_ * width_, 64)) * static_cast<std::int64_t>(sizeof(T));
  }

  void fill_bias(const void* bias, T* padded) const noexcept {
    if (!p_.has_bias) return;
    std::fill_n(padded, panels_ * width_, T(0));
    load_row<T>({p_.dtype, DataFormat::channels_last, 1, 1, p_.geometry.co}, bias, 0, 0, padded);
  }

  /// Pixel 0 of the rows a band reads (its lowest input row), staged where the layout or the type is not the kernel's.
  const T* input_rows(const Call& call, std::int64_t n, const Band& band, T* staged) const noexcept {
    if (band.taps.empty()) return nullptr;
    const std::int64_t low = band.taps.back().input, count = band.taps.front().input - low + band.count;
    if (in_direct()) return static_cast<const T*>(call.x) + (n * in_.h + low) * in_.w * in_.c;
    for (std::int64_t i = 0; i < count; ++i) load_row<T>(in_, call.x, n, low + i, staged + i * in_.w * in_.c);
    return staged;
  }

  void run_band(const Call& call, std::int64_t n, const Band& band, std::int64_t first_panel, std::int64_t last_panel) const noexcept {
    T* staged_in = reinterpret_cast<T*>(call.slot);
    T* staged_out = reinterpret_cast<T*>(call.slot + staged_input());
    const T** table = reinterpret_cast<const T**>(call.slot + staged_input() + staged_output());
    const T* x = input_rows(call, n, band, staged_in);
    const std::int64_t row_elements = out_.w * out_.c;
    T* y = out_direct() ? static_cast<T*>(call.y) + (n * out_.h + band.first) * row_elements : staged_out;
    const std::int64_t y_row = out_direct() ? p_.geometry.y.s * row_elements : row_elements;
    for (const Band& column : columns_) run_phase(call, band, column, x, y, y_row, table, first_panel, last_panel);
    for (std::int64_t r = 0; r < band.count; ++r) {
      T* row = y + r * y_row;
      if (!linear_ && !relu_) kernels::activate(p_.activation, row, row, row_elements, e_.isa);
      if (!out_direct()) store_row<T>(out_, call.y, n, band.first + r * p_.geometry.y.s, row);
    }
  }

  /// Tiles of the pixels (r, t) of a band and a column phase, flattened; the last two tiles share their pixels evenly.
  void run_phase(const Call& call, const Band& band, const Band& column, const T* x, T* y, std::int64_t y_row, const T** table,
                 std::int64_t first_panel, std::int64_t last_panel) const noexcept {
    const std::int64_t pixels = band.count * column.count;
    const std::int64_t tiles = base::ceil_div(pixels, kernels::gemm_tile_rows);
    const auto taps = static_cast<std::int64_t>(band.taps.size() * column.taps.size());
    const auto first_pixel = [&](std::int64_t tile) { return pixels * tile / tiles; };
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      fill_table(band, column, x, call.zeros, first_pixel(tile), first_pixel(tile + 1), table + first_pixel(tile) * taps);
    const T* panels[kMostTaps];
    T* out[kernels::gemm_tile_rows];
    for (std::int64_t panel = first_panel; panel < last_panel; ++panel) {
      std::int64_t t = 0;
      for (const Reach& a : band.taps)
        for (const Reach& b : column.taps) panels[t++] = call.kernel->panel(panel, a.tap * p_.geometry.x.k + b.tap);
      for (std::int64_t tile = 0; tile < tiles; ++tile) {
        const std::int64_t first = first_pixel(tile), count = first_pixel(tile + 1) - first;
        for (std::int64_t m = 0; m < count; ++m) {
          const std::int64_t r = (first + m) / column.count, c = (first + m) % column.count;
          out[m] = y + r * y_row + (column.first + c * p_.geometry.x.s) * out_.c + panel * width_;
        }
        kernels::gemm({table + first * taps, panels, taps, p_.geometry.ci, call.bias ? call.bias + panel * width_ : nullptr, out,
                       std::min(width_, out_.c - panel * width_), relu_},
                      count, e_.isa);
      }
    }
  }

  /// table[tap][m] -> channels of the input pixel that tap reads for output pixel first + m.
  void fill_table(const Band& band, const Band& column, const T* x, const T* zeros, std::int64_t first, std::int64_t last,
                  const T** table) const noexcept {
    for (const Reach& a : band.taps)
      for (const Reach& b : column.taps)
        for (std::int64_t pixel = first; pixel < last; ++pixel) {
          const std::int64_t i = a.input - band.taps.back().input + pixel / column.count, j = b.input + pixel % column.count;
          *table++ = j >= 0 && j < in_.w ? x + (i * in_.w + j) * in_.c : zeros;
        }
  }

 public:
  static constexpr std::int64_t kMostTaps = 4096;   // of one output pixel; larger kernels go to "reference"

 private:
  Problem p_;
  Execution e_;
  std::string reason_;
  Image in_, out_;
  std::int64_t width_, panels_;
  std::vector<Band> columns_, rows_;
  std::int64_t table_ = 0, most_outputs_ = 0, most_inputs_ = 0;
  bool relu_ = false, linear_ = false;
  int threads_ = 1;
  std::int64_t tasks_ = 0, panel_groups_ = 1, slots_ = 1;
};

}  // namespace

std::shared_ptr<const ForwardPlan> make_phase_gemm_plan(const Problem& problem, const Execution& execution, std::string reason) {
  if (compute_dtype(problem.dtype) == DType::float64)
    return std::make_shared<PhaseGemm<double>>(problem, execution, std::move(reason));
  return std::make_shared<PhaseGemm<float>>(problem, execution, std::move(reason));
}

}  // namespace upconv::ops
