// SPDX-License-Identifier: Apache-2.0
// What both fast gradients are made of. Seen in blocks of s x s pixels, with s * s * co values each, dY meets the input pixels
// in a stride-1 correlation with r x r taps, r = ceil(k / s): pixel i of x reads blocks i .. i+r-1. Tiles of m x m input pixels
// cover x, and a tile reads a window of `points` blocks an axis: the windows' transform V[point][chunk][tile][of phase_y, phase_x, co] is
// shared by dX = A^T [(G K G^T) . V] A and dK = G^T [sum of (A x A^T) . V] G. Where k is no multiple of s, some phases have one
// tap less. Their missing last tap is all that the point of infinity sees: they skip that point.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include "base/checked.h"
#include "kernels/tiles.h"
#include "kernels/winograd_gradients.h"
#include "ops/geometry.h"

namespace upconv::ops {

class WinogradTiles {
 public:
  /// `most`: of a chunk.
  WinogradTiles(const Geometry& g, kernels::WinogradScheme y, kernels::WinogradScheme x, int isa, std::int64_t most);

  struct Tile {
    std::int64_t n, y, x;                      // image, first pixel
  };
  Tile tile(std::int64_t index) const noexcept {
    return {index / (tiles_y * tiles_x), index / tiles_x % tiles_y * y.outputs, index % tiles_x * x.outputs};
  }

  std::size_t window_scratch() const noexcept { return static_cast<std::size_t>(points * g.x.s * g.co); }
  /// V of tile number `at` of `count`. `scratch` holds window_scratch() values; zeros as many as a block's row.
  void transform_window(const float* dy, std::int64_t index, float* v, std::int64_t at, std::int64_t count, float* scratch, const float* zeros) const noexcept;
  /// Elements of V of `count` tiles, and where a chunk of a tile at a point lies.
  std::int64_t v_elements(std::int64_t count) const noexcept { return points * v_stride(count); }
  std::int64_t v_at(std::int64_t point, std::int64_t chunk, std::int64_t at, std::int64_t count) const noexcept {
    return point * v_stride(count) + (chunk * count + at) * row;
  }
  std::int64_t chunk(std::int64_t i) const noexcept { return depth * i / chunks; }   // where it begins
  std::int64_t longest_chunk() const noexcept { return base::ceil_div(depth, chunks); }
  /// Calls f(phase, first, last) for the part of the depth that a chunk has of each phase.
  template <class F>
  void for_phases(std::int64_t i, F f) const noexcept {
    for (std::int64_t first = chunk(i), last; first < chunk(i + 1); first = last) {
      const std::int64_t phase = first / g.co;
      last = std::min((phase + 1) * g.co, chunk(i + 1));
      f(phase, first, last);
    }
  }
  /// The tap (kh * kw index) of block tap (a, b) and phase (py, px); -1 where the phase has none.
  std::int64_t tap(std::int64_t a, std::int64_t b, std::int64_t py, std::int64_t px) const noexcept {
    const std::int64_t row = a * g.y.s + py, column = b * g.x.s + px;
    return row < g.y.k && column < g.x.k ? row * g.x.k + column : -1;
  }
  /// Whether the phase has products at the point.
  bool meets(std::int64_t point, std::int64_t py, std::int64_t px) const noexcept {
    return point / x.points < points_of(g.y, y, py) && point % x.points < points_of(g.x, x, px);
  }
  /// Points, the first ones, of a phase along an axis.
  static std::int64_t points_of(const Axis& axis, const kernels::WinogradAxis& scheme, std::int64_t phase) noexcept {
    return scheme.points - ((scheme.taps - 1) * axis.s + phase >= axis.k);
  }
  /// Calls f(pixel (y, x) of tile's outputs, index) in row-major order; inside x or not.
  template <class F>
  void for_outputs(std::int64_t index, F f) const noexcept {
    const Tile at = tile(index);
    for (int i = 0; i < y.outputs; ++i)
      for (int j = 0; j < x.outputs; ++j) {
        const bool inside = at.y + i < g.y.n && at.x + j < g.x.n;
        f(i * x.outputs + j, inside, ((at.n * g.y.n + at.y + i) * g.x.n + at.x + j) * g.ci);
      }
  }

  const Geometry& g;
  kernels::WinogradAxis y, x;
  int isa;
  std::int64_t points, tiles_y, tiles_x, tiles;
  std::int64_t depth;                          // s * s * co: of a block
  std::int64_t chunks;                         // the depth is cut into
  std::int64_t row;                            // elements from tile to tile of a chunk of V: room for a last vector, off the same cache sets

 private:
  std::int64_t chunk_of(std::int64_t d) const noexcept { return (d * chunks + chunks - 1) / depth; }
  std::int64_t v_stride(std::int64_t count) const noexcept { return chunks * count * row + 16; }
};

struct GradientSchemes {
  kernels::WinogradScheme y, x;
};
/// The schemes of least cost; none where none applies or the exact way costs no more. `weight` and
/// `value`: what a transformed weight and a value of a window cost beside their products, in products.
std::optional<GradientSchemes> choose_gradient_schemes(const Geometry& g, double weight, double value);

}  // namespace upconv::ops
