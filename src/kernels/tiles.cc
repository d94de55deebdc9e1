// SPDX-License-Identifier: Apache-2.0
#include "kernels/tiles.h"

#include <algorithm>

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

template <class T>
std::vector<int> tile_panels(const TileKernels<T>& kernels, std::int64_t columns, std::int64_t depth) {
  const auto total = static_cast<std::size_t>((columns + kernels.lanes - 1) / kernels.lanes);
  // Cost of a column of one vector, relative to the best tile; a tile also has a fixed cost, which wide panels share.
  const auto panel_cost = [&](int vectors) {
    const double accumulators = static_cast<double>(kernels.rows[vectors] * vectors);
    const double load_bound = vectors == 1 ? 1.15 : 1.0;
    const double fixed = 45.0 / (static_cast<double>(std::max<std::int64_t>(1, depth)) * accumulators * 0.5);
    return vectors * (load_bound + fixed);
  };
  std::vector<double> cost(total + 1, 0.0);
  std::vector<int> choice(total + 1, 0);
  for (std::size_t t = 1; t <= total; ++t)
    for (int v = 1; v <= kernels.vectors && static_cast<std::size_t>(v) <= t; ++v) {
      const double with = cost[t - static_cast<std::size_t>(v)] + panel_cost(v);
      if (choice[t] == 0 || with < cost[t]) cost[t] = with, choice[t] = v;
    }
  std::vector<int> panels;
  for (std::size_t t = total; t > 0; t -= static_cast<std::size_t>(panels.back())) panels.push_back(choice[t]);
  std::sort(panels.rbegin(), panels.rend());
  return panels;
}

template std::vector<int> tile_panels(const TileKernels<float>&, std::int64_t, std::int64_t);
template std::vector<int> tile_panels(const TileKernels<double>&, std::int64_t, std::int64_t);

}  // namespace upconv::kernels
