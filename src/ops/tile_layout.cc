// SPDX-License-Identifier: Apache-2.0
#include "ops/tile_layout.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/text.h"
#include "ops/pack.h"

namespace upconv::ops {

namespace {

// So many weights come from memory; on narrow panels two tiles of products suffice to fetch all of the next stretch: 4x4x1024 -> 512 k4s2
// 1.12 x, 8x6x2048 -> 256 1.02 x, layers of fewer weights 0.99 x.
constexpr std::int64_t kManyWeights = 1 << 20;
constexpr int kFewVectors = 2;

std::int64_t blocks_of(const PhaseGroup& group) { return group.last_block - group.first_block; }

/// Pairs of a block of the group and a shift that reaches the image from it.
std::int64_t live_pairs(const PhaseGroup& group, std::int64_t n) {
  std::int64_t pairs = 0;
  for (const std::int64_t shift : group.shifts)
    pairs += std::max<std::int64_t>(0, std::min(group.last_block, n + shift) - std::max(group.first_block, shift));
  return pairs;
}

}  // namespace

/// Where a tap is a chain of its own, sums may wait between taps.
template <class T>
bool TileLayout<T>::taps_pay() const {
  std::size_t most_y = 0, most_x = 0;
  std::int64_t height = 0, width = 0;
  for (const PhaseGroup& y : rows) most_y = std::max(most_y, y.shifts.size()), height = std::max(height, blocks_of(y));
  for (const PhaseGroup& x : columns) most_x = std::max(most_x, x.shifts.size()), width = std::max(width, blocks_of(x));
  return 2 * g.ci > kernels::longest_chain && most_y * most_x > 1 && height * width <= most_pixels_by_taps;
}

/// Tiles inside image rows skip taps above and below the image, and may be lower than those across rows.
template <class T>
bool TileLayout<T>::rows_pay(const kernels::TileKernels<T>& kernels, const int* row_heights) const {
  double inside = 0, across = 0;
  for (const PhaseGroup& x : columns)
    for (const PhaseGroup& y : rows) {
      const std::int64_t filters = y.phases * x.phases * g.co, depth = static_cast<std::int64_t>(x.shifts.size()) * g.ci;
      const double products = static_cast<double>(blocks_of(x) * depth);
      inside += kernels::tile_panels(kernels, row_heights, filters, depth * static_cast<std::int64_t>(y.shifts.size()), blocks_of(x)).cost * products *
                static_cast<double>(live_pairs(y, g.y.n));
      across += kernels::tile_panels(kernels, kernels.rows, filters, depth * static_cast<std::int64_t>(y.shifts.size())).cost * products *
                static_cast<double>(blocks_of(y) * static_cast<std::int64_t>(y.shifts.size()));
    }
  return inside <= 1.1 * across;   // tables and scattered stores: k2s2 layers ran 1.08 x as long across rows
}

template <class T>
TileLayout<T>::TileLayout(const Geometry& geometry, const kernels::TileKernels<T>& kernels, const int* row_heights, Merge how)
    : g(geometry), lanes(kernels.lanes), merge(how), rows(phase_groups(g.y, merge == Merge::both)),
      columns(phase_groups(g.x, merge != Merge::none)) {
  by_taps = taps_pay();
  in_rows = !by_taps && rows_pay(kernels, row_heights);
  const int most_vectors = by_taps && g.kernel_elements() >= kManyWeights ? kFewVectors : kernels::tile_max_vectors;
  const std::int64_t steps_a_tap = base::ceil_div(g.ci, kernels::longest_chain);
  std::int64_t first_bias = 0;
  for (std::size_t x = 0; x < columns.size(); ++x)
    for (std::size_t y = 0; y < rows.size(); ++y) {
      TileUnit unit{.y = y, .x = x, .taps = static_cast<std::int64_t>(rows[y].shifts.size() * columns[x].shifts.size()),
                    .steps_a_tap = steps_a_tap, .steps = {}, .panels = {}};
      unit.steps = kernels::tile_steps(unit.taps, g.ci);
      const std::int64_t phases = rows[y].phases * columns[x].phases, depth = unit.taps * g.ci, width = phases * g.co;
      if (y == 0 || merge == Merge::both) {   // else all rows have the same bias
        bias_phases.push_back(phases);
        first_bias = std::exchange(bias_elements, bias_elements + base::round_up(width, lanes));
      }
      std::int64_t first = 0;
      const auto panels = in_rows ? kernels::tile_panels(kernels, row_heights, width, depth, blocks_of(columns[x]))
                                  : kernels::tile_panels(kernels, kernels.rows, width, depth, 0, most_vectors);
      for (const int vectors : panels.vectors) {
        unit.panels.push_back({.first = first, .columns = std::min(vectors * lanes, width - first), .vectors = vectors,
                               .packed = packed_elements, .bias = first_bias + first});
        first += vectors * lanes;
        packed_elements = base::checked_add(packed_elements, base::checked_mul(depth, vectors * lanes, "packed kernel size"));
      }
      panel_count += static_cast<std::int64_t>(unit.panels.size());
      most_taps = std::max(most_taps, unit.taps);
      units.push_back(std::move(unit));
    }
}

template <class T>
void TileLayout<T>::pack(const kernels::StripKernels<T>& kernels, const void* kernel, DType dtype, std::int64_t number,
                         T* packed) const noexcept {
  const TileUnit* unit = units.data();
  while (number >= static_cast<std::int64_t>(unit->panels.size()))
    number -= static_cast<std::int64_t>(unit->panels.size()), ++unit;
  const TilePanel& panel = unit->panels[static_cast<std::size_t>(number)];
  const PhaseGroup &y = rows[unit->y], &x = columns[unit->x];
  T* to = packed + panel.packed;
  std::int64_t columns_at[kernels::tile_max_tile / kernels::tile_max_rows];   // of column n, from phase 0, filter 0; the same for all taps
  for (std::int64_t n = 0; n < panel.columns; ++n) {
    const std::int64_t p = (panel.first + n) / g.co, f = (panel.first + n) % g.co;
    columns_at[n] = ((p / x.phases * g.x.k + p % x.phases) * g.co + f) * g.ci;
  }
  with_elements(dtype, kernel, [&]<class E>(const E* k) {
    const E* from[kernels::tile_max_tile / kernels::tile_max_rows];
    for (std::size_t ty = 0; ty < y.shifts.size(); ++ty)
      for (std::size_t tx = 0; tx < x.shifts.size(); ++tx, to += g.ci * panel.vectors * lanes) {
        const E* const tap = k + (y.tap(g.y, 0, ty) * g.x.k + x.tap(g.x, 0, tx)) * g.co * g.ci;
        for (std::int64_t n = 0; n < panel.columns; ++n) from[n] = tap + columns_at[n];
        transpose_columns<T>(kernels, from, panel.columns, panel.vectors * lanes, g.ci, to);
      }
  });
}

template <class T>
void TileLayout<T>::spread_bias(const void* bias, DType dtype, T* padded) const noexcept {
  std::fill_n(padded, bias_elements, T(0));
  if (!bias) return;
  with_elements(dtype, bias, [&](const auto* b) {
    for (const std::int64_t phases : bias_phases) {
      for (std::int64_t p = 0; p < phases; ++p)
        for (std::int64_t f = 0; f < g.co; ++f) padded[p * g.co + f] = base::converted<T>(b[f]);
      padded += base::round_up(phases * g.co, lanes);
    }
  });
}

template <class T>
std::string TileLayout<T>::key() const {
  std::string text = base::cat("tiles", sizeof(T), ",", lanes, "m", static_cast<int>(merge));
  for (const TileUnit& unit : units)
    for (const TilePanel& panel : unit.panels) text += static_cast<char>('0' + panel.vectors);
  for (const auto* groups : {&rows, &columns})
    for (const PhaseGroup& group : *groups) {
      text += base::cat(";", group.first_phase, "x", group.phases, ":");
      for (const std::int64_t shift : group.shifts) text += base::cat(shift, ",");
    }
  return text;
}

template <class T>
double TileLayout<T>::work() const noexcept {
  double products = 0;
  for (const TileUnit& unit : units) {
    const PhaseGroup &y = rows[unit.y], &x = columns[unit.x];
    double width = 0;
    // Panels of one vector have too few accumulators and load as much as they multiply; over whole rows less so.
    const double narrow = unit.taps > 1 ? 1.25 : 1.1;
    for (const TilePanel& panel : unit.panels) width += static_cast<double>(panel.vectors * lanes) * (panel.vectors == 1 ? narrow : 1.0);
    double fixed = 4.0 * width;                                            // of a tile, per pixel and column
    const std::int64_t row = x.phases * g.co;                              // storing a part of a vector
    for (std::int64_t end = row; end < y.phases * row; end += row)
      if (end % lanes != 0) fixed += 2 * 4.0 * static_cast<double>(lanes);
    const std::int64_t met_y = by_taps || in_rows ? live_pairs(y, g.y.n) : blocks_of(y) * static_cast<std::int64_t>(y.shifts.size());
    const std::int64_t met_x = by_taps ? live_pairs(x, g.x.n) : blocks_of(x) * static_cast<std::int64_t>(x.shifts.size());
    products += width * static_cast<double>(met_y * met_x * g.ci) + fixed * static_cast<double>(blocks_of(y) * blocks_of(x));
  }
  return products;
}

template struct TileLayout<float>;
template struct TileLayout<double>;

}  // namespace upconv::ops
