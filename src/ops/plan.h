// SPDX-License-Identifier: Apache-2.0
// What the algorithms share: the resolved execution of a call, and one maker an algorithm.
#pragma once

#include <memory>
#include <string>

#include "base/checked.h"
#include "ops/conv_transpose.h"

namespace upconv::ops {

/// ExecutionOptions with every default resolved.
struct Execution {
  std::shared_ptr<Executor> executor;
  int threads;
  int isa;
  Math math;
};

/// Throws ArgumentError for a wrong thread count or instruction set.
Execution resolve(const ExecutionOptions& options);

/// Places in algorithm_names().
enum AlgorithmIndex : std::size_t { kTileGemm, kPhaseGemm, kWeightStream, kScatterGemm, kWinograd, kReference };

/// A part of a workspace: `elements` of `size` bytes, rounded up to whole cache lines.
inline std::int64_t padded_bytes(std::int64_t elements, std::size_t size) {
  return base::round_up(base::checked_mul(elements, static_cast<std::int64_t>(size), "workspace size"), 64);
}

/// Half types compute in float32.
inline DType compute_dtype(DType storage) noexcept {
  return storage == DType::float64 ? DType::float64 : DType::float32;
}

/// Below this many multiply-adds no thread is woken: waking one costs about as long as a million of them.
inline constexpr double kThreadingThreshold = 1e6;
inline int threads_worth_waking(const Geometry& g, int threads) noexcept {
  return static_cast<double>(g.n * g.y.n * g.x.n) * static_cast<double>(g.kernel_elements()) < kThreadingThreshold ? 1 : threads;
}

std::shared_ptr<const ForwardPlan> make_reference_plan(const Problem& problem, const Execution& execution, std::string reason);
/// What the tiles of one sample multiply, padding lanes and fixed costs included: the cost model of the direct algorithms.
double tile_work(const Problem& problem, int isa, std::size_t algorithm);
double scatter_work(const Problem& problem, int isa);
bool winograd_applies(const Problem& problem);
double winograd_work(const Problem& problem, int isa);   ///< infinite where winograd does not apply

std::shared_ptr<const ForwardPlan> make_winograd_plan(const Problem& problem, const Execution& execution, std::string reason);
std::shared_ptr<const ForwardPlan> make_scatter_gemm_plan(const Problem& problem, const Execution& execution, std::string reason);
/// tile_gemm, phase_gemm and weight_stream.
std::shared_ptr<const ForwardPlan> make_tile_plan(const Problem& problem, const Execution& execution, std::size_t algorithm,
                                                  std::string reason);

}  // namespace upconv::ops
