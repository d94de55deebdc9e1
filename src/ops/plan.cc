// SPDX-License-Identifier: Apache-2.0
// Which algorithm runs a problem, and why. Batch and threads may choose only among algorithms that add in the canonical
// order (kernels/gemm.h), so that they never change a bit.
#include "ops/plan.h"

#include <algorithm>

#include "base/text.h"
#include "kernels/isa.h"
#include "upconv/error.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kMostTapsOfAPixel = 4096;   // what the tile's pointer table holds

std::int64_t taps_of_a_pixel(const Axis& axis) { return axis.d > 1 ? axis.k : (axis.k + axis.s - 1) / axis.s; }

bool applies(std::size_t algorithm, const Problem& p) {
  if (algorithm == kPhaseGemm) return taps_of_a_pixel(p.geometry.y) * taps_of_a_pixel(p.geometry.x) <= kMostTapsOfAPixel;
  return true;
}

}  // namespace

const std::vector<std::string>& algorithm_names() {
  static const std::vector<std::string> names = {"phase_gemm", "reference"};
  return names;
}

std::vector<std::string> applicable_algorithms(const Problem& problem, Math) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < algorithm_names().size(); ++i)
    if (applies(i, problem)) names.push_back(algorithm_names()[i]);
  return names;
}

Execution resolve(const ExecutionOptions& options) {
  if (options.threads < 0 || options.threads > 4096)
    throw ArgumentError("threads", base::cat("`threads` must be from 0 (the default) to 4096. Received: ", options.threads, "."));
  Execution e;
  e.executor = options.executor ? options.executor : default_executor();
  e.threads = options.threads ? options.threads : default_threads();
  e.isa = options.isa.empty() ? kernels::default_isa_index() : kernels::isa_index(options.isa);
  e.math = options.math;
  return e;
}

std::shared_ptr<const ForwardPlan> ForwardPlan::make(const Problem& problem, const ExecutionOptions& options) {
  const Execution execution = resolve(options);
  const std::vector<std::string> possible = applicable_algorithms(problem, options.math);
  if (!options.algorithm.empty() && std::find(possible.begin(), possible.end(), options.algorithm) == possible.end())
    throw ArgumentError("algorithm", base::cat("The algorithm must be one that applies to this layer: ",
                                               base::join(possible, ", "), ". Received: '", base::escaped(options.algorithm),
                                               "'."));
  const std::string chosen = options.algorithm.empty() ? possible.front() : options.algorithm;
  const std::string reason = !options.algorithm.empty()       ? "forced by name"
                             : chosen == algorithm_names()[0] ? "implicit GEMM, one a phase, with the live taps only"
                                                              : "more taps a pixel than a tile holds";
  if (chosen == algorithm_names()[kPhaseGemm]) return make_phase_gemm_plan(problem, execution, reason);
  return make_reference_plan(problem, execution, reason);
}

}  // namespace upconv::ops
