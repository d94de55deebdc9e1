// SPDX-License-Identifier: Apache-2.0
// The micro-kernels alone, on data that stays in L1 or L2, on every instruction set of this machine. `of_peak` is the fraction of the FMA
// peak, measured right before the kernel; transforms, which multiply little, say bytes a second.
//   ./dev bench --kernels --benchmark_filter=tile/float32/AVX3
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/isa.h"
#include "kernels/peak.h"
#include "kernels/row_tiles.h"
#include "kernels/strips.h"
#include "kernels/tiles.h"
#include "kernels/winograd.h"

namespace {

using namespace upconv;

constexpr std::int64_t depth = 128;        // products of a sum: 64 KB of panel at most, in L1 and L2 as in a layer

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Operations a second of float32 multiply-adds, the best of five blocks of a millisecond or so.
double peak(int isa) {
  double best = 0;
  for (int i = 0; i < 5; ++i) {
    const double started = seconds_now();
    const double done = kernels::multiply_adds(100000, isa);
    best = std::max(best, done / (seconds_now() - started));
  }
  return best;
}

/// Runs `kernel`, of so many operations on T, and reports `of_peak`. Half as many float64 operations fit a vector.
template <class T, class Kernel>
void measure(benchmark::State& state, double operations, int isa, Kernel kernel) {
  const double most = peak(isa) * sizeof(float) / sizeof(T), started = seconds_now();
  for (auto _ : state) {
    kernel();
    benchmark::ClobberMemory();
  }
  state.counters["of_peak"] = operations * static_cast<double>(state.iterations()) / (seconds_now() - started) / most;
}

/// Zeroed memory aligned to a cache line.
template <class T>
class Lines {
 public:
  explicit Lines(std::int64_t count) : memory_(static_cast<std::size_t>(count) + 64 / sizeof(T)) {
    auto address = reinterpret_cast<std::uintptr_t>(memory_.data());
    start_ = memory_.data() + (64 - address % 64) % 64 / sizeof(T);
  }
  T* data() { return start_; }

 private:
  std::vector<T> memory_;
  T* start_;
};

template <class T>
void tile(benchmark::State& state, int isa, int vectors, int rows) {
  const auto& tiles = kernels::tile_kernels<T>(isa);
  const std::int64_t columns = vectors * tiles.lanes;
  Lines<T> x(rows * depth), panel(depth * columns), bias(columns), c(rows * columns);
  std::vector<const T*> from;
  std::vector<T*> to;
  for (int m = 0; m < rows; ++m) {
    from.push_back(x.data() + m * depth);
    to.push_back(c.data() + m * columns);
  }
  const auto steps = kernels::tile_steps(1, depth);
  const kernels::TileTask<T> task{.rows = from.data(), .tap_stride = rows, .steps = steps.data(), .step_count = std::ssize(steps),
                                  .panel = panel.data(), .bias = bias.data(), .c = to.data(), .c_offset = 0, .columns = columns, .relu = true};
  measure<T>(state, 2.0 * static_cast<double>(rows * columns * depth), isa, [&] { tiles.run[vectors][rows](task); });
}

template <class T>
void row(benchmark::State& state, int isa, int vectors, int rows) {
  const auto& tiles = kernels::row_tiles<T>(isa);
  const std::int64_t columns = vectors * kernels::tile_kernels<T>(isa).lanes;
  Lines<T> x(2 * rows * depth), panel(depth * columns), bias(columns), c(rows * columns);
  const T* taps[] = {x.data()};
  const auto steps = kernels::tile_steps(1, depth);
  const kernels::RowTask<T> task{.taps = taps, .stride = depth, .steps = steps.data(), .step_count = std::ssize(steps), .panel = panel.data(),
                                 .bias = bias.data(), .c = c.data(), .c_stride = columns, .pixels = rows, .columns = columns, .spills = false,
                                 .relu = true};
  measure<T>(state, 2.0 * static_cast<double>(rows * columns * depth), isa, [&] { tiles.run[vectors][rows](task, 0); });
}

template <class T>
void strip(benchmark::State& state, int isa, int columns, int strips) {
  const auto& kernel = kernels::strip_kernels<T>(isa);
  const std::int64_t stride = depth * kernel.lanes, row = strips * kernel.lanes;
  Lines<T> x(strips * stride), panel(depth * columns), c(columns * row);
  const T* taps[] = {x.data()};
  const auto steps = kernels::tile_steps(1, depth);
  const kernels::StripTask<T> task{.strips = taps, .strip_stride = stride, .first_strip = 0, .steps = steps.data(),
                                   .step_count = std::ssize(steps), .panel = panel.data(), .c = c.data(), .c_stride = row};
  measure<T>(state, 2.0 * static_cast<double>(row * columns * depth), isa, [&] { kernel.run[columns][strips](task); });
}

void winograd_input(benchmark::State& state, int isa, kernels::WinogradScheme scheme) {
  const int points = scheme.points * scheme.points;
  Lines<float> d(points * depth), v(points * depth + 64);
  std::vector<const float*> pixels;
  for (int i = 0; i < points; ++i) pixels.push_back(d.data() + i * depth);
  const kernels::WinogradInput task{scheme, scheme, pixels.data(), depth, v.data(), depth};
  for (auto _ : state) {
    kernels::winograd_input(task, isa);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * 2 * points * depth * static_cast<std::int64_t>(sizeof(float)));
}

void winograd_output(benchmark::State& state, int isa, kernels::WinogradScheme scheme) {
  const int points = scheme.points * scheme.points, outputs = scheme.outputs();
  Lines<float> m(points * depth + 64), bias(depth + 64), y(outputs * outputs * depth);
  const kernels::WinogradOutput task{.y = scheme, .x = scheme, .m = m.data(), .point_stride = depth, .bias = bias.data(), .columns = depth,
                                     .relu = true, .y0 = 0, .y1 = outputs, .x0 = 0, .x1 = outputs, .to = y.data(),
                                     .row = outputs * depth, .column = depth};
  for (auto _ : state) benchmark::DoNotOptimize(kernels::winograd_output(task, isa));
  state.SetBytesProcessed(state.iterations() * (points + outputs * outputs) * depth * static_cast<std::int64_t>(sizeof(float)));
}

template <class T>
void register_tiles(int isa, const std::string& name) {
  const std::string type = (std::is_same_v<T, float> ? "float32/" : "float64/") + name + "/";
  const auto add = [&](const std::string& kernel, auto function, int first, int second, int vectors, int rows) {
    benchmark::RegisterBenchmark((kernel + "/" + type + std::to_string(first) + "x" + std::to_string(second)).c_str(), function, isa, vectors, rows);
  };
  for (int vectors = 1; vectors <= kernels::tile_max_vectors; ++vectors) {
    for (int rows = 1; rows <= kernels::tile_kernels<T>(isa).rows[vectors]; ++rows) add("tile", tile<T>, rows, vectors, vectors, rows);
    for (int rows = 1; rows <= kernels::row_tiles<T>(isa).rows[vectors]; ++rows) add("row", row<T>, rows, vectors, vectors, rows);
  }
  for (int columns = 1; columns <= kernels::strip_max_columns; ++columns) {
    const int strips = kernels::strip_kernels<T>(isa).strips[columns];
    if (strips > 0) add("strip", strip<T>, columns, strips, columns, strips);
  }
}

void register_transforms(int isa, const std::string& name) {
  for (int taps : {2, 3}) {
    for (int points = taps + 1; points <= kernels::winograd_most_points; ++points) {
      const kernels::WinogradScheme scheme{points, taps};
      const std::string size = name + "/F(" + std::to_string(scheme.outputs()) + "," + std::to_string(taps) + ")";
      benchmark::RegisterBenchmark(("winograd_input/" + size).c_str(), winograd_input, isa, scheme);
      benchmark::RegisterBenchmark(("winograd_output/" + size).c_str(), winograd_output, isa, scheme);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (std::size_t i = 0; i < kernels::isas().size(); ++i) {
    const std::string& name = kernels::isas()[i].name;
    register_tiles<float>(static_cast<int>(i), name);
    register_tiles<double>(static_cast<int>(i), name);
    register_transforms(static_cast<int>(i), name);
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
