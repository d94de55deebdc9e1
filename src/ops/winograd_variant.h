// SPDX-License-Identifier: Apache-2.0
// How winograd cuts a layer: which phases share input windows, and F(m, r) of every window's axes. Chosen by counting what
// the tiles of one sample cost, so it depends on the geometry of one sample, the instruction set and the processor only.
#pragma once

#include <limits>
#include <vector>

#include "kernels/winograd.h"
#include "ops/conv_transpose.h"
#include "ops/phases.h"

namespace upconv::ops {

/// Phases (y, x) that are computed from the same input windows: columns (phase, phase, filter) of one GEMM a point.
struct WinogradWindow {
  PhaseGroup y, x;
  kernels::WinogradScheme along_y, along_x;
  std::int64_t tiles_y = 0, tiles_x = 0;   // of one sample

  std::int64_t tiles() const noexcept { return tiles_y * tiles_x; }
  int points() const noexcept { return along_y.points * along_x.points; }
  std::int64_t phases() const noexcept { return y.phases * x.phases; }
};

struct WinogradVariant {
  std::vector<WinogradWindow> windows;                     // empty: winograd does not apply
  double cost = std::numeric_limits<double>::infinity();   // of one sample, in multiply-adds of a GEMM at full speed
};

WinogradVariant choose_winograd(const Problem& problem, int isa);

/// Which schemes serve windows of these numbers of taps; empty if none.
std::vector<std::pair<kernels::WinogradScheme, kernels::WinogradScheme>> winograd_schemes(std::size_t taps_y, std::size_t taps_x);

}  // namespace upconv::ops
