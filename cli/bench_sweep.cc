// SPDX-License-Identifier: Apache-2.0
#include "bench_sweep.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "nn/random.h"
#include "text.h"

namespace upconv::cli {
namespace {

/// Whole numbers in [low, high], evenly in the logarithm.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}
  std::int64_t operator()(std::int64_t low, std::int64_t high) {
    const double a = std::log(static_cast<double>(low)), b = std::log(static_cast<double>(high + 1));
    return std::min(high, static_cast<std::int64_t>(std::exp(a + (b - a) * random_.uniform(index_++))));
  }
  bool chance(double share) { return random_.uniform(index_++) < share; }

 private:
  nn::Random random_;
  std::uint64_t index_ = 0;
};

BenchShape random_shape(Draw& draw) {
  const bool one_axis = draw.chance(0.1), even = draw.chance(0.85);
  const std::int64_t kw = draw(1, 9), sw = draw(1, std::min<std::int64_t>(kw, 4)), w = draw(1, 128);
  const std::int64_t kh = one_axis ? 1 : even ? kw : draw(1, 9), sh = one_axis ? 1 : even ? sw : draw(1, std::min<std::int64_t>(kh, 4));
  const std::int64_t h = one_axis ? 1 : even ? w : draw(1, 128);
  // Channels are multiples of 8 three times in four, as people choose them.
  const auto channels = [&](bool few) { return few ? draw(1, 8) : draw.chance(0.75) ? 8 * draw(1, 64) : draw(1, 512); };
  const std::int64_t c = channels(draw.chance(0.05)), f = channels(draw.chance(0.2));
  return {"", {draw(1, 4), h, w, c}, f, {kh, kw}, {sh, sw}, draw.chance(0.7) ? "same" : "valid", draw.chance(0.5) ? "relu" : "linear"};
}

}  // namespace

std::vector<BenchShape> random_shapes(std::int64_t count, std::uint64_t seed) {
  Draw draw(seed);
  std::vector<BenchShape> shapes;
  while (static_cast<std::int64_t>(shapes.size()) < count) {
    BenchShape shape = random_shape(draw);
    if (shape.operations() < 1e5 || shape.operations() > 4e8) continue;
    shape.name = base::cat("random", shapes.size());
    shapes.push_back(std::move(shape));
  }
  return shapes;
}

std::string sweep_report(std::vector<SweepLayer> layers, std::uint64_t seed) {
  std::ranges::sort(layers, std::greater(), &SweepLayer::slowdown);
  const auto good = std::ranges::count_if(layers, [](const SweepLayer& l) { return l.slowdown() <= 1.05; });
  double log_sum = 0;
  for (const SweepLayer& l : layers) log_sum += std::log(l.slowdown());
  const auto count = static_cast<double>(layers.size());
  Table table({"layer", "planned", "us", "best", "us", "times"}, "001011");
  for (std::size_t i = 0; i < std::min<std::size_t>(layers.size(), 12); ++i)
    table.add({layers[i].shape, layers[i].planned, fixed(layers[i].planned_seconds * 1e6, 1), layers[i].best, fixed(layers[i].best_seconds * 1e6, 1),
               fixed(layers[i].slowdown(), 2)});
  return base::cat(layers.size(), " random layers, seed ", seed, ": the planned algorithm is within 5 % of the best for ", fixed(100 * static_cast<double>(good) / count, 1),
                   " %, ", fixed(100 * (std::exp(log_sum / count) - 1), 2), " % slower on average. The worst choices:\n\n", table.str());
}

}  // namespace upconv::cli
