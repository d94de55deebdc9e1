// SPDX-License-Identifier: Apache-2.0
#include "kernels/tiles.h"

#include <algorithm>
#include <cmath>

namespace upconv::kernels {

std::vector<TileStep> tile_steps(std::int64_t taps, std::int64_t channels) {
  std::vector<TileStep> steps;
  if (channels == 0) return steps;
  const std::int64_t pieces = (channels + longest_chain - 1) / longest_chain;
  const std::int64_t piece = (channels + pieces - 1) / pieces;
  const std::int64_t taps_a_chain = std::max<std::int64_t>(1, longest_chain / channels);
  for (std::int64_t tap = 0; tap < taps; ++tap)
    for (std::int64_t first = 0; first < channels; first += piece)
      steps.push_back({.tap = tap, .first = first, .length = std::min(piece, channels - first),
                       .position = tap * channels + first, .closes = pieces > 1 || (tap + 1) % taps_a_chain == 0});
  return steps;
}

namespace {

/// Cycles of a tile of rows x vectors for `depth` products. A step takes about the longest of its multiply-adds (two a cycle), their latency,
/// the lines of the panel and its loads (two a cycle), and more where they are near each other: the cubic mean meets the steps of all tiles on
/// Sapphire Rapids within 5 %, the largest of them and a share of the loads within 17 %. Every vector of sums costs three cycles besides.
double tile_cycles(double rows, int vectors, double depth) {
  const auto cube = [](double x) { return x * x * x; };
  const double panel = depth * vectors > 640 ? 1.3 * vectors : vectors;   // cycles of its lines; 640 of them fit L1 beside the input
  const double sums = rows * vectors, step = std::cbrt(cube(sums / 2) + cube(std::max(3.5, panel)) + cube((rows + vectors) / 2.1)) + 0.2;
  return step * depth + 12 + 3 * sums;
}

}  // namespace

template <class T>
TilePanels tile_panels(const TileKernels<T>& kernels, const int* heights, std::int64_t columns, std::int64_t depth, std::int64_t run, int most_vectors) {
  const auto total = static_cast<std::size_t>((columns + kernels.lanes - 1) / kernels.lanes);
  const double products = static_cast<double>(std::max<std::int64_t>(1, depth));
  const auto panel_cost = [&](int vectors) {   // a pixel and product
    const std::int64_t pixels = run > 0 ? run : heights[vectors], tiles = (pixels + heights[vectors] - 1) / heights[vectors];
    const double height = static_cast<double>(pixels) / static_cast<double>(tiles);
    return tile_cycles(height, vectors, products) / (height * products);
  };
  std::vector<double> cost(total + 1, 0.0);
  std::vector<int> choice(total + 1, 0);
  for (std::size_t t = 1; t <= total; ++t)
    for (int v = 1; v <= std::min(kernels.vectors, most_vectors) && static_cast<std::size_t>(v) <= t; ++v) {
      const double with = cost[t - static_cast<std::size_t>(v)] + panel_cost(v);
      if (choice[t] == 0 || with < cost[t]) cost[t] = with, choice[t] = v;
    }
  TilePanels panels{{}, cost[total]};
  for (std::size_t t = total; t > 0; t -= static_cast<std::size_t>(panels.vectors.back())) panels.vectors.push_back(choice[t]);
  std::sort(panels.vectors.rbegin(), panels.vectors.rend());
  return panels;
}

template TilePanels tile_panels(const TileKernels<float>&, const int*, std::int64_t, std::int64_t, std::int64_t, int);
template TilePanels tile_panels(const TileKernels<double>&, const int*, std::int64_t, std::int64_t, std::int64_t, int);

}  // namespace upconv::kernels
