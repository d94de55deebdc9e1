// SPDX-License-Identifier: Apache-2.0
#include "ops/winograd_variant.h"

#include <algorithm>
#include <cmath>

#include "base/checked.h"
#include "kernels/tiles.h"
#include "ops/costs.h"

namespace upconv::ops {

namespace {

using kernels::WinogradScheme;

/// Taps side by side, one at least, and pixels for more than one of them: what a scheme can serve.
bool serves(const PhaseGroup& group, const Axis& axis) {
  return !group.shifts.empty() && (axis.n > 1 || group.shifts.size() == 1) && group.shifts.back() - group.shifts.front() == static_cast<std::int64_t>(group.shifts.size()) - 1;
}

/// Work, and the weights that are read for it.
struct Cost {
  double work = 0, weights = 0;
  double total(double reading) const { return std::max(work, reading * weights); }
};

Cost cost_of(const WinogradWindow& w, const Geometry& g, int isa) {
  const Costs& c = costs(isa);
  const std::int64_t lanes = kernels::tile_kernels<float>(isa).lanes;
  const auto tiles = static_cast<double>(w.tiles()), points = static_cast<double>(w.points()), phases = static_cast<double>(w.phases());
  const auto ci = static_cast<double>(g.ci), columns = static_cast<double>(base::round_up(w.phases() * g.co, lanes));
  const double outputs = phases * static_cast<double>(base::round_up(g.co, lanes));
  const double rows = std::max(2.5, tiles);                // fewer rows than these cost the GEMM as much
  const double transforms = points * (c.input * ci + c.output * outputs) + c.call * phases;
  const double narrow = columns <= static_cast<double>(lanes) ? 1.15 : 1.0;   // panels of one vector load as much as they multiply
  return {narrow * c.product * points * rows * (ci + c.sum) * columns + static_cast<double>(lanes) * tiles * transforms, points * ci * columns};
}

WinogradWindow make_window(const PhaseGroup& y, const PhaseGroup& x, const WinogradScheme& along_y, const WinogradScheme& along_x) {
  WinogradWindow w{y, x, along_y, along_x};
  w.tiles_y = base::ceil_div(y.last_block - y.first_block, along_y.outputs());
  w.tiles_x = base::ceil_div(x.last_block - x.first_block, along_x.outputs());
  return w;
}

/// The cheapest schemes of every pair of groups, where reading a weight costs `reading`: what it costs in truth tells only the sum of all.
WinogradVariant best_of(const Geometry& g, const std::vector<PhaseGroup>& rows, const std::vector<PhaseGroup>& columns, double reading, int isa) {
  WinogradVariant variant{.windows = {}, .cost = 0};
  Cost sum;
  for (const PhaseGroup& y : rows)
    for (const PhaseGroup& x : columns) {
      if (!serves(y, g.y) || !serves(x, g.x)) return {};
      Cost least{std::numeric_limits<double>::infinity(), 0};
      WinogradWindow best;
      for (const auto& [along_y, along_x] : winograd_schemes(y.shifts.size(), x.shifts.size())) {
        const WinogradWindow w = make_window(y, x, along_y, along_x);
        const Cost cost = cost_of(w, g, isa);
        if (cost.total(reading) < least.total(reading)) least = cost, best = w;
      }
      if (std::isinf(least.work)) return {};
      variant.windows.push_back(best);
      sum.work += least.work, sum.weights += least.weights;
    }
  variant.cost = sum.total(costs(isa).reading(sum.weights));
  return variant;
}

}  // namespace

/// Two taps on both axes keep to five points: six would add more error than speed.
std::vector<std::pair<WinogradScheme, WinogradScheme>> winograd_schemes(std::size_t taps_y, std::size_t taps_x) {
  const auto along = [](int taps, int most) {
    std::vector<WinogradScheme> schemes;
    if (taps == 1) schemes.push_back({1, 1});
    for (int points = 3; points <= most; ++points)
      if (taps > 1 && taps <= kernels::winograd_most_taps && points - taps + 1 >= 2) schemes.push_back({points, taps});
    return schemes;
  };
  std::vector<std::pair<WinogradScheme, WinogradScheme>> pairs;
  const bool one_axis = taps_y == 1 || taps_x == 1;
  for (const WinogradScheme& y : along(static_cast<int>(taps_y), taps_y > 2 || one_axis ? 6 : 5))
    for (const WinogradScheme& x : along(static_cast<int>(taps_x), taps_x > 2 || one_axis ? 6 : 5)) pairs.emplace_back(y, x);
  return pairs;
}

WinogradVariant choose_winograd(const Problem& p, int isa) {
  const Geometry& g = p.geometry;
  WinogradVariant best;
  if (p.dtype == DType::float64 || g.ci < 16 || g.co < 8 || g.y.d != 1 || g.x.d != 1 || g.y.n * g.x.n == 0) return best;
  for (const bool share_y : {false, true})
    for (const bool share_x : {false, true}) {
      const std::vector<PhaseGroup> rows = phase_groups(g.y, share_y), columns = phase_groups(g.x, share_x);
      for (const double reading : {costs(isa).near, costs(isa).l3, costs(isa).memory}) {
        WinogradVariant variant = best_of(g, rows, columns, reading, isa);
        const bool saves = std::any_of(variant.windows.begin(), variant.windows.end(), [](const WinogradWindow& w) { return w.points() > 1; });
        if (saves && variant.cost < best.cost) best = std::move(variant);
      }
    }
  return best;
}

}  // namespace upconv::ops
