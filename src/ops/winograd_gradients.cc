// SPDX-License-Identifier: Apache-2.0
// dX = A^T [(G K G^T) . V] A, one GEMM a point: M = tiles, N = input channels, depth = s * s * co.
// dK = G^T [sum over tiles of (A x A^T) . V] G: M = s * s * co, N = input channels, depth = tiles.
// V is the transform of dY's windows (ops/winograd_tiles.h). Tiles go in blocks; what a block needs of the transformed kernel
// or of the sums is made for one panel of columns at a time, so that it is used while L2 or L3 still holds it. Sums run over
// tiles in order, at most kernels::longest_chain a block, and blocks follow each other: any number of threads, the same bits.
#include "ops/winograd_gradients.h"

#include <algorithm>
#include <atomic>

#include "base/checked.h"
#include "kernels/outer.h"
#include "ops/costs.h"
#include "ops/parallel.h"
#include "ops/winograd_tiles.h"
#include "upconv/tensor.h"

namespace upconv::ops {

namespace {

struct Panel {
  std::int64_t first, columns, width;          // of the input channels; width is whole vectors
  int vectors;
};

/// What the two gradients have in common: the tiles, the panels of input channels, memory for V.
class WinogradGradient {
 protected:
  WinogradGradient(const Geometry& geometry, const GradientSchemes& choice, const Execution& execution, std::int64_t chunk)
      : g(geometry), e(execution), tiles(geometry, choice.y, choice.x, execution.isa, chunk),
        kernels_(kernels::tile_kernels<float>(execution.isa)), zeros({geometry.x.s * geometry.co + geometry.ci + 64}),
        scratch(Tensor::uninitialized({execution.threads * static_cast<std::int64_t>(tiles.window_scratch())})) {
    for (const int vectors : kernels::tile_panels(kernels_, kernels_.rows, g.ci, tiles.depth).vectors) {
      const std::int64_t vector_width = vectors * kernels_.lanes;
      panels.push_back({width, std::min(vector_width, g.ci - width), vector_width, vectors});
      width += vector_width;
    }
  }

  /// Transforms windows [first, first + count) into v, on a thread alone or on all of them.
  void transform(const float* dy, std::int64_t first, std::int64_t count, float* v, float* copies) const noexcept {
    for (std::int64_t t = 0; t < count; ++t) tiles.transform_window(dy, first + t, v, t, count, copies, zero());
  }
  void transform_on_threads(const float* dy, std::int64_t first, std::int64_t count, float* v) {
    const std::int64_t parts = std::min<std::int64_t>(count, e.threads);
    parallel_for(*e.executor, e.threads, parts, [&](std::int64_t part) {
      for (std::int64_t t = count * part / parts; t < count * (part + 1) / parts; ++t)
        tiles.transform_window(dy, first + t, v, t, count, copies(part), zero());
    });
  }
  /// Memory for blocks that the border cuts.
  float* copies(std::int64_t worker) noexcept {
    return scratch.data<float>() + worker * static_cast<std::int64_t>(tiles.window_scratch());
  }
  const float* zero() const noexcept { return static_cast<const float*>(zeros.bytes()); }

  const Geometry& g;
  Execution e;
  WinogradTiles tiles;
  const kernels::TileKernels<float>& kernels_;
  std::vector<Panel> panels;
  std::int64_t width = 0;                      // of all panels
  Tensor zeros, scratch;
};

// ----------------------------------------------------------------------------------------------------------- dX

constexpr std::int64_t kBlockTiles = 96, kLeastTiles = 24;   // of a block: every panel of the kernel serves so many rows
constexpr std::int64_t kLine = 16;                            // elements; keeps the points' planes off the same cache sets
constexpr std::int64_t kNearElements = 384 << 10;             // of V and the products of a panel, where they should stay in L2

/// One block: its V is made together, then each thread makes a panel of the kernel, a row of points and a chunk of the depth at a
/// time, and uses it while L2 holds it (32x24x256 -> 256 k4s2: the whole transformed kernel is 26 MB).
/// Several: the kernel is made together, then each thread makes V of a block and passes all panels over it.
class WinogradInputGradient : WinogradGradient {
 public:
  WinogradInputGradient(const Geometry& geometry, const GradientSchemes& choice, const Execution& execution)
      : WinogradGradient(geometry, choice, execution, kernels::longest_chain), pieces_(make_pieces()) {
    const std::int64_t most = std::clamp<std::int64_t>(kNearElements / (tiles.points * (tiles.chunks * tiles.row + widest())), kLeastTiles + 8, kBlockTiles);
    blocks_ = tiles.tiles <= kBlockTiles ? 1 : base::ceil_div(tiles.tiles, most);
    if (blocks_ > 1 || static_cast<std::int64_t>(panels.size()) < e.threads)   // a block or more a thread, if they stay large
      blocks_ = std::max(blocks_, std::min(base::round_up(blocks_, std::int64_t{e.threads}), tiles.tiles / kLeastTiles));
    block_ = base::ceil_div(tiles.tiles, blocks_);
  }

  bool run(const float* dy, const float* kernel, float* dx) {
    const auto count = static_cast<std::int64_t>(panels.size());
    const bool one = blocks_ == 1;
    const std::int64_t items = one ? count : blocks_, workers = std::min<std::int64_t>(e.threads, items);
    const std::int64_t v_elements = tiles.v_elements(block_), u_elements = one ? tiles.x.points * (tiles.longest_chunk() * widest() + kLine) : offset(width, count);
    Tensor v = Tensor::uninitialized({(one ? 1 : workers) * v_elements}), u = Tensor::uninitialized({(one ? workers : 1) * u_elements});
    Tensor m = Tensor::uninitialized({workers * m_elements()});
    if (one) transform_on_threads(dy, 0, tiles.tiles, v.data<float>());
    else parallel_for(*e.executor, e.threads, count, [&](std::int64_t i) { pack(kernel, panel(i), u.data<float>() + offset(panel(i).first, i)); });
    std::atomic<std::int64_t> next{0};
    std::atomic<bool> finite{true};
    parallel_for(*e.executor, e.threads, workers, [&](std::int64_t worker) {
      float* const products = m.data<float>() + worker * m_elements();
      for (std::int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < items;) {
        if (one) {
          multiply(panel(item), kernel, v.data<float>(), u.data<float>() + worker * u_elements, products);
          if (!finish(panel(item), 0, tiles.tiles, products, dx)) finite = false;
          continue;
        }
        const std::int64_t first = tiles.tiles * item / blocks_, size = tiles.tiles * (item + 1) / blocks_ - first;
        float* const windows = v.data<float>() + worker * v_elements;
        transform(dy, first, size, windows, copies(worker));
        for (std::int64_t i = 0; i < count; ++i) {
          multiply(panel(i), size, windows, u.data<float>() + offset(panel(i).first, i), products);
          if (!finish(panel(i), first, size, products, dx)) finite = false;
        }
      }
    });
    return finite;
  }

 private:
  /// What a chunk of the depth adds to the products of a point: the filters of every phase that meets it.
  struct Piece {
    std::vector<kernels::TileStep> steps;
    bool resumes = false, pauses = false;
  };

  const Panel& panel(std::int64_t i) const noexcept { return panels[static_cast<std::size_t>(i)]; }
  std::int64_t widest() const noexcept { return kernels::tile_max_vectors * kernels_.lanes; }
  std::int64_t u_stride(const Panel& p) const noexcept { return tiles.depth * p.width + kLine; }               // from point to point
  std::int64_t offset(std::int64_t columns, std::int64_t before) const noexcept {                              // of the packed kernel's panels
    return tiles.points * (tiles.depth * columns + before * kLine);
  }
  std::int64_t m_stride(std::int64_t w) const noexcept { return block_ * w + 16; }
  std::int64_t m_elements() const noexcept { return tiles.points * m_stride(widest()) + 64; }
  std::int64_t length(std::int64_t i) const noexcept { return tiles.chunk(i + 1) - tiles.chunk(i); }
  const Piece& piece(std::int64_t point, std::int64_t i) const noexcept { return pieces_[static_cast<std::size_t>(point * tiles.chunks + i)]; }

  std::vector<Piece> make_pieces() const {
    std::vector<Piece> pieces(static_cast<std::size_t>(tiles.points * tiles.chunks));
    for (std::int64_t point = 0; point < tiles.points; ++point) {
      Piece* before = nullptr;
      for (std::int64_t i = 0; i < tiles.chunks; ++i) {
        Piece& piece = pieces[static_cast<std::size_t>(point * tiles.chunks + i)];
        tiles.for_phases(i, [&](std::int64_t phase, std::int64_t first, std::int64_t last) {
          if (!tiles.meets(point, phase / g.x.s, phase % g.x.s)) return;
          const std::int64_t at = first - tiles.chunk(i);
          if (!piece.steps.empty() && piece.steps.back().first + piece.steps.back().length == at) piece.steps.back().length += last - first;
          else piece.steps.push_back({.tap = 0, .first = at, .length = last - first, .position = at, .closes = false});
        });
        if (piece.steps.empty()) continue;
        piece.steps.back().closes = true;
        if (before) before->pauses = piece.resumes = true;
        before = &piece;
      }
    }
    return pieces;
  }

  /// u[point][phase_y, phase_x, co][width] of a chunk and panel, the points of rows [y0, y1).
  void pack(const float* kernel, const Panel& p, std::int64_t i, int y0, int y1, float* u, std::int64_t point_stride) const noexcept {
    tiles.for_phases(i, [&](std::int64_t phase, std::int64_t first, std::int64_t last) {
      const float* taps[9];
      for (int a = 0; a < tiles.y.taps; ++a)
        for (int b = 0; b < tiles.x.taps; ++b) {
          const std::int64_t tap = tiles.tap(a, b, phase / g.x.s, phase % g.x.s);
          taps[a * tiles.x.taps + b] = tap < 0 ? nullptr : kernel + (tap * g.co + first % g.co) * g.ci + p.first;
        }
      kernels::winograd_kernel({tiles.y, tiles.x, y0, y1, taps, last - first, g.ci, p.columns, p.width, u + (first - tiles.chunk(i)) * p.width, point_stride}, e.isa);
    });
  }
  void pack(const float* kernel, const Panel& p, float* u) const noexcept {
    for (std::int64_t i = 0; i < tiles.chunks; ++i) pack(kernel, p, i, 0, tiles.y.points, u + tiles.chunk(i) * p.width, u_stride(p));
  }

  /// The products of a panel, m[point][tile][width], with all of its kernel there or with one that is made on the way.
  void multiply(const Panel& p, std::int64_t count, const float* v, const float* u, float* m) const noexcept {
    for (std::int64_t point = 0; point < tiles.points; ++point)
      for (std::int64_t i = 0; i < tiles.chunks; ++i) {
        const float* const from = u + point * u_stride(p) + tiles.chunk(i) * p.width;
        multiply(p, point, i, count, v, from, from + length(i) * p.width + (i + 1 < tiles.chunks ? 0 : kLine), m);
      }
  }
  void multiply(const Panel& p, const float* kernel, const float* v, float* u, float* m) const noexcept {
    for (std::int64_t i = 0; i < tiles.chunks; ++i)
      for (int row = 0; row < tiles.y.points; ++row) {
        const std::int64_t stride = length(i) * p.width + kLine;
        pack(kernel, p, i, row, row + 1, u, stride);
        for (int column = 0; column < tiles.x.points; ++column)
          multiply(p, row * tiles.x.points + column, i, tiles.tiles, v, u + column * stride, nullptr, m);
      }
  }

  /// A chunk's part of a point's products; `next` will be needed after it: null where that is V of the next tile and point.
  void multiply(const Panel& p, std::int64_t point, std::int64_t i, std::int64_t count, const float* v, const float* u, const float* next, float* m) const noexcept {
    const Piece& piece = this->piece(point, i);
    if (piece.steps.empty()) return;
    const std::int64_t groups = base::ceil_div(count, std::int64_t{kernels_.rows[p.vectors]});
    const float* rows[kBlockTiles + 1];
    float* c[kBlockTiles];
    for (std::int64_t t = 0; t < count; ++t) rows[t] = v + tiles.v_at(point, i, t, count), c[t] = m + point * m_stride(p.width) + t * p.width;
    rows[count] = v + tiles.v_at(std::min(point + 1, tiles.points - 1), i, 0, count);
    for (std::int64_t group = 0; group < groups; ++group) {
      const std::int64_t t = count * group / groups;
      kernels_.run[p.vectors][count * (group + 1) / groups - t](
          {.rows = rows + t, .tap_stride = 0, .steps = piece.steps.data(), .step_count = static_cast<std::int64_t>(piece.steps.size()),
           .panel = u, .bias = nullptr, .c = c + t, .c_offset = 0, .columns = p.width, .relu = false,
           .more = true, .fetch = next && group * 16 < p.width ? next + group * 16 * length(i) : nullptr,
           .carry = tiles.chunks > 1 ? c + t : nullptr, .resumes = piece.resumes, .pauses = piece.pauses});
    }
  }

  bool finish(const Panel& p, std::int64_t first, std::int64_t count, const float* m, float* dx) const noexcept {
    bool finite = true;
    for (std::int64_t t = 0; t < count; ++t) {
      const WinogradTiles::Tile at = tiles.tile(first + t);
      const auto y1 = static_cast<int>(std::min<std::int64_t>(tiles.y.outputs, g.y.n - at.y));
      const auto x1 = static_cast<int>(std::min<std::int64_t>(tiles.x.outputs, g.x.n - at.x));
      float* const to = dx + ((at.n * g.y.n + at.y) * g.x.n + at.x) * g.ci + p.first;
      finite &= kernels::winograd_output({tiles.y.scheme, tiles.x.scheme, m + t * p.width, m_stride(p.width), zero(), p.columns, false, 0, y1, 0, x1, to,
                                          g.x.n * g.ci, g.ci}, e.isa);
    }
    return finite;
  }

  std::int64_t blocks_ = 1, block_ = 1;
  std::vector<Piece> pieces_;                              // [point][chunk]
};

// ----------------------------------------------------------------------------------------------------------- dK

constexpr std::int64_t kChunk = 144;                        // of V: rows near each other, of whole tasks
constexpr std::int64_t kTaskRows = 48, kWideTaskRows = 24;   // of M, up to 16 points or more: sums of a panel stay in L2
constexpr std::int64_t kBlockElements = std::int64_t{1} << 19;   // of V and the transformed x: near L2 (64x64x128 -> 64 k4s2 1.31 x what 8 MB took)

class WinogradKernelGradient : WinogradGradient {
 public:
  WinogradKernelGradient(const Geometry& geometry, const GradientSchemes& choice, const Execution& execution)
      : WinogradGradient(geometry, choice, execution, kChunk), outer_(kernels::outer_kernels<float>(execution.isa)) {
    const std::int64_t most = std::clamp<std::int64_t>(kBlockElements / (tiles.points * (tiles.chunks * tiles.row + width)), 64, kernels::longest_chain);
    blocks_ = base::ceil_div(tiles.tiles, most);
    block_ = base::ceil_div(tiles.tiles, blocks_);
    task_rows_ = tiles.points > 16 ? kWideTaskRows : kTaskRows;
    for (std::int64_t i = 0; i < tiles.chunks; ++i)
      tiles.for_phases(i, [&](std::int64_t phase, std::int64_t first, std::int64_t last) {
        for (; first < last; first += task_rows_) tasks_.push_back({phase, i, first - tiles.chunk(i), first % g.co, std::min(task_rows_, last - first)});
      });
  }

  bool run(const float* x, const float* dy, float* dkernel) {
    const std::int64_t tasks = std::ssize(tasks_), workers = std::min<std::int64_t>(tasks, e.threads);
    Tensor v = Tensor::uninitialized({tiles.v_elements(block_)}), a = Tensor::uninitialized({tiles.points * a_stride(block_) + 64});
    Tensor s = Tensor::uninitialized({workers * s_elements()});
    std::atomic<bool> finite{true};
    for (std::int64_t b = 0; b < blocks_; ++b) {
      const std::int64_t first = tiles.tiles * b / blocks_, count = tiles.tiles * (b + 1) / blocks_ - first;
      transform_on_threads(dy, first, count, v.data<float>());
      transform_inputs(x, first, count, a.data<float>());
      std::atomic<std::int64_t> next{0};
      parallel_for(*e.executor, e.threads, workers, [&](std::int64_t worker) {
        for (std::int64_t task; (task = next.fetch_add(1, std::memory_order_relaxed)) < tasks;) {
          if (!run_task(tasks_[static_cast<std::size_t>(task)], count, v.data<float>(), a.data<float>(), s.data<float>() + worker * s_elements(), dkernel, b > 0))
            finite = false;
        }
      });
    }
    return finite;
  }

 private:
  /// `count` filters of a phase from filter f on; at row `first` of a chunk of the depth.
  struct Task {
    std::int64_t phase, chunk, first, f, count;
  };

  std::int64_t a_stride(std::int64_t count) const noexcept { return count * width + 16; }
  std::int64_t s_stride(std::int64_t w) const noexcept { return task_rows_ * w + 16; }
  std::int64_t s_elements() const noexcept { return tiles.points * s_stride(kernels::tile_max_vectors * kernels_.lanes) + 64; }

  /// a[point][panel][tile][width] = A x A^T.
  void transform_inputs(const float* x, std::int64_t first, std::int64_t count, float* a) const noexcept {
    parallel_for(*e.executor, e.threads, count, [&](std::int64_t t) {
      for (const Panel& p : panels) {
        const float* pixels[25];
        tiles.for_outputs(first + t, [&](int i, bool inside, std::int64_t element) { pixels[i] = inside ? x + element + p.first : nullptr; });
        kernels::winograd_outputs({tiles.y, tiles.x, pixels, p.columns, p.width, a + p.first * count + t * p.width, a_stride(count)}, e.isa);
      }
    });
  }

  bool run_task(const Task& task, std::int64_t count, const float* v, const float* a, float* s, float* dkernel, bool add) const noexcept {
    const std::int64_t py = task.phase / g.x.s, px = task.phase % g.x.s;
    bool finite = true;
    for (const Panel& p : panels) {
      const std::int64_t groups = base::ceil_div(task.count, std::int64_t{kernels_.rows[p.vectors]}), stride = s_stride(p.width);
      for (std::int64_t point = 0; point < tiles.points; ++point) {
        if (!tiles.meets(point, py, px)) {
          std::fill_n(s + point * stride, task.count * p.width, 0.0f);
          continue;
        }
        for (std::int64_t i = 0; i < groups; ++i) {
          const std::int64_t m = task.count * i / groups, m_end = task.count * (i + 1) / groups;
          outer_.run[p.vectors][m_end - m](
              {.a = v + tiles.v_at(point, task.chunk, 0, count) + task.first + m, .a_step = tiles.row, .b = a + point * a_stride(count) + p.first * count,
               .count = count, .c = s + point * stride + m * p.width, .ld = p.width, .columns = p.width, .add = false});
        }
      }
      for (std::int64_t f = 0; f < task.count; ++f) {
        float* taps[9];
        for (int i = 0; i < tiles.y.taps; ++i)
          for (int j = 0; j < tiles.x.taps; ++j) {
            const std::int64_t tap = tiles.tap(i, j, py, px);
            taps[i * tiles.x.taps + j] = tap < 0 ? nullptr : dkernel + (tap * g.co + task.f + f) * g.ci + p.first;
          }
        finite &= kernels::winograd_taps({tiles.y, tiles.x, s + f * p.width, stride, taps, p.columns, add}, e.isa);
      }
    }
    return finite;
  }

  const kernels::OuterKernels<float>& outer_;
  std::int64_t blocks_, block_, task_rows_;
  std::vector<Task> tasks_;
};

Execution on_threads(const Geometry& g, Execution e) {
  e.threads = threads_worth_waking(g, e.threads);
  return e;
}

/// The schemes of a gradient; none where winograd does not apply or does not pay.
std::optional<GradientSchemes> schemes(const Geometry& g, DType dtype, double weight, int isa) {
  if (dtype != DType::float32 || g.data_format != DataFormat::channels_last || g.input_elements() == 0 || g.output_elements() == 0) return {};
  return choose_gradient_schemes(g, weight, costs(isa).gradient_value);
}

std::optional<GradientSchemes> kernel_schemes(const Geometry& g, DType dtype, int isa) { return schemes(g, dtype, costs(isa).gradient_sum, isa); }

/// dX belongs to one sample each: the choice is made for one, so that no bit depends on how a batch is cut.
std::optional<GradientSchemes> input_schemes(Geometry g, DType dtype, int isa) {
  if (g.n > 0) g.n = 1;
  return schemes(g, dtype, costs(isa).gradient_kernel, isa);
}

int points_of(const std::optional<GradientSchemes>& choice) { return choice ? std::max(choice->y.points, choice->x.points) : 0; }

}  // namespace

int winograd_input_gradient_points(const Geometry& g, DType dtype, int isa) { return points_of(input_schemes(g, dtype, isa)); }
int winograd_kernel_gradient_points(const Geometry& g, DType dtype, int isa) { return points_of(kernel_schemes(g, dtype, isa)); }

bool winograd_input_gradient(const Geometry& g, DType dtype, const void* dy, const void* kernel, void* dx, const Execution& execution) {
  const auto choice = input_schemes(g, dtype, execution.isa);
  return choice && WinogradInputGradient(g, *choice, on_threads(g, execution))
                       .run(static_cast<const float*>(dy), static_cast<const float*>(kernel), static_cast<float*>(dx));
}

bool winograd_kernel_gradient(const Geometry& g, DType dtype, const void* x, const void* dy, float* dkernel, const Execution& execution) {
  const auto choice = kernel_schemes(g, dtype, execution.isa);
  return choice && WinogradKernelGradient(g, *choice, on_threads(g, execution)).run(static_cast<const float*>(x), static_cast<const float*>(dy), dkernel);
}

}  // namespace upconv::ops
