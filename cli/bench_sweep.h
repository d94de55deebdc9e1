// SPDX-License-Identifier: Apache-2.0
// How good the plan's choice is: random layers, every algorithm that applies to each, measured in turns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench_shapes.h"

namespace upconv::cli {

/// `count` layers of 0.1 to 400 Mflop, sizes drawn evenly in their logarithms; the same for the same seed.
std::vector<BenchShape> random_shapes(std::int64_t count, std::uint64_t seed);

/// What one layer gave.
struct SweepLayer {
  std::string shape, planned, best;      ///< algorithms
  double planned_seconds = 0, best_seconds = 0;
  double slowdown() const { return planned_seconds / best_seconds; }
};
/// Share of the layers whose planned algorithm is within 5 % of the best, and the worst choices.
std::string sweep_report(std::vector<SweepLayer> layers, std::uint64_t seed);

}  // namespace upconv::cli
