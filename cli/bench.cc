// SPDX-License-Identifier: Apache-2.0
// `upconv bench`: warm calls of single layers, planned where only the forward pass is asked for, in rounds. Each round measures the FMA peak and then every
// algorithm of the layer, so that a machine that changes its speed changes both; figures are the best of the rounds.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>

#include "base/text.h"
#include "bench_machine.h"
#include "bench_passes.h"
#include "bench_shapes.h"
#include "bench_svg.h"
#include "bench_sweep.h"
#include "command.h"
#include "kernels/isa.h"
#include "ops/conv_transpose.h"
#include "ops/phases.h"
#include "output.h"
#include "progress.h"
#include "text.h"
#include "upconv/config.h"
#include "upconv/error.h"

namespace upconv::cli {
namespace {

constexpr const char* kDescription = R"(Time Conv2DTranspose layers and hold them against the machine's limits.

  upconv bench
  upconv bench --shapes bench/shapes.csv --threads 1 --json result.json --svg roofline.svg
  upconv bench --shapes bench/shapes.csv --algorithm all
  upconv bench --shapes bench/training_shapes.csv --pass train
  upconv bench --shapes bench/shapes.csv --cold        each call with cold caches, held against reading its weights
  upconv bench --sweep 500 --threads 1                 how good the plan's choice is on random layers
  upconv bench --algorithms

GFLOP/s count 2*n*h*w*kh*kw*c*f operations a product (train: three of them), whatever an algorithm saves. --algorithm all measures every one that applies.)";

constexpr double kLeastSeconds = 2e-3;     // of calls in one round

struct Options {
  std::string shapes, pass = "forward", math = "fast", dtype = "float32", algorithm, json, svg, only;
  int rounds = 7;
  std::int64_t sweep = 0;
  std::uint64_t seed = 1;
  bool list = false, cold = false;
};

struct Result {
  std::string name, shape, algorithm, reason;
  double ms_min = 0, ms_median = 0, gflops = 0, peak = 0, intensity = 0;
  double read_gbs = 0, bound = 0;          // --cold: the rate of memory, and seconds that reading live weights or the live multiply-adds take
};

/// One layer under one algorithm, ready to run.
struct Candidate {
  BenchPass pass;
  std::int64_t calls = 1;
  std::vector<double> seconds = {};

  double run() {
    const auto start = std::chrono::steady_clock::now();
    for (std::int64_t i = 0; i < calls; ++i) pass.call();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / static_cast<double>(calls);
  }
};

ops::Geometry geometry_of(const BenchShape& shape) {
  return ops::make_geometry(shape.input, {shape.kernel_size.h, shape.kernel_size.w, shape.filters, shape.input[3]},
                            {.strides = shape.strides, .padding = parse_padding(shape.padding)});
}

std::vector<std::string> algorithms_for(const BenchShape& shape, const Options& o) {
  if (o.algorithm != "all") return {o.algorithm};
  ops::Problem problem;
  problem.geometry = geometry_of(shape);
  problem.dtype = parse_dtype(o.dtype);
  std::vector<std::string> names = ops::applicable_algorithms(problem, parse_math(o.math));
  std::erase(names, "reference");
  return names;
}

std::vector<Candidate> make_candidates(const Conv2DTranspose& layer, const BenchShape& shape, const Options& o) {
  std::vector<Candidate> candidates;
  std::vector<ExecutionOptions> choices;
  for (const std::string& algorithm : algorithms_for(shape, o)) choices.push_back({.math = parse_math(o.math), .algorithm = algorithm});
  for (BenchPass& pass : bench_passes(o.pass, layer, shape.input, parse_dtype(o.dtype), choices)) {
    Candidate c{std::move(pass)};
    c.run();
    if (!o.cold) c.calls = std::clamp<std::int64_t>(static_cast<std::int64_t>(kLeastSeconds / c.run()), 1, 100'000);
    candidates.push_back(std::move(c));
  }
  return candidates;
}

Conv2DTranspose built_layer(const BenchShape& shape, const Options& o) {
  Conv2DTranspose layer = shape.layer(o.dtype);
  layer.build(shape.input);
  return layer;
}

/// The longer of reading the weights of live taps at `gbs` and doing the live multiply-adds at `peak`.
double bound_of(const BenchShape& shape, double gbs, double peak) {
  const ops::Geometry g = geometry_of(shape);
  const double pair = static_cast<double>(g.ci * g.co);
  return std::max(4e-9 * pair * static_cast<double>(ops::live_taps(g.y) * ops::live_taps(g.x)) / gbs,
                  2e-9 * pair * static_cast<double>(g.n * ops::live_products(g.y) * ops::live_products(g.x)) / peak);
}

/// `sweep`: null, or what makes the caches cold before each call.
std::vector<Result> measure(const BenchShape& shape, const Conv2DTranspose& layer, const Options& o, int threads, int isa, CacheSweep* sweep = nullptr) {
  std::vector<Candidate> candidates = make_candidates(layer, shape, o);
  double peak = 0, read = 0;
  for (int round = 0; round < o.rounds; ++round) {
    peak = std::max(peak, peak_gflops(threads, isa));
    for (Candidate& c : candidates) {
      if (sweep) read = std::max(read, sweep->gbs());
      c.seconds.push_back(c.run());
    }
  }
  std::vector<Result> results;
  for (Candidate& c : candidates) {
    std::ranges::sort(c.seconds);
    const double operations = c.pass.products * shape.operations();
    results.push_back({shape.name, shape.text(), c.pass.algorithm, c.pass.reason, c.seconds.front() * 1e3,
                       c.seconds[c.seconds.size() / 2] * 1e3, operations / c.seconds.front() * 1e-9, peak, operations / c.pass.bytes,
                       read, sweep ? bound_of(shape, read, peak) : 0});
  }
  return results;
}

struct Run {
  std::vector<Result> results;
  int threads = 1;
  double peak = 0, copy = 0;
};

Run measure_all(const std::vector<BenchShape>& shapes, const Options& o) {
  Run run{.results = {}, .threads = default_threads()};
  const int isa = kernels::default_isa_index();
  CopyMeter copy(run.threads);
  for (int i = 0; i < 3; ++i) peak_gflops(run.threads, isa);     // wakes the threads
  std::optional<CacheSweep> cold;
  if (o.cold) cold.emplace(run.threads);
  Progress progress("measuring", static_cast<std::int64_t>(shapes.size()));
  for (const BenchShape& shape : shapes) {
    run.copy = std::max(run.copy, copy.gbs());
    for (Result& result : measure(shape, built_layer(shape, o), o, run.threads, isa, cold ? &*cold : nullptr)) {
      run.peak = std::max(run.peak, result.peak);
      run.results.push_back(std::move(result));
    }
    progress.advance();
  }
  return run;
}

std::string json_of(const Run& run, const Options& o) {
  Config::List list;
  for (const Result& r : run.results)
    list.push_back(Config::dict({{"name", r.name}, {"pass", o.pass}, {"algorithm", r.algorithm}, {"threads", run.threads}, {"math", o.math},
                                 {"dtype", o.dtype}, {"ms_min", r.ms_min}, {"ms_median", r.ms_median}, {"gflops", r.gflops},
                                 {"peak_fraction", r.gflops / r.peak}, {"reason", r.reason},
                                 {"cold_read_gbs", o.cold ? Config(r.read_gbs) : Config()}, {"cold_bound_ms", o.cold ? Config(1e3 * r.bound) : Config()}}));
  return Config::dict({{"version", std::string(version())}, {"isa", default_isa()}, {"threads", run.threads}, {"peak_gflops", run.peak},
                       {"copy_gbs", run.copy}, {"results", std::move(list)}}).json() + "\n";
}

void print(const Run& run, const Options& o) {
  std::cout << default_isa() << ", " << run.threads << (run.threads == 1 ? " thread, " : " threads, ") << o.dtype << ", pass " << o.pass
            << ", math " << o.math << ": FMA peak " << fixed(run.peak, 1) << " GFLOP/s, copy rate " << fixed(run.copy, 1) << " GB/s\n\n";
  Table table({"layer", "shape", "algorithm", "ms", "median", "GFLOP/s", "of peak", o.cold ? "x bound" : "why"}, o.cold ? "00011111" : "00011110");
  double log_sum = 0;
  for (const Result& r : run.results) {
    table.add({r.name, r.shape, r.algorithm, fixed(r.ms_min, 3), fixed(r.ms_median, 3), fixed(r.gflops, 1),
               fixed(100 * r.gflops / r.peak, 0) + " %", o.cold ? fixed(r.ms_min / (1e3 * r.bound), 2) : r.reason});
    log_sum += std::log(r.gflops / r.peak);
  }
  std::cout << table.str() << "\nGeometric mean: " << fixed(100 * std::exp(log_sum / static_cast<double>(run.results.size())), 1)
            << " % of the FMA peak measured beside each layer\n";
}

void list_algorithms(const std::vector<BenchShape>& shapes, Options o) {
  for (const std::string& name : ops::algorithm_names()) std::cout << name << "\n";
  if (o.shapes.empty()) return;
  o.algorithm = "all";
  Table table({"layer", "shape", "possible"});
  for (const BenchShape& shape : shapes) table.add({shape.name, shape.text(), base::join(algorithms_for(shape, o), ", ")});
  std::cout << "\n" << table.str();
}

/// Every algorithm of random layers against the one that the plan takes.
void sweep(Options o) {
  if (o.pass != "forward" || !o.algorithm.empty() || !o.shapes.empty() || !o.only.empty() || !o.json.empty() || !o.svg.empty() || o.cold)
    throw ArgumentError("sweep", "--sweep measures every algorithm of random layers' forward pass and prints a report: it takes --threads, --math, --dtype, --rounds "
                                 "and --seed, but no --pass, --algorithm, --shapes, --only, --json, --svg or --cold.");
  o.algorithm = "all";
  const int threads = default_threads(), isa = kernels::default_isa_index();
  std::vector<SweepLayer> layers;
  Progress progress("measuring", o.sweep);
  for (const BenchShape& shape : random_shapes(o.sweep, o.seed)) {
    const Conv2DTranspose layer = built_layer(shape, o);
    SweepLayer found{.shape = shape.text(), .planned = layer.plan(shape.input, {.math = parse_math(o.math)}).algorithm(), .best = {}};
    for (const Result& r : measure(shape, layer, o, threads, isa)) {
      if (found.best.empty() || r.ms_min < found.best_seconds * 1e3) found.best = r.algorithm, found.best_seconds = r.ms_min / 1e3;
      if (r.algorithm == found.planned) found.planned_seconds = r.ms_min / 1e3;
    }
    layers.push_back(std::move(found));
    progress.advance();
  }
  std::cout << default_isa() << ", threads " << threads << ", " << o.dtype << ", math " << o.math << "\n" << sweep_report(std::move(layers), o.seed);
}

void bench(const Options& o) {
  if (o.sweep > 0) return sweep(o);
  std::vector<BenchShape> shapes = o.shapes.empty() ? default_shapes() : read_shapes(o.shapes);
  std::erase_if(shapes, [&](const BenchShape& s) { return !o.only.empty() && s.name.find(o.only) == std::string::npos; });
  if (shapes.empty()) throw ArgumentError("only", base::cat("no layer's name holds '", base::escaped(o.only), "'"));
  if (o.list) return list_algorithms(shapes, o);
  if (o.pass != "forward" && !o.algorithm.empty())
    throw ArgumentError("algorithm", base::cat("Only the forward pass takes an algorithm. Received: pass=", o.pass, ", algorithm=", base::escaped(o.algorithm)));
  if (o.cold && (o.pass != "forward" || o.dtype != "float32"))
    throw ArgumentError("cold", base::cat("--cold holds the forward pass in float32 against reading its weights. Received: pass=", o.pass, ", dtype=", o.dtype));
  const Run run = measure_all(shapes, o);
  print(run, o);
  if (!o.json.empty()) write_file(o.json, std::string_view(json_of(run, o)));
  if (o.svg.empty()) return;
  std::vector<RooflinePoint> points;
  for (const Result& r : run.results) points.push_back({r.name, r.algorithm, r.intensity, r.gflops});
  write_file(o.svg, std::string_view(roofline_svg(points, run.peak, run.copy,
      base::cat("Conv2DTranspose, ", default_isa(), ", ", run.threads, run.threads == 1 ? " thread, " : " threads, ", o.dtype, ", ", o.math))));
}

}  // namespace

Command add_bench(CLI::App& root) {
  CLI::App* app = root.add_subcommand("bench", kDescription);
  const auto o = std::make_shared<Options>();
  app->add_option("--shapes", o->shapes, "CSV file: name,n,h,w,c,f,kh,kw,sh,sw,padding,activation (default: a few typical layers)");
  app->add_option("--only", o->only, "Only layers whose name holds this text");
  app->add_option("--pass", o->pass, "forward; dx or dw, the gradient of the input or of the kernel; train: forward, dx, dw and that of the bias")
      ->check(CLI::IsMember({"forward", "dx", "dw", "train"}))->capture_default_str();
  app->add_option("--math", o->math, "fast or exact")->capture_default_str();
  app->add_option("--dtype", o->dtype, "float32, float64, float16 or bfloat16")->capture_default_str();
  app->add_option("--algorithm", o->algorithm, "Force an algorithm, or all (default: the plan chooses)");
  app->add_option("--rounds", o->rounds, "Rounds of measurement")->check(CLI::Range(1, 1000))->capture_default_str();
  app->add_option("--sweep", o->sweep, "Measure every algorithm of this many random layers against the plan's choice")->check(CLI::NonNegativeNumber);
  app->add_option("--seed", o->seed, "Of the random layers")->capture_default_str();
  app->add_flag("--cold", o->cold, "Forward only: caches are swept before each call; the last column is the time over what reading the live weights or the live "
                                   "multiply-adds take");
  app->add_flag("--algorithms", o->list, "List the algorithms (with --shapes: those possible for each layer) and stop");
  app->add_option("--json", o->json, "Write the figures into this file");
  app->add_option("--svg", o->svg, "Draw the roofline into this file");
  return {app, [o] { bench(*o); }};
}

}  // namespace upconv::cli
