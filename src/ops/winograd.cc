// SPDX-License-Identifier: Apache-2.0
// Winograd on the phases of a transposed convolution. Where every phase has the same r = k / s taps, a phase (or all
// phases of an axis together, which then share their input windows) is a stride-1 correlation with r taps, computed in
// tiles of m output blocks through `points` products instead of m * r.
//
// For a block of tiles: transform the inputs to v[point][tile][ci]; then, for a chunk of columns (phase, phase, filter),
// one GEMM a point against the transformed kernel and the transform of the products into outputs, while they lie in L2.
// A tile with a result that is not finite is computed again, product by product, so that NaN and Inf reach exactly the
// outputs they should. Which tiles there are depends on one sample's geometry only; so no bit depends on batch or threads.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/text.h"
#include "kernels/tiles.h"
#include "kernels/winograd.h"
#include "ops/parallel.h"
#include "ops/phases.h"
#include "ops/plan.h"

namespace upconv::ops {

namespace {

using kernels::Winograd;
using kernels::WinogradScheme;

constexpr std::int64_t kChunkColumns = 128;

struct Choice {
  Winograd y = Winograd::f11, x = Winograd::f11;
  bool share_y = false, share_x = false;   // the phases of the axis share their windows
  double cost = std::numeric_limits<double>::infinity();
};

/// The phases of one window: their tiles, and where their columns lie packed.
struct Window {
  PhaseGroup y, x;
  std::int64_t tiles_y = 0, tiles_x = 0, columns = 0, width = 0, packed = 0, bias = 0;
  std::vector<int> panels;
};

/// Taps of every phase of the axis; 0 if they differ or a tap is dead.
std::int64_t common_taps(const Axis& axis) {
  if (axis.d != 1 || axis.k % axis.s != 0 || axis.n == 0) return 0;
  const auto r = static_cast<std::size_t>(axis.k / axis.s);
  for (const PhaseGroup& group : phase_groups(axis, false))
    if (group.shifts.size() != r) return 0;
  return static_cast<std::int64_t>(r);
}

/// Six points where their error stays within a few times a direct sum's: three taps, or two along one axis only.
std::vector<Winograd> schemes(std::int64_t taps, bool one_axis) {
  if (taps == 1) return {Winograd::f11};
  if (taps == 2) return one_axis ? std::vector{Winograd::f32, Winograd::f52} : std::vector{Winograd::f32};
  if (taps == 3) return {Winograd::f23, Winograd::f43};
  return {};
}

std::int64_t tiles_of(const std::vector<PhaseGroup>& groups, std::int64_t outputs) {
  std::int64_t tiles = 0;
  for (const PhaseGroup& group : groups) tiles += base::ceil_div(group.last_block - group.first_block, outputs) * group.phases;
  return tiles;
}

double cost_of(const Geometry& g, const Choice& c) {
  const WinogradScheme &y = kernels::winograd_scheme(c.y), &x = kernels::winograd_scheme(c.x);
  const std::vector<PhaseGroup> rows = phase_groups(g.y, c.share_y), columns = phase_groups(g.x, c.share_x);
  const auto points = static_cast<double>(y.points * x.points);
  const auto tiles = static_cast<double>(tiles_of(rows, y.outputs) * tiles_of(columns, x.outputs));   // times phases
  const double windows = static_cast<double>((c.share_y ? 1 : g.y.s) * (c.share_x ? 1 : g.x.s));
  const double phases = static_cast<double>(g.y.s * g.x.s), short_rows = std::max(1.0, 4 * phases / std::max(1.0, tiles));
  const auto ci = static_cast<double>(g.ci), co = static_cast<double>(g.co);
  const double multiplies = points * tiles * (short_rows * ci * co + 12 * ci * windows / phases + 10 * co + 4 * co);
  const double weights = 15.0 * points * phases * ci * co;   // multiply-adds in the time a weight is read from memory
  return std::max(multiplies, weights);
}

Choice best_choice(const Problem& p) {
  const Geometry& g = p.geometry;
  Choice best;
  const std::int64_t ry = common_taps(g.y), rx = common_taps(g.x);
  if (p.dtype != DType::float32 || g.data_format != DataFormat::channels_last || g.ci < 16 || g.co < 8) return best;
  if (ry == 0 || rx == 0 || (ry == 1 && rx == 1) || (ry > 1 && rx > 1 && ry != rx)) return best;
  const bool one_axis = ry == 1 || rx == 1;
  for (const Winograd y : schemes(ry, one_axis))
    for (const Winograd x : schemes(rx, one_axis)) {
      if (y != x && y != Winograd::f11 && x != Winograd::f11) continue;
      for (const bool share_y : {false, true})
        for (const bool share_x : {false, true}) {
          Choice c{y, x, share_y, share_x};
          c.cost = cost_of(g, c);
          if (c.cost < best.cost) best = c;
        }
    }
  return best;
}

std::int64_t bytes_of(std::int64_t elements, std::size_t size) {
  return base::round_up(base::checked_mul(elements, static_cast<std::int64_t>(size), "workspace size"), 64);
}

class WinogradPlan final : public ForwardPlan {
 public:
  WinogradPlan(const Problem& problem, const Execution& execution, std::string reason);

  const std::string& algorithm() const noexcept override { return algorithm_names()[kWinograd]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override { return static_cast<std::size_t>(shared_bytes_ + workers_ * slot_bytes_); }
  std::size_t unpacked_workspace_bytes() const noexcept override {
    return workspace_bytes() + static_cast<std::size_t>(bytes_of(packed_elements_, sizeof(float)));
  }
  std::string packing_key() const override {
    std::string key = base::cat("winograd", static_cast<int>(choice_.y), static_cast<int>(choice_.x), ",", kernels_.lanes);
    for (const Window& w : windows_)
      key += base::cat(";", w.y.first_phase, "x", w.y.phases, ",", w.x.first_phase, "x", w.x.phases);
    return key;
  }
  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override {
    auto packed = std::make_shared<Packed>(packed_elements_ + p_.geometry.kernel_elements());
    float* data = packed->data.data<float>();
    pack_into(static_cast<const float*>(kernel), data);
    std::copy_n(static_cast<const float*>(kernel), p_.geometry.kernel_elements(), data + packed_elements_);   // for recompute()
    return packed;
  }
  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override {
    const auto* packed = static_cast<const float*>(static_cast<const Packed&>(kernel).data.bytes());
    run_packed(x, packed, packed + packed_elements_, bias, y, static_cast<char*>(workspace));
  }
  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override {
    char* memory = static_cast<char*>(workspace);
    float* packed = reinterpret_cast<float*>(memory + workspace_bytes());
    pack_into(static_cast<const float*>(kernel), packed);
    run_packed(x, packed, static_cast<const float*>(kernel), bias, y, memory);
  }

 private:
  struct Packed final : PackedKernel {
    explicit Packed(std::int64_t elements) : data(Tensor::uninitialized({elements})) {}
    std::size_t bytes() const noexcept override { return data.byte_size(); }
    Tensor data;
  };
  struct Call {
    const float *x, *kernel, *weights, *bias, *zeros;   // kernel: transformed; weights: as they were
    float* y;
  };
  struct Tile {
    std::int64_t n, y, x;   // image, first block of rows and of columns
  };

  void pack_into(const float* kernel, float* packed) const noexcept;
  void run_packed(const void* x, const float* kernel, const float* weights, const void* bias, void* y, char* memory) const noexcept;
  void run_block(const Call& call, const Window& w, std::int64_t first, std::int64_t count, float* v, float* m) const noexcept;
  void multiply(const Call& call, const Window& w, std::size_t first_panel, std::size_t last_panel, std::int64_t first_column,
                std::int64_t count, const float* v, float* m) const noexcept;
  void finish(const Call& call, const Window& w, const Tile& tile, std::int64_t first, std::int64_t last, const float* m) const noexcept;
  void recompute(const Call& call, const Window& w, const Tile& tile, std::int64_t phase_y, std::int64_t phase_x, std::int64_t f0,
                 std::int64_t f1, float* const* y) const noexcept;
  Tile tile(const Window& w, std::int64_t index) const noexcept {
    const std::int64_t x = index % w.tiles_x, y = index / w.tiles_x % w.tiles_y;
    return {index / (w.tiles_x * w.tiles_y), w.y.first_block + y * sy_.outputs, w.x.first_block + x * sx_.outputs};
  }

  Problem p_;
  Execution e_;
  std::string reason_;
  Choice choice_;
  const WinogradScheme &sy_, &sx_;
  const kernels::TileKernels<float>& kernels_;
  std::vector<Window> windows_;
  std::vector<kernels::TileStep> steps_;
  std::int64_t points_ = 1, block_ = 64, row_ = 0, v_stride_ = 0, m_row_ = 0, m_stride_ = 0;
  std::int64_t packed_elements_ = 0, bias_elements_ = 0, workers_ = 1, shared_bytes_ = 0, slot_bytes_ = 0;
  bool linear_ = false, relu_ = false;
};

WinogradPlan::WinogradPlan(const Problem& problem, const Execution& execution, std::string reason)
    : p_(problem), e_(execution), reason_(std::move(reason)), choice_(best_choice(problem)),
      sy_(kernels::winograd_scheme(choice_.y)), sx_(kernels::winograd_scheme(choice_.x)),
      kernels_(kernels::tile_kernels<float>(e_.isa)) {
  const Geometry& g = p_.geometry;
  points_ = sy_.points * sx_.points;
  block_ = points_ > 16 ? 48 : points_ > 6 ? 64 : 96;
  steps_ = kernels::tile_steps(1, g.ci);
  std::int64_t blocks = 0;
  for (const PhaseGroup& y : phase_groups(g.y, choice_.share_y))
    for (const PhaseGroup& x : phase_groups(g.x, choice_.share_x)) {
      Window w;
      w.y = y, w.x = x;
      w.tiles_y = base::ceil_div(y.last_block - y.first_block, std::int64_t{sy_.outputs});
      w.tiles_x = base::ceil_div(x.last_block - x.first_block, std::int64_t{sx_.outputs});
      w.columns = y.phases * x.phases * g.co;
      w.panels = kernels::tile_panels(kernels_, w.columns, g.ci);
      for (const int vectors : w.panels) w.width += vectors * kernels_.lanes;
      w.packed = std::exchange(packed_elements_, packed_elements_ + points_ * w.width * g.ci);
      w.bias = std::exchange(bias_elements_, bias_elements_ + w.width + 64);
      blocks += base::ceil_div(g.n * w.tiles_y * w.tiles_x, block_);
      windows_.push_back(std::move(w));
    }
  // A line of padding keeps the points' planes, and rows of a multiple of 1024 bytes, off the same cache sets.
  row_ = base::round_up(g.ci, 16) + (g.ci % 256 == 0 ? 16 : 0);
  v_stride_ = block_ * row_ + 16;
  m_row_ = kChunkColumns + 64;
  m_stride_ = block_ * m_row_ + 16;
  const kernels::ActivationSpec& f = p_.activation;
  linear_ = f.function == kernels::Activation::linear;
  relu_ = f.function == kernels::Activation::relu && f.a == 0 && std::isinf(f.b) && f.c == 0;
  const double products = static_cast<double>(g.n) * choice_.cost;
  workers_ = products < kThreadingThreshold ? 1 : std::clamp<std::int64_t>(blocks, 1, e_.threads);
  shared_bytes_ = bytes_of(bias_elements_ + 64, sizeof(float)) + bytes_of(g.ci, sizeof(float));
  slot_bytes_ = bytes_of(points_ * v_stride_, sizeof(float)) + bytes_of(points_ * m_stride_ + 64, sizeof(float));
}

/// packed[point][panel][ci][width] = G kernel G^T, in double and rounded once. A correlation reads its inputs upwards, the
/// phases downwards: tap q of the scheme is the phase's tap taps - 1 - q.
void WinogradPlan::pack_into(const float* kernel, float* packed) const noexcept {
  const Geometry& g = p_.geometry;
  const int threads = static_cast<double>(packed_elements_) < kThreadingThreshold ? 1 : e_.threads;
  for (const Window& w : windows_) {
    parallel_for(*e_.executor, threads, base::ceil_div(g.ci, 16), [&](std::int64_t part) {
      std::int64_t first = 0;
      for (const int vectors : w.panels) {
        const std::int64_t width = vectors * kernels_.lanes;
        for (std::int64_t n = 0; n < width; ++n) {
          const std::int64_t column = first + n, phase = column / g.co, f = column % g.co;
          for (std::int64_t c = part * 16; c < std::min(g.ci, part * 16 + 16); ++c) {
            double taps[3][3] = {}, half[6][3];
            if (column < w.columns)
              for (int a = 0; a < sy_.taps; ++a)
                for (int b = 0; b < sx_.taps; ++b) {
                  const std::int64_t ty = w.y.tap(g.y, phase / w.x.phases, static_cast<std::size_t>(sy_.taps - 1 - a)),
                                     tx = w.x.tap(g.x, phase % w.x.phases, static_cast<std::size_t>(sx_.taps - 1 - b));
                  taps[a][b] = static_cast<double>(kernel[((ty * g.x.k + tx) * g.co + f) * g.ci + c]);
                }
            for (int i = 0; i < sy_.points; ++i)
              for (int b = 0; b < sx_.taps; ++b) {
                half[i][b] = 0;
                for (int a = 0; a < sy_.taps; ++a) half[i][b] += sy_.kernel[i][a] * taps[a][b];
              }
            for (int i = 0; i < sy_.points; ++i)
              for (int j = 0; j < sx_.points; ++j) {
                double u = 0;
                for (int b = 0; b < sx_.taps; ++b) u += sx_.kernel[j][b] * half[i][b];
                packed[w.packed + (i * sx_.points + j) * w.width * g.ci + first * g.ci + c * width + n] = static_cast<float>(u);
              }
          }
        }
        first += width;
      }
    });
  }
}

void WinogradPlan::run_packed(const void* x, const float* kernel, const float* weights, const void* bias, void* y,
                              char* memory) const noexcept {
  const Geometry& g = p_.geometry;
  float* spread = reinterpret_cast<float*>(memory);
  float* zeros = reinterpret_cast<float*>(memory + bytes_of(bias_elements_ + 64, sizeof(float)));
  std::fill_n(zeros, g.ci, 0.0f);
  std::fill_n(spread, bias_elements_ + 64, 0.0f);
  if (p_.has_bias && bias)
    for (const Window& w : windows_)
      for (std::int64_t i = 0; i < w.columns; ++i) spread[w.bias + i] = static_cast<const float*>(bias)[i % g.co];
  const Call call{static_cast<const float*>(x), kernel, weights, spread, zeros, static_cast<float*>(y)};
  char* slots = memory + shared_bytes_;
  std::atomic<std::int64_t> next{0};
  parallel_for(*e_.executor, static_cast<int>(workers_), workers_, [&](std::int64_t worker) {
    float* v = reinterpret_cast<float*>(slots + worker * slot_bytes_);
    float* m = reinterpret_cast<float*>(slots + worker * slot_bytes_ + bytes_of(points_ * v_stride_, sizeof(float)));
    std::int64_t item = next.fetch_add(1, std::memory_order_relaxed), before = 0;
    for (const Window& w : windows_) {
      const std::int64_t tiles = g.n * w.tiles_y * w.tiles_x, blocks = base::ceil_div(tiles, block_);
      for (; item < before + blocks; item = next.fetch_add(1, std::memory_order_relaxed)) {
        const std::int64_t first = tiles * (item - before) / blocks, last = tiles * (item - before + 1) / blocks;
        run_block(call, w, first, last - first, v, m);
      }
      before += blocks;
    }
  });
}

void WinogradPlan::run_block(const Call& call, const Window& w, std::int64_t first, std::int64_t count, float* v, float* m) const noexcept {
  const Geometry& g = p_.geometry;
  const float* pixels[36];
  for (std::int64_t t = 0; t < count; ++t) {
    const Tile at = tile(w, first + t);
    for (int a = 0; a < sy_.points; ++a)
      for (int b = 0; b < sx_.points; ++b) {
        const std::int64_t i = at.y - (sy_.taps - 1) + a, j = at.x - (sx_.taps - 1) + b;
        const bool inside = i >= 0 && i < g.y.n && j >= 0 && j < g.x.n;
        pixels[a * sx_.points + b] = inside ? call.x + ((at.n * g.y.n + i) * g.x.n + j) * g.ci : call.zeros;
      }
    kernels::winograd_input(choice_.y, choice_.x, {pixels, g.ci, v + t * row_, v_stride_}, e_.isa);
  }
  std::int64_t column = 0;
  for (std::size_t panel = 0; panel < w.panels.size();) {
    std::size_t last = panel;
    std::int64_t width = 0;
    while (last < w.panels.size() && (last == panel || width + w.panels[last] * kernels_.lanes <= kChunkColumns))
      width += w.panels[last++] * kernels_.lanes;
    multiply(call, w, panel, last, column, count, v, m);
    for (std::int64_t t = 0; t < count; ++t)
      finish(call, w, tile(w, first + t), column, std::min(column + width, w.columns), m + t * m_row_);
    column += width;
    panel = last;
  }
}

/// m[point][tile][column - first_column] = v[point][tile] * packed[point] for the columns of some panels.
void WinogradPlan::multiply(const Call& call, const Window& w, std::size_t first_panel, std::size_t last_panel,
                            std::int64_t first_column, std::int64_t count, const float* v, float* m) const noexcept {
  const std::int64_t ci = p_.geometry.ci;
  const float* rows[96];
  float* c[96];
  for (std::int64_t point = 0; point < points_; ++point) {
    for (std::int64_t t = 0; t < count; ++t) rows[t] = v + point * v_stride_ + t * row_, c[t] = m + point * m_stride_ + t * m_row_;
    std::int64_t column = first_column;
    for (std::size_t panel = first_panel; panel < last_panel; ++panel) {
      const int vectors = w.panels[panel];
      const std::int64_t width = vectors * kernels_.lanes, tiles = base::ceil_div(count, std::int64_t{kernels_.rows[vectors]});
      for (std::int64_t i = 0; i < tiles; ++i) {
        const std::int64_t t = count * i / tiles;
        kernels_.run[vectors][count * (i + 1) / tiles - t](
            {.rows = rows + t, .tap_stride = 0, .steps = steps_.data(), .step_count = static_cast<std::int64_t>(steps_.size()),
             .panel = call.kernel + w.packed + point * w.width * ci + column * ci, .bias = nullptr, .c = c + t,
             .c_offset = column - first_column, .columns = width, .relu = false});
      }
      column += width;
    }
  }
}

/// Outputs of a tile for columns [first, last); m points at the tile's products, column `first` first.
void WinogradPlan::finish(const Call& call, const Window& w, const Tile& at, std::int64_t first, std::int64_t last, const float* m) const noexcept {
  const Geometry& g = p_.geometry;
  float* y[25];
  for (std::int64_t column = first; column < last;) {
    const std::int64_t phase = column / g.co, f0 = column % g.co, f1 = std::min(g.co, f0 + last - column);
    const std::int64_t py = phase / w.x.phases, px = phase % w.x.phases;
    for (int i = 0; i < sy_.outputs; ++i)
      for (int j = 0; j < sx_.outputs; ++j) {
        const std::int64_t oy = (at.y + i) * g.y.s + w.y.first_phase + py - g.y.crop, ox = (at.x + j) * g.x.s + w.x.first_phase + px - g.x.crop;
        const bool inside = oy >= 0 && oy < g.y.o && ox >= 0 && ox < g.x.o;
        y[i * sx_.outputs + j] = inside ? call.y + ((at.n * g.y.o + oy) * g.x.o + ox) * g.co + f0 : nullptr;
      }
    const bool finite = kernels::winograd_output(
        choice_.y, choice_.x, {m + column - first, m_stride_, call.bias + w.bias + column, f1 - f0, y, relu_}, e_.isa);
    if (!finite) recompute(call, w, at, py, px, f0, f1, y);
    if (!linear_ && (!relu_ || !finite))
      for (int i = 0; i < sy_.outputs * sx_.outputs; ++i)
        if (y[i]) kernels::activate(p_.activation, y[i], y[i], f1 - f0, e_.isa);
    column += f1 - f0;
  }
}

/// The sums of a tile, product by product, before the activation.
void WinogradPlan::recompute(const Call& call, const Window& w, const Tile& at, std::int64_t phase_y, std::int64_t phase_x,
                             std::int64_t f0, std::int64_t f1, float* const* y) const noexcept {
  const Geometry& g = p_.geometry;
  for (int o = 0; o < sy_.outputs * sx_.outputs; ++o) {
    if (!y[o]) continue;
    for (std::int64_t f = f0; f < f1; ++f) {
      double sum = static_cast<double>(call.bias[w.bias + f]);
      for (int a = 0; a < sy_.taps; ++a)
        for (int b = 0; b < sx_.taps; ++b) {
          const std::int64_t i = at.y + o / sx_.outputs - a, j = at.x + o % sx_.outputs - b;
          if (i < 0 || i >= g.y.n || j < 0 || j >= g.x.n) continue;
          const std::int64_t tap = w.y.tap(g.y, phase_y, static_cast<std::size_t>(a)) * g.x.k + w.x.tap(g.x, phase_x, static_cast<std::size_t>(b));
          const float *pixel = call.x + ((at.n * g.y.n + i) * g.x.n + j) * g.ci, *weight = call.weights + (tap * g.co + f) * g.ci;
          for (std::int64_t c = 0; c < g.ci; ++c) sum += static_cast<double>(pixel[c]) * static_cast<double>(weight[c]);
        }
      y[o][f - f0] = static_cast<float>(sum);
    }
  }
}

}  // namespace

double winograd_work(const Problem& problem) { return best_choice(problem).cost; }

std::shared_ptr<const ForwardPlan> make_winograd_plan(const Problem& problem, const Execution& execution, std::string reason) {
  return std::make_shared<WinogradPlan>(problem, execution, std::move(reason));
}

}  // namespace upconv::ops
