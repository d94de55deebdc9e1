// SPDX-License-Identifier: Apache-2.0
// Every algorithm on every target against the executable specification, with tolerance zero on integers.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/isa.h"
#include "support/forward.h"
#include "support/grid.h"

namespace upconv {
namespace {

using test::expected, test::run;

template <class T, class Make = ops::Geometry (*)(test::Random&)>
void exact_on_integers(const std::string& isa, const std::string& algorithm, int cases, Make geometry = test::random_geometry) {
  test::Random random(20262);
  int tested = 0;
  for (int i = 0; i < cases; ++i) {
    ops::Problem problem;
    problem.geometry = geometry(random);
    problem.dtype = dtype_of<T>;
    problem.has_bias = test::draw(random, 0, 3) != 0;
    const bool relu = test::draw(random, 0, 1);
    if (relu) problem.activation = {kernels::Activation::relu, 0, std::numeric_limits<double>::infinity(), 0};
    const ops::Geometry& g = problem.geometry;
    const auto x = test::integers<T>(random, g.input_elements()), kernel = test::integers<T>(random, g.kernel_elements());
    const auto bias = test::integers<T>(random, problem.has_bias ? g.co : 0);
    const std::vector<double> want = expected(g, test::doubles(x), test::doubles(kernel), test::doubles(bias), relu);
    ExecutionOptions options;
    options.threads = 1 + i % 3, options.isa = isa, options.algorithm = algorithm;
    const std::vector<std::string> possible = ops::applicable_algorithms(problem, options.math);
    if (std::find(possible.begin(), possible.end(), algorithm) == possible.end()) continue;
    ++tested;
    const std::vector<T> got = run(problem, options, x, kernel, bias, i % 4 == 0);
    for (std::size_t k = 0; k < want.size(); ++k) {
      const double rounded = static_cast<double>(static_cast<float>(static_cast<T>(static_cast<float>(want[k]))));
      ASSERT_EQ(static_cast<double>(static_cast<float>(got[k])), rounded) << "element " << k << ", " << test::describe(g);
    }
  }
  EXPECT_GE(tested, cases / 20);
}

TEST(Forward, ExactOnIntegersForEveryAlgorithmTargetAndDtype) {
  for (const kernels::Isa& isa : kernels::isas())
    for (const std::string algorithm : {"tile_gemm", "phase_gemm", "scatter_gemm", "reference"}) {
      SCOPED_TRACE(isa.name + " " + algorithm);
      const int cases = algorithm == "reference" ? 100 : 700;
      exact_on_integers<float>(isa.name, algorithm, cases);
      exact_on_integers<double>(isa.name, algorithm, cases / 4);
      exact_on_integers<Half>(isa.name, algorithm, cases / 4);
      exact_on_integers<BFloat16>(isa.name, algorithm, cases / 4);
    }
}

/// Rows long enough for whole tiles and their remainders, bands and blocks; the widths and filters at which vectors fill or do not.
ops::Geometry wide_geometry(test::Random& random) {
  static constexpr std::int64_t kFilters[] = {1, 2, 3, 4, 5, 8, 12, 16, 20, 21, 24, 32, 40, 64};
  ops::Geometry g;
  g.n = test::draw(random, 1, 2), g.ci = test::draw(random, 1, 40), g.co = kFilters[static_cast<std::size_t>(test::draw(random, 0, 13))];
  const std::int64_t s = test::draw(random, 1, 3), k = test::draw(random, 0, 1) ? s : test::draw(random, 1, 5);
  const Padding padding = test::draw(random, 0, 1) ? Padding::same : Padding::valid;
  g.y = ops::make_axis(test::draw(random, 1, 12), k, s, padding, {}, 1), g.x = ops::make_axis(test::draw(random, 4, 70), k, s, padding, {}, 1);
  return g;
}

TEST(Forward, ExactOnLongRowsToo) {
  for (const kernels::Isa& isa : kernels::isas())
    for (const std::string algorithm : {"tile_gemm", "phase_gemm", "scatter_gemm"}) {
      SCOPED_TRACE(isa.name + " " + algorithm);
      exact_on_integers<float>(isa.name, algorithm, 80, wide_geometry);
      exact_on_integers<double>(isa.name, algorithm, 20, wide_geometry);
    }
}

/// So few pixels of so many channels that a panel meets them tap by tap.
ops::Geometry few_pixels(test::Random& random) {
  ops::Geometry g;
  g.n = test::draw(random, 1, 12), g.ci = test::draw(random, 129, 300), g.co = test::draw(random, 1, 70);
  g.data_format = test::draw(random, 0, 2) ? DataFormat::channels_last : DataFormat::channels_first;
  const std::int64_t s = test::draw(random, 1, 3), k = test::draw(random, 2, 5);
  const Padding padding = test::draw(random, 0, 1) ? Padding::same : Padding::valid;
  g.y = ops::make_axis(test::draw(random, 1, 7), k, s, padding, {}, 1), g.x = ops::make_axis(test::draw(random, 1, 7), k, s, padding, {}, 1);
  return g;
}

TEST(Forward, ExactOnFewPixelsOfManyChannels) {
  for (const kernels::Isa& isa : kernels::isas()) {
    SCOPED_TRACE(isa.name);
    exact_on_integers<float>(isa.name, "phase_gemm", 60, few_pixels);
    exact_on_integers<double>(isa.name, "phase_gemm", 15, few_pixels);
    exact_on_integers<Half>(isa.name, "phase_gemm", 15, few_pixels);
  }
}

/// 50 images of 4x4 are several blocks. The first tap's infinite weight reaches the outputs of the pixels that it meets, no others.
TEST(Forward, SameBitsAndFootprintOfAWeightForFewPixels) {
  test::Random random(5);
  std::normal_distribution<float> normal;
  ops::Problem problem;
  ops::Geometry& g = problem.geometry;
  g.n = 50, g.ci = 150, g.co = 20;
  g.y = ops::make_axis(4, 4, 2, Padding::same, {}, 1), g.x = ops::make_axis(4, 4, 2, Padding::same, {}, 1);
  std::vector<float> x(static_cast<std::size_t>(g.input_elements())), kernel(static_cast<std::size_t>(g.kernel_elements())), bias(20, 0.5f);
  for (auto* values : {&x, &kernel})
    for (float& v : *values) v = 1 + std::abs(normal(random));
  kernel[0] = std::numeric_limits<float>::infinity();   // tap (0, 0), filter 0, channel 0
  ExecutionOptions options;
  options.threads = 2, options.math = Math::exact;
  const std::vector<float> whole = run(problem, options, x, kernel, bias);
  ops::Problem one = problem;
  one.geometry.n = 1;
  const std::size_t in = x.size() / 50, out = whole.size() / 50;
  const std::vector<float> last = run(one, options, std::vector<float>(x.end() - static_cast<std::ptrdiff_t>(in), x.end()), kernel, bias);
  EXPECT_TRUE(std::equal(last.begin(), last.end(), whole.end() - static_cast<std::ptrdiff_t>(out)));
  for (std::size_t i = 0; i < out; ++i) {
    const std::size_t row = i / (8 * 20), column = i / 20 % 8;   // tap (0, 0) of pixel p writes output 2 p - 1
    ASSERT_EQ(std::isinf(last[i]), i % 20 == 0 && row % 2 == 1 && row < 7 && column % 2 == 1 && column < 7) << "row " << row << ", column " << column;
    ASSERT_FALSE(std::isnan(last[i]));
  }
}

TEST(Forward, TheGridHoldsWhatItPromises) {
  test::Random random(20262);
  int dilated = 0, first = 0, holes = 0, uneven = 0;
  const int cases = 1000;
  for (int i = 0; i < cases; ++i) {
    const ops::Geometry g = test::random_geometry(random);
    dilated += g.y.d > 1 || g.x.d > 1;
    first += g.data_format == DataFormat::channels_first;
    holes += g.y.k < g.y.s || g.x.k < g.x.s;
    uneven += g.y.k != g.x.k || g.y.s != g.x.s;
  }
  for (const int count : {dilated, first, holes, uneven}) EXPECT_GE(count, cases * 15 / 100);
}

TEST(Forward, SameBitsForThreadsBatchSplitAndAlignment) {
  test::Random random(3);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 40; ++i) {
    ops::Problem problem;
    problem.geometry = test::random_geometry(random);
    problem.geometry.n = 2, problem.geometry.ci = 64;
    ops::Geometry& g = problem.geometry;
    g.y = ops::make_axis(23, g.y.k, g.y.s, Padding::same, {}, g.y.d), g.x = ops::make_axis(21, g.x.k, g.x.s, Padding::same, {}, g.x.d);
    std::vector<float> x(static_cast<std::size_t>(g.input_elements())), kernel(static_cast<std::size_t>(g.kernel_elements())),
        bias(static_cast<std::size_t>(g.co));
    for (auto* values : {&x, &kernel, &bias})
      for (float& v : *values) v = normal(random);
    ExecutionOptions options;
    options.threads = 1;
    const std::vector<float> whole = run(problem, options, x, kernel, bias);
    options.threads = 4;
    EXPECT_EQ(run(problem, options, x, kernel, bias), whole) << test::describe(g);
    ops::Problem one = problem;
    one.geometry.n = 1;
    const std::size_t in = x.size() / 2, out = whole.size() / 2;
    std::vector<float> moved(in + 1);                 // one float off any alignment
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(in), in, moved.begin() + 1);
    const auto plan = ops::ForwardPlan::make(one, options);
    Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(plan->workspace_bytes()) / 4 + 16});
    std::vector<float> y(out + 1);
    plan->run(moved.data() + 1, *plan->pack(kernel.data()), bias.data(), y.data() + 1, workspace.bytes());
    EXPECT_TRUE(std::equal(y.begin() + 1, y.end(), whole.begin() + static_cast<std::ptrdiff_t>(out))) << test::describe(g);
  }
}

/// 21 MB, which go past the caches where y begins a cache line, and not where it does not.
TEST(Forward, SameBitsForOutputsPastTheCaches) {
  test::Random random(4);
  std::normal_distribution<float> normal;
  for (const kernels::Isa& isa : kernels::isas()) {
    ops::Problem problem;
    ops::Geometry& g = problem.geometry;
    g.n = 1, g.ci = 8, g.co = 64;
    g.y = ops::make_axis(150, 2, 2, Padding::valid, {}, 1), g.x = ops::make_axis(140, 2, 2, Padding::valid, {}, 1);
    std::vector<float> x(static_cast<std::size_t>(g.input_elements())), kernel(static_cast<std::size_t>(g.kernel_elements()));
    for (auto* values : {&x, &kernel})
      for (float& v : *values) v = normal(random);
    ExecutionOptions options;
    options.isa = isa.name, options.threads = 2, options.algorithm = "tile_gemm";
    const auto plan = ops::ForwardPlan::make(problem, options);
    const std::int64_t elements = g.y.o * g.x.o * g.co;
    Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(plan->workspace_bytes()) / 4 + 16}), y({elements}), moved({elements + 1});
    plan->run(x.data(), *plan->pack(kernel.data()), nullptr, y.bytes(), workspace.bytes());
    plan->run(x.data(), *plan->pack(kernel.data()), nullptr, moved.data<float>() + 1, workspace.bytes());
    EXPECT_TRUE(std::equal(y.data<float>(), y.data<float>() + elements, moved.data<float>() + 1)) << isa.name;
  }
}

TEST(Forward, ErrorWithinTheBoundOfExactMath) {
  test::Random random(11);
  std::uniform_real_distribution<float> positive(0, 1);        // same sign: the hardest case for a long chain
  ops::Problem problem;
  ops::Geometry& g = problem.geometry;
  g.n = 1, g.ci = 2048, g.co = 16, g.y = ops::make_axis(3, 3, 1, Padding::same, {}, 1), g.x = ops::make_axis(4, 3, 1, Padding::same, {}, 1);
  std::vector<float> x(static_cast<std::size_t>(g.input_elements())), kernel(static_cast<std::size_t>(g.kernel_elements())), bias(16);
  for (auto* values : {&x, &kernel, &bias})
    for (float& v : *values) v = positive(random);
  const std::vector<double> want = expected(g, test::doubles(x), test::doubles(kernel), test::doubles(bias), false);
  ExecutionOptions options;
  options.math = Math::exact;
  const std::vector<float> got = run(problem, options, x, kernel, bias);
  for (std::size_t i = 0; i < want.size(); ++i)                // all terms are positive: sum|x||w| is the result itself
    EXPECT_LE(std::abs(static_cast<double>(got[i]) - want[i]), 32 * 0x1p-24 * want[i]);
}

TEST(Forward, NonFiniteInputsReachExactlyTheirFootprint) {
  test::Random random(5);
  for (int i = 0; i < 100; ++i) {
    ops::Problem problem;
    problem.geometry = test::random_geometry(random);
    const ops::Geometry& g = problem.geometry;
    if (g.input_elements() == 0) continue;
    auto x = test::integers<float>(random, g.input_elements()), kernel = test::integers<float>(random, g.kernel_elements());
    for (float& v : kernel)
      if (v == 0) v = 1;
    const auto bias = test::integers<float>(random, g.co);
    x[static_cast<std::size_t>(test::draw(random, 0, g.input_elements() - 1))] = std::numeric_limits<float>::infinity();
    const std::vector<double> want = expected(g, test::doubles(x), test::doubles(kernel), test::doubles(bias), false);
    ExecutionOptions options;
    options.math = Math::exact;                                // fast mode: winograd_test.cc
    const std::vector<float> got = run(problem, options, x, kernel, bias);
    for (std::size_t k = 0; k < want.size(); ++k) ASSERT_EQ(static_cast<double>(got[k]), want[k]) << test::describe(g);
  }
}

TEST(Forward, EmptyInputsGiveEmptyOrBiasOnlyOutputs) {
  const std::vector<float> kernel(9 * 2 * 3, 1.0f), bias = {5, 7};
  const Tensor y = conv_transpose({static_cast<const float*>(nullptr), Shape{0, 4, 4, 3}}, {kernel.data(), Shape{3, 3, 2, 3}},
                                  {bias.data(), Shape{2}}, {});
  EXPECT_EQ(y.shape(), (Shape{0, 6, 6, 2}));
  const Tensor rows = conv_transpose({static_cast<const float*>(nullptr), Shape{1, 0, 4, 3}}, {kernel.data(), Shape{3, 3, 2, 3}},
                                     {bias.data(), Shape{2}}, {});
  ASSERT_EQ(rows.shape(), (Shape{1, 2, 6, 2}));
  for (std::int64_t i = 0; i < rows.elements(); ++i) EXPECT_EQ(rows.span<float>()[static_cast<std::size_t>(i)], i % 2 ? 7 : 5);
}

}  // namespace
}  // namespace upconv
