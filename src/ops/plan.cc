// SPDX-License-Identifier: Apache-2.0
// Which algorithm runs a problem, and why. Batch and threads may choose only among algorithms that add in the canonical
// order (kernels/tiles.h), so that they never change a bit.
#include "ops/plan.h"

#include <algorithm>

#include "base/text.h"
#include "kernels/isa.h"
#include "upconv/error.h"

namespace upconv::ops {

namespace {

/// Few pixels meet many weights: reading the weights is what costs.
bool streams(const Geometry& g) { return g.y.n * g.x.n <= 64 && g.kernel_elements() >= (1 << 20); }

bool applies(std::size_t algorithm, const Problem& p, Math math) {
  const Geometry& g = p.geometry;
  switch (algorithm) {
    case kTileGemm: return g.y.k <= g.y.s && g.x.k <= g.x.s && g.y.d == 1 && g.x.d == 1;
    case kWeightStream: return streams(g);
    case kScatterGemm: return g.co <= 8 && g.y.k * g.x.k * g.co <= 1024;
    case kWinograd: return math == Math::fast && winograd_applies(p);
    default: return true;
  }
}

const char* why(std::size_t algorithm) {
  switch (algorithm) {
    case kTileGemm: return "kernel_size <= strides: one tap a pixel, every output written once";
    case kWeightStream: return "few pixels, many weights: live weights are read once";
    case kScatterGemm: return "few filters: pixels along the lanes fill them";
    case kWinograd: return "winograd: fewer multiplications than taps";
    default: return "implicit GEMM, one a phase, with its own taps only";
  }
}

/// By the geometry of one sample, dtype and instruction set only, where the order of sums differs (scatter_gemm, winograd).
std::size_t choose(const Problem& p, const Execution& e, bool unpacked) {
  std::size_t best = applies(kTileGemm, p, e.math) ? kTileGemm : streams(p.geometry) ? kWeightStream : kPhaseGemm;
  double cost = tile_work(p, e.isa, best);
  const auto consider = [&](std::size_t algorithm, const auto& work_of) {
    if (!applies(algorithm, p, e.math)) return;
    if (const double work = work_of(); work < cost) best = algorithm, cost = work;
  };
  // What it takes to transform a weight for winograd rather than to copy it, in multiply-adds. Inside Keras on two cores 150 lost 6 x
  // on 16x16x1024 -> 256 k4s2 and 400 lost 2 x on 32x24x256 -> 256 k4s2; 600 and 1000 choose alike.
  constexpr double kTransformingWeight = 800;
  consider(kScatterGemm, [&] { return scatter_work(p, e.isa); });
  consider(kWinograd, [&] {
    return winograd_work(p, e.isa) + (unpacked ? kTransformingWeight * static_cast<double>(p.geometry.kernel_elements()) : 0);
  });
  return best;
}

}  // namespace

const std::vector<std::string>& algorithm_names() {
  static const std::vector<std::string> names = {"tile_gemm", "phase_gemm", "weight_stream", "scatter_gemm", "winograd", "reference"};
  return names;
}

std::vector<std::string> applicable_algorithms(const Problem& problem, Math math) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < algorithm_names().size(); ++i)
    if (applies(i, problem, math)) names.push_back(algorithm_names()[i]);
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

std::shared_ptr<const ForwardPlan> ForwardPlan::make(const Problem& problem, const ExecutionOptions& options, bool unpacked) {
  const Execution execution = resolve(options);
  const std::vector<std::string> possible = applicable_algorithms(problem, options.math);
  if (!options.algorithm.empty() && std::find(possible.begin(), possible.end(), options.algorithm) == possible.end())
    throw ArgumentError("algorithm", base::cat("The algorithm must be one that applies to this layer: ",
                                               base::join(possible, ", "), ". Received: '", base::escaped(options.algorithm),
                                               "'."));
  const auto& names = algorithm_names();
  const std::size_t index = options.algorithm.empty()
                                ? choose(problem, execution, unpacked)
                                : static_cast<std::size_t>(std::find(names.begin(), names.end(), options.algorithm) - names.begin());
  const std::string reason = options.algorithm.empty() ? why(index) : "forced by name";
  if (index == kReference) return make_reference_plan(problem, execution, reason);
  if (index == kWinograd) return make_winograd_plan(problem, execution, reason);
  if (index == kScatterGemm) return make_scatter_gemm_plan(problem, execution, reason);
  return make_tile_plan(problem, execution, index, reason);
}

}  // namespace upconv::ops
