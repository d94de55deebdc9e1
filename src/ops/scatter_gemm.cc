// SPDX-License-Identifier: Apache-2.0
// Few filters: the phases of such a layer would fill a few lanes of a vector. Here all taps are columns of one GEMM,
//   products[pixel][a][b][f] = sum over c of x[pixel][c] * kernel[a][b][f][c],
// which fills kh * kw * filters lanes, and each pixel's products are then added to the output rows they fall on. The rows
// in the making are a ring of one effective kernel's height, in the natural (uncropped) output's coordinates; a row that
// no later input reaches gets bias and activation and is stored.
//
// A task owns a range of output rows and computes every input row that reaches them, adding only to its own: each output
// is summed in the order of its input rows and columns, whatever the split.
#include <algorithm>
#include <utility>
#include <vector>

#include "base/checked.h"
#include "base/text.h"
#include "kernels/overlap.h"
#include "kernels/tiles.h"
#include "ops/pack.h"
#include "ops/parallel.h"
#include "ops/pixels.h"
#include "ops/plan.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kChunkPixels = 48;      // products of a chunk stay in L1
constexpr std::int64_t kTaskRows = 32;         // output rows of a task, at least; each task repeats a kernel's height of work

std::int64_t bytes_of(std::int64_t elements, std::size_t size) {
  return base::round_up(base::checked_mul(elements, static_cast<std::int64_t>(size), "workspace size"), 64);
}

template <class T>
class ScatterGemm final : public ForwardPlan {
 public:
  ScatterGemm(const Problem& problem, const Execution& execution, std::string reason)
      : p_(problem), e_(execution), reason_(std::move(reason)), kernels_(kernels::tile_kernels<T>(e_.isa)),
        in_{p_.dtype, p_.geometry.data_format, p_.geometry.y.n, p_.geometry.x.n, p_.geometry.ci},
        out_{p_.dtype, p_.geometry.data_format, p_.geometry.y.o, p_.geometry.x.o, p_.geometry.co} {
    const Geometry& g = p_.geometry;
    columns_ = g.y.k * g.x.k * g.co;
    panels_ = kernels::tile_panels(kernels_, columns_, g.ci);
    for (const int vectors : panels_) width_ += vectors * kernels_.lanes;
    steps_ = kernels::tile_steps(1, g.ci);
    // Taps of a row lie side by side in the output unless they are spread.
    chunk_taps_ = g.x.d == 1 ? g.x.k : 1;
    const std::int64_t natural = std::max<std::int64_t>(g.x.n - 1, 0) * g.x.s + g.x.effective_kernel();
    row_ = base::round_up(std::max(natural, g.x.o + g.x.crop) * g.co + kernels::overlap_padding, 16);
    const double products = static_cast<double>(g.n * g.y.n * g.x.n) * static_cast<double>(columns_ * g.ci);
    const std::int64_t threads = products < kThreadingThreshold ? 1 : e_.threads;
    const std::int64_t rows = std::max(kTaskRows, 4 * g.y.effective_kernel());
    parts_ = g.y.o == 0 || g.co * g.x.o == 0 ? 0 : std::max<std::int64_t>(1, g.y.o / rows);
    workers_ = std::clamp<std::int64_t>(g.n * parts_, 1, threads);
    slot_bytes_ = bytes_of(row_ * g.y.effective_kernel(), sizeof(T)) + bytes_of(kChunkPixels * width_ + kernels::overlap_padding, sizeof(T)) +
                  bytes_of(in_.direct(dtype_of<T>) ? 0 : kChunkPixels * g.ci, sizeof(T)) + bytes_of(g.y.k * g.x.k, sizeof(T*)) +
                  bytes_of(g.x.o, sizeof(Place));
  }

  const std::string& algorithm() const noexcept override { return algorithm_names()[kScatterGemm]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override {
    return static_cast<std::size_t>(bytes_of(p_.geometry.co, sizeof(T)) + workers_ * slot_bytes_);
  }
  std::size_t unpacked_workspace_bytes() const noexcept override {
    return workspace_bytes() + static_cast<std::size_t>(bytes_of(width_ * p_.geometry.ci, sizeof(T)));
  }
  std::string packing_key() const override { return base::cat("scatter", sizeof(T), ",", kernels_.lanes); }

  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override {
    auto packed = std::make_shared<Packed>(width_ * p_.geometry.ci);
    pack_into(kernel, packed->data.template data<T>());
    return packed;
  }
  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override {
    run_packed(x, static_cast<const T*>(static_cast<const Packed&>(kernel).data.bytes()), bias, y, static_cast<char*>(workspace));
  }
  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override {
    char* memory = static_cast<char*>(workspace);
    T* packed = reinterpret_cast<T*>(memory + workspace_bytes());
    pack_into(kernel, packed);
    run_packed(x, packed, bias, y, memory);
  }

 private:
  struct Packed final : PackedKernel {
    explicit Packed(std::int64_t elements) : data(Tensor::uninitialized({elements}, dtype_of<T>)) {}
    std::size_t bytes() const noexcept override { return data.byte_size(); }
    Tensor data;
  };
  struct Slot {
    T* ring;            // effective kernel height x row_
    T* products;        // kChunkPixels x width_
    T* staged;
    T** rows;           // of the chunks of taps
    Place* places;
  };
  struct Call {
    const void* x;
    const T* kernel;
    const T* bias;
    void* y;
  };

  void pack_into(const void* kernel, T* packed) const noexcept {
    with_elements(p_.dtype, kernel, [&]<class E>(const E* k) {
      std::int64_t first = 0;
      for (const int vectors : panels_) {
        const std::int64_t width = vectors * kernels_.lanes, used = std::min(width, columns_ - first);
        const E* from[kernels::tile_max_tile / kernels::tile_max_rows];
        for (std::int64_t n = 0; n < used; ++n) from[n] = k + (first + n) * p_.geometry.ci;
        transpose_columns<T>(from, used, width, p_.geometry.ci, packed + first * p_.geometry.ci);
        first += width;
      }
    });
  }

  Slot slot(char* memory) const noexcept {
    const Geometry& g = p_.geometry;
    const auto take = [&](std::int64_t bytes) { return std::exchange(memory, memory + bytes); };
    Slot s;
    s.ring = reinterpret_cast<T*>(take(bytes_of(row_ * g.y.effective_kernel(), sizeof(T))));
    s.products = reinterpret_cast<T*>(take(bytes_of(kChunkPixels * width_ + kernels::overlap_padding, sizeof(T))));
    s.staged = reinterpret_cast<T*>(take(bytes_of(in_.direct(dtype_of<T>) ? 0 : kChunkPixels * g.ci, sizeof(T))));
    s.rows = reinterpret_cast<T**>(take(bytes_of(g.y.k * g.x.k, sizeof(T*))));
    s.places = reinterpret_cast<Place*>(memory);
    return s;
  }

  void run_packed(const void* x, const T* packed, const void* bias, void* y, char* memory) const noexcept {
    const Geometry& g = p_.geometry;
    T* wide_bias = reinterpret_cast<T*>(memory);
    std::fill_n(wide_bias, g.co, T(0));
    if (p_.has_bias && bias)
      with_elements(p_.dtype, bias, [&](const auto* b) { std::transform(b, b + g.co, wide_bias, [](auto v) { return base::converted<T>(v); }); });
    char* slots = memory + bytes_of(g.co, sizeof(T));
    parallel_for(*e_.executor, static_cast<int>(workers_), workers_, [&](std::int64_t worker) {
      const Slot mine = slot(slots + worker * slot_bytes_);
      const std::int64_t tasks = g.n * parts_;
      for (std::int64_t task = tasks * worker / workers_; task < tasks * (worker + 1) / workers_; ++task) {
        const std::int64_t part = task % parts_;
        run_rows({x, packed, wide_bias, y}, task / parts_, g.y.o * part / parts_, g.y.o * (part + 1) / parts_, mine);
      }
    });
  }

  /// Output rows [first, last) of image n.
  void run_rows(const Call& call, std::int64_t n, std::int64_t first, std::int64_t last, const Slot& slot) const noexcept {
    const Axis& y = p_.geometry.y;
    const std::int64_t height = y.effective_kernel(), top = first + y.crop, bottom = last + y.crop;
    std::fill_n(slot.ring, height * row_, T(0));
    std::int64_t next = top < height ? 0 : base::ceil_div(top - (height - 1), y.s);
    for (std::int64_t r = top; r < bottom; ++r) {
      for (; next < y.n && next * y.s <= r; ++next) add_input_row(call, n, next, r, bottom, slot);
      T* row = slot.ring + r % height * row_;
      finish_row(call, n, r - y.crop, row, slot);
      std::fill_n(row, row_, T(0));
    }
  }

  /// Adds the products of input row i to the natural output rows in [low, high).
  void add_input_row(const Call& call, std::int64_t n, std::int64_t i, std::int64_t low, std::int64_t high, const Slot& slot) const noexcept {
    const Geometry& g = p_.geometry;
    const std::int64_t height = g.y.effective_kernel(), chunks_a_row = g.x.k / chunk_taps_;
    for (std::int64_t j = 0; j < g.x.n; j += kChunkPixels) {
      const std::int64_t pixels = std::min(kChunkPixels, g.x.n - j);
      multiply(call, n, i, j, pixels, slot);
      for (std::int64_t a = 0; a < g.y.k; ++a)
        for (std::int64_t b = 0; b < chunks_a_row; ++b) {
          const std::int64_t r = i * g.y.s + a * g.y.d;
          slot.rows[a * chunks_a_row + b] =
              r < low || r >= high ? nullptr : slot.ring + r % height * row_ + (j * g.x.s + b * g.x.d) * g.co;
        }
      kernels::overlap_add(kernels::OverlapTask<T>{.from = slot.products, .pixels = pixels, .width = width_, .rows = slot.rows,
                                                   .chunks = g.y.k * chunks_a_row, .length = chunk_taps_ * g.co,
                                                   .step = g.x.s * g.co}, e_.isa);
    }
  }

  /// The products of pixels (n, i, j .. j + count) with all taps.
  void multiply(const Call& call, std::int64_t n, std::int64_t i, std::int64_t j, std::int64_t count, const Slot& slot) const noexcept {
    const std::int64_t ci = p_.geometry.ci;
    const T* pixel = slot.staged;
    if (in_.direct(dtype_of<T>)) pixel = static_cast<const T*>(call.x) + ((n * in_.h + i) * in_.w + j) * ci;
    else load_pixels<T>(in_, call.x, n, i, j, j + count, slot.staged);
    const T* rows[kChunkPixels];
    T* products[kChunkPixels];
    for (std::int64_t m = 0; m < count; ++m) rows[m] = pixel + m * ci, products[m] = slot.products + m * width_;
    std::int64_t first = 0;
    for (const int vectors : panels_) {
      const std::int64_t width = vectors * kernels_.lanes, tiles = base::ceil_div(count, std::int64_t{kernels_.rows[vectors]});
      for (std::int64_t tile = 0; tile < tiles; ++tile) {
        const std::int64_t m = count * tile / tiles;
        kernels_.run[vectors][count * (tile + 1) / tiles - m](
            {.rows = rows + m, .tap_stride = 0, .steps = steps_.data(), .step_count = static_cast<std::int64_t>(steps_.size()),
             .panel = call.kernel + first * ci, .bias = nullptr, .c = products + m, .c_offset = first, .columns = width,
             .relu = false});
      }
      first += width;
    }
  }

  /// Bias, activation and store of output row oy, whose natural row lies in `row`.
  void finish_row(const Call& call, std::int64_t n, std::int64_t oy, T* row, const Slot& slot) const noexcept {
    const std::int64_t co = out_.c, count = out_.w * co;
    T* values = row + p_.geometry.x.crop * co;
    if (co == 1)
      for (std::int64_t i = 0; i < count; ++i) values[i] += call.bias[0];
    else
      for (std::int64_t i = 0; i < count; i += co)
        for (std::int64_t f = 0; f < co; ++f) values[i + f] += call.bias[f];
    if (p_.activation.function != kernels::Activation::linear) kernels::activate(p_.activation, values, values, count, e_.isa);
    if (out_.direct(dtype_of<T>)) {
      std::copy_n(values, count, static_cast<T*>(call.y) + (n * out_.h + oy) * count);
      return;
    }
    const bool last = out_.data_format == DataFormat::channels_last;
    const std::int64_t first = last ? (n * out_.h + oy) * count : (n * co * out_.h + oy) * out_.w;
    for (std::int64_t x = 0; x < out_.w; ++x) slot.places[x] = {first + x * (last ? co : 1), x};
    store_tile<T>(out_, call.y, values, co, {0, co, 1}, slot.places, out_.w);
  }

  Problem p_;
  Execution e_;
  std::string reason_;
  const kernels::TileKernels<T>& kernels_;
  Image in_, out_;
  std::int64_t columns_ = 0, width_ = 0, chunk_taps_ = 1, row_ = 0, parts_ = 0, workers_ = 1, slot_bytes_ = 0;
  std::vector<int> panels_;
  std::vector<kernels::TileStep> steps_;
};

}  // namespace

double scatter_work(const Problem& problem, int isa) {
  const Geometry& g = problem.geometry;
  const auto width = [&](const auto& kernels) {
    std::int64_t vectors = 0;
    for (const int panel : kernels::tile_panels(kernels, g.y.k * g.x.k * g.co, g.ci)) vectors += panel;
    return static_cast<double>(vectors * kernels.lanes);
  };
  const double columns = compute_dtype(problem.dtype) == DType::float64 ? width(kernels::tile_kernels<double>(isa))
                                                                : width(kernels::tile_kernels<float>(isa));
  // 12: a pixel's additions cost about as much as so many channels.
  return static_cast<double>(g.y.n * g.x.n) * columns * static_cast<double>(g.ci + 12);
}

std::shared_ptr<const ForwardPlan> make_scatter_gemm_plan(const Problem& problem, const Execution& execution, std::string reason) {
  if (compute_dtype(problem.dtype) == DType::float64)
    return std::make_shared<ScatterGemm<double>>(problem, execution, std::move(reason));
  return std::make_shared<ScatterGemm<float>>(problem, execution, std::move(reason));
}

}  // namespace upconv::ops
