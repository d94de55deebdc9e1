// SPDX-License-Identifier: Apache-2.0
#include "ops/winograd_tiles.h"

#include <algorithm>

#include "base/checked.h"

namespace upconv::ops {

using kernels::WinogradScheme;

WinogradTiles::WinogradTiles(const Geometry& geometry, WinogradScheme scheme_y, WinogradScheme scheme_x, int instruction_set, std::int64_t most)
    : g(geometry), y(scheme_y), x(scheme_x), isa(instruction_set), points(y.points * x.points),
      tiles_y(base::ceil_div(g.y.n, std::int64_t{y.outputs})), tiles_x(base::ceil_div(g.x.n, std::int64_t{x.outputs})), tiles(g.n * tiles_y * tiles_x), depth(g.y.s * g.x.s * g.co),
      chunks(base::ceil_div(depth, most)), row(base::round_up(longest_chunk(), 16) + 16) {}

void WinogradTiles::transform_window(const float* dy, std::int64_t index, float* v, std::int64_t number, std::int64_t count, float* scratch,
                                     const float* zeros) const noexcept {
  const Tile at = tile(index);
  const std::int64_t width = g.x.s * g.co;     // of a block's row, contiguous in dY
  const float* pixels[36];
  for (std::int64_t phase = 0; phase < g.y.s; ++phase) {
    float* copy = scratch;
    for (int a = 0; a < y.points; ++a) {
      const std::int64_t oh = (at.y + a) * g.y.s + phase - g.y.crop;
      const bool inside = oh >= 0 && oh < g.y.o;
      const float* line = inside ? dy + (at.n * g.y.o + oh) * g.x.o * g.co : nullptr;
      for (int b = 0; b < x.points; ++b) {
        const std::int64_t ow = (at.x + b) * g.x.s - g.x.crop, low = std::max<std::int64_t>(ow, 0), high = std::min(ow + g.x.s, g.x.o);
        const float*& pixel = pixels[a * x.points + b];
        if (!inside || low >= high) {
          pixel = zeros;
        } else if (high - low == g.x.s) {
          pixel = line + ow * g.co;
        } else {                               // a block that the border cuts
          std::fill_n(copy, width, 0.0f);
          std::copy(line + low * g.co, line + high * g.co, copy + (low - ow) * g.co);
          pixel = copy;
          copy += width;
        }
      }
    }
    for (std::int64_t first = phase * width, last; first < (phase + 1) * width; first = last) {
      const std::int64_t i = chunk_of(first);
      last = std::min((phase + 1) * width, chunk(i + 1));
      kernels::winograd_input({y.scheme, x.scheme, pixels, last - first, v + v_at(0, i, number, count) + first - chunk(i), v_stride(count)}, isa);
      for (const float** pixel = pixels; pixel < pixels + points; ++pixel) *pixel += *pixel == zeros ? 0 : last - first;
    }
  }
}

namespace {

std::int64_t block_taps(const Axis& axis) { return axis.d == 1 && axis.k >= axis.s ? base::ceil_div(axis.k, axis.s) : 0; }

/// Points of all phases of an axis together.
double phase_points(const Axis& axis, const kernels::WinogradAxis& scheme) {
  std::int64_t points = 0;
  for (std::int64_t phase = 0; phase < axis.s; ++phase) points += WinogradTiles::points_of(axis, scheme, phase);
  return static_cast<double>(points);
}

/// Six points where their error stays within a few times a direct sum's: three taps, or two along one axis only; else two taps keep to five.
std::vector<WinogradScheme> schemes(std::int64_t taps, bool one_axis) {
  if (taps == 1) return {WinogradScheme{1, 1}};
  if (taps == 2) return {WinogradScheme{4, 2}, WinogradScheme{one_axis ? 6 : 5, 2}};
  if (taps == 3) return {WinogradScheme{4, 3}, WinogradScheme{6, 3}};
  return {};
}

}  // namespace

std::optional<GradientSchemes> choose_gradient_schemes(const Geometry& g, double weight, double value) {
  const std::int64_t ry = block_taps(g.y), rx = block_taps(g.x);
  if (ry == 0 || rx == 0 || (ry == 1 && rx == 1) || (ry > 1 && rx > 1 && ry != rx)) return {};
  const auto ci = static_cast<double>(g.ci), depth = static_cast<double>(g.y.s * g.x.s * g.co);
  if (g.ci < 16 || depth < 16) return {};
  double best = 0.9 * static_cast<double>(g.n * g.y.n * g.x.n) * static_cast<double>(g.kernel_elements());   // of the exact way
  std::optional<GradientSchemes> choice;
  for (const WinogradScheme& y : schemes(ry, ry == 1 || rx == 1))
    for (const WinogradScheme& x : schemes(rx, ry == 1 || rx == 1)) {
      if (y != x && y.points > 1 && x.points > 1) continue;
      const WinogradTiles t(g, y, x, 0, kernels::longest_chain);
      const auto points = static_cast<double>(t.points), tiles = static_cast<double>(t.tiles);
      const double products = phase_points(g.y, t.y) * phase_points(g.x, t.x) * static_cast<double>(g.co) * ci;
      const double cost = tiles * (products + points * value * (depth + ci)) + weight * points * depth * ci;
      if (cost < best) best = cost, choice = GradientSchemes{y, x};
    }
  return choice;
}

}  // namespace upconv::ops
