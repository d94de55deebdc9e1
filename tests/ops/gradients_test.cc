// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kernels/isa.h"
#include "ops/bias_gradient.h"
#include "ops/conv_transpose.h"
#include "ops/input_gradient.h"
#include "ops/kernel_gradient.h"
#include "ops/reference.h"
#include "ops/winograd_gradients.h"
#include "support/grid.h"

namespace upconv {
namespace {

template <class T>
void exact_on_integers(int isa) {
  test::Random random(20261);
  const ops::Execution execution{default_executor(), 2, isa, Math::exact};
  for (int i = 0; i < 400; ++i) {
    ops::Geometry g = test::random_geometry(random);
    g.data_format = DataFormat::channels_last;
    const auto x = test::integers<T>(random, g.input_elements()), dy = test::integers<T>(random, g.output_elements());
    std::vector<double> expected(static_cast<std::size_t>(g.kernel_elements()));
    ops::reference::kernel_gradient(g, test::doubles(x).data(), test::doubles(dy).data(), expected.data());
    std::vector<T> actual(expected.size(), T(7));
    ops::kernel_gradient(g, dtype_of<T>, x.data(), dy.data(), actual.data(), execution);
    ASSERT_EQ(test::doubles(actual), expected) << test::describe(g);
    std::vector<double> expected_bias(static_cast<std::size_t>(g.co));
    ops::reference::bias_gradient(g, test::doubles(dy).data(), expected_bias.data());
    std::vector<T> bias(expected_bias.size(), T(7));
    ops::bias_gradient(g, dtype_of<T>, dy.data(), bias.data(), execution);
    ASSERT_EQ(test::doubles(bias), expected_bias) << test::describe(g);
  }
}

TEST(KernelGradient, ExactOnIntegersOnEveryTarget) {
  for (std::size_t isa = 0; isa < kernels::isas().size(); ++isa) {
    SCOPED_TRACE(kernels::isas()[isa].name);
    exact_on_integers<float>(static_cast<int>(isa));
    exact_on_integers<double>(static_cast<int>(isa));
  }
}

/// All three gradients through the entry the layer uses, in every dtype and data format.
template <class T>
void all_exact_on_integers(const std::string& isa) {
  test::Random random(20263);
  for (int i = 0; i < 200; ++i) {
    const ops::Geometry g = test::random_geometry(random);
    const bool first = g.data_format == DataFormat::channels_first;
    const auto x = test::integers<T>(random, g.input_elements()), dy = test::integers<T>(random, g.output_elements());
    const auto kernel = test::integers<T>(random, g.kernel_elements());
    const auto last = [&](const std::vector<T>& v, std::int64_t c) {
      return first ? test::transposed(test::doubles(v), g.n, c, static_cast<std::int64_t>(v.size()) / (g.n * c)) : test::doubles(v);
    };
    std::vector<double> dx(x.size()), dkernel(kernel.size()), dbias(static_cast<std::size_t>(g.co));
    ops::reference::input_gradient(g, last(dy, g.co).data(), test::doubles(kernel).data(), dx.data());
    ops::reference::kernel_gradient(g, last(x, g.ci).data(), last(dy, g.co).data(), dkernel.data());
    ops::reference::bias_gradient(g, last(dy, g.co).data(), dbias.data());
    if (first) dx = test::transposed(dx, g.n, g.y.n * g.x.n, g.ci);
    std::vector<T> got_x(x.size()), got_kernel(kernel.size()), got_bias(dbias.size());
    ExecutionOptions options;
    options.isa = isa, options.threads = i % 8 == 0 ? 2 : 1, options.math = Math::exact;
    ops::conv_transpose_gradients(g, dtype_of<T>, x.data(), kernel.data(), dy.data(),
                                  {got_x.data(), got_kernel.data(), got_bias.data()}, options);
    const auto rounded = [](const std::vector<double>& values) {
      std::vector<T> out;
      for (const double v : values) out.push_back(static_cast<T>(static_cast<float>(v)));
      return test::doubles(out);
    };
    ASSERT_EQ(test::doubles(got_x), rounded(dx)) << test::describe(g);
    ASSERT_EQ(test::doubles(got_kernel), rounded(dkernel)) << test::describe(g);
    ASSERT_EQ(test::doubles(got_bias), rounded(dbias)) << test::describe(g);
  }
}

TEST(Gradients, ExactOnIntegersForEveryTargetDtypeAndFormat) {
  for (const kernels::Isa& isa : kernels::isas()) {
    SCOPED_TRACE(isa.name);
    all_exact_on_integers<float>(isa.name);
    all_exact_on_integers<double>(isa.name);
    all_exact_on_integers<Half>(isa.name);
    all_exact_on_integers<BFloat16>(isa.name);
  }
}

template <class T>
std::vector<T> normal(test::Random& random, std::int64_t count) {
  std::normal_distribution<double> distribution;
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& v : values) v = static_cast<T>(distribution(random));
  return values;
}

std::vector<double> absolute(std::vector<double> values) {
  for (double& v : values) v = std::abs(v);
  return values;
}

struct Two {
  std::vector<float> dx, dkernel;
};

Two gradients(const ops::Geometry& g, const std::vector<float>& x, const std::vector<float>& kernel, const std::vector<float>& dy,
              const ExecutionOptions& options) {
  Two out{std::vector<float>(x.size()), std::vector<float>(kernel.size())};
  ops::conv_transpose_gradients(g, DType::float32, x.data(), kernel.data(), dy.data(), {out.dx.data(), out.dkernel.data(), nullptr}, options);
  return out;
}

TEST(Gradients, ExactModeIsWithin32UnitsOfTheSumOfMagnitudes) {
  test::Random random(20265);
  for (int i = 0; i < 20; ++i) {
    ops::Geometry g = test::random_geometry(random);
    g.data_format = DataFormat::channels_last;
    if (i % 2) g.n = 5, g.co = 300, g.y = ops::make_axis(24, 4, 2, Padding::same, {}, 1);   // long sums, of both gradients
    const auto x = normal<float>(random, g.input_elements()), kernel = normal<float>(random, g.kernel_elements()),
               dy = normal<float>(random, g.output_elements());
    const Two got = gradients(g, x, kernel, dy, {.math = Math::exact});
    std::vector<double> dx(x.size()), dx_sum(x.size()), dkernel(kernel.size()), dkernel_sum(kernel.size());
    ops::reference::input_gradient(g, test::doubles(dy).data(), test::doubles(kernel).data(), dx.data());
    ops::reference::input_gradient(g, absolute(test::doubles(dy)).data(), absolute(test::doubles(kernel)).data(), dx_sum.data());
    ops::reference::kernel_gradient(g, test::doubles(x).data(), test::doubles(dy).data(), dkernel.data());
    ops::reference::kernel_gradient(g, absolute(test::doubles(x)).data(), absolute(test::doubles(dy)).data(), dkernel_sum.data());
    for (std::size_t k = 0; k < dx.size(); ++k) ASSERT_NEAR(static_cast<double>(got.dx[k]), dx[k], 32 * 0x1p-24 * dx_sum[k]) << test::describe(g);
    for (std::size_t k = 0; k < dkernel.size(); ++k)
      ASSERT_NEAR(static_cast<double>(got.dkernel[k]), dkernel[k], 32 * 0x1p-24 * dkernel_sum[k]) << test::describe(g);
  }
}

/// <T(x), dy> = <x, T*(dy)> = <kernel, dkernel>, on integers without any tolerance.
TEST(Gradients, AreTheAdjointsOfTheForwardPass) {
  test::Random random(20266);
  const auto dot = [](const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  };
  for (int i = 0; i < 100; ++i) {
    ops::Problem problem;
    problem.geometry = test::random_geometry(random);
    problem.has_bias = false;
    const ops::Geometry& g = problem.geometry;
    const auto x = test::integers<float>(random, g.input_elements()), kernel = test::integers<float>(random, g.kernel_elements()),
               dy = test::integers<float>(random, g.output_elements());
    const ExecutionOptions options{.math = Math::exact};
    std::vector<float> y(dy.size());
    const auto plan = ops::ForwardPlan::make(problem, options);
    const Tensor workspace({static_cast<std::int64_t>(plan->workspace_bytes()) / 4 + 1});
    plan->run(x.data(), *plan->pack(kernel.data()), nullptr, y.data(), const_cast<void*>(workspace.bytes()));
    const Two got = gradients(g, x, kernel, dy, options);
    ASSERT_EQ(dot(y, dy), dot(x, got.dx)) << test::describe(g);
    ASSERT_EQ(dot(y, dy), dot(kernel, got.dkernel)) << test::describe(g);
  }
}

/// The slope of L = sum of y^2 / 2 along one coordinate: L is of second degree in it, so the central difference is exact but
/// for rounding.
TEST(Gradients, AgreeWithCentralDifferences) {
  test::Random random(20269);
  for (int i = 0; i < 30; ++i) {
    ops::Problem problem;
    problem.geometry = test::random_geometry(random);
    problem.dtype = DType::float64;
    const ops::Geometry& g = problem.geometry;
    std::vector<double> operands[3] = {normal<double>(random, g.input_elements()), normal<double>(random, g.kernel_elements()), normal<double>(random, g.co)};
    const auto plan = ops::ForwardPlan::make(problem, {});
    Tensor workspace({static_cast<std::int64_t>(plan->workspace_bytes()) / 4 + 1});
    std::vector<double> y(static_cast<std::size_t>(g.output_elements()));
    const auto loss = [&] {
      plan->run(operands[0].data(), *plan->pack(operands[1].data()), operands[2].data(), y.data(), workspace.bytes());
      double sum = 0;
      for (const double v : y) sum += v * v / 2;
      return sum;
    };
    const double size = loss();
    std::vector<double> gradient[3];
    for (int k = 0; k < 3; ++k) gradient[k].resize(operands[k].size());
    const std::vector<double> dy = y;
    ops::conv_transpose_gradients(g, DType::float64, operands[0].data(), operands[1].data(), dy.data(),
                                  {gradient[0].data(), gradient[1].data(), gradient[2].data()}, {});
    for (int k = 0; k < 3; ++k) {
      const auto at = static_cast<std::size_t>(test::draw(random, 0, static_cast<std::int64_t>(operands[k].size()) - 1));
      const double value = operands[k][at], step = 0.5;
      operands[k][at] = value + step;
      const double above = loss();
      operands[k][at] = value - step;
      const double below = loss();
      operands[k][at] = value;
      ASSERT_NEAR(gradient[k][at], (above - below) / (2 * step), 1e-12 * (size + above + below)) << k << ", " << test::describe(g);
    }
  }
}

/// A geometry to which winograd applies, with at most r taps of a block an axis.
ops::Geometry block_geometry(test::Random& random, std::int64_t ry, std::int64_t rx) {
  const std::int64_t sy = test::draw(random, 1, 3), sx = test::draw(random, 1, 3);
  const Padding padding = test::draw(random, 0, 1) ? Padding::same : Padding::valid;
  const auto output_padding = [&](std::int64_t s) { return test::draw(random, 0, 2) ? std::optional<std::int64_t>() : test::draw(random, 0, s - 1); };
  ops::Geometry g;
  g.n = test::draw(random, 1, 3), g.ci = test::draw(random, 16, 40), g.co = test::draw(random, 16, 40);
  const auto taps = [&](std::int64_t r, std::int64_t s) { return r == 1 ? s : r * s - test::draw(random, 0, s - 1); };   // r, some phases r - 1
  g.y = ops::make_axis(test::draw(random, 18, 30), taps(ry, sy), sy, padding, output_padding(sy), 1);
  g.x = ops::make_axis(test::draw(random, 18, 30), taps(rx, sx), sx, padding, output_padding(sx), 1);
  return g;
}

/// The bound of Math::fast, 32 u * (sum over channels of max * sum of magnitudes), with integers up to 4; four points are exact on
/// two taps, whose halves stay few.
TEST(Gradients, WinogradIsWithinItsBoundAndExactWithFourPoints) {
  test::Random random(20267);
  int inputs = 0, kernels = 0, exact = 0;
  for (std::size_t isa = 0; isa < kernels::isas().size(); ++isa)
    for (int i = 0; i < 90; ++i) {
      const std::int64_t ry = test::draw(random, 1, 3), rx = ry == 1 ? test::draw(random, 2, 3) : test::draw(random, 0, 2) ? ry : 1;
      const ops::Geometry g = block_geometry(random, ry, rx);
      const auto x = test::integers<float>(random, g.input_elements()), kernel = test::integers<float>(random, g.kernel_elements()),
                 dy = test::integers<float>(random, g.output_elements());
      const bool two_taps = ry == 2 && rx == 2;
      const ops::Execution one{default_executor(), 1, static_cast<int>(isa), Math::fast}, three{default_executor(), 3, static_cast<int>(isa), Math::fast};
      std::vector<double> want(x.size());
      std::vector<float> got(x.size(), 7), again(x.size());
      if (ops::winograd_input_gradient(g, DType::float32, dy.data(), kernel.data(), got.data(), one)) {
        const bool four_points = two_taps && ops::winograd_input_gradient_points(g, DType::float32, one.isa) == 4;
        ++inputs, exact += four_points;
        ops::reference::input_gradient(g, test::doubles(dy).data(), test::doubles(kernel).data(), want.data());
        const double bound = four_points ? 0 : 32 * 0x1p-24 * 16 * static_cast<double>(g.co * g.y.k * g.x.k) / 2;
        for (std::size_t k = 0; k < want.size(); ++k) ASSERT_NEAR(static_cast<double>(got[k]), want[k], bound) << test::describe(g);
        ASSERT_TRUE(ops::winograd_input_gradient(g, DType::float32, dy.data(), kernel.data(), again.data(), three));
        ASSERT_EQ(got, again) << test::describe(g);
      }
      want.assign(kernel.size(), 0), got.assign(kernel.size(), 7), again.assign(kernel.size(), 7);
      if (ops::winograd_kernel_gradient(g, DType::float32, x.data(), dy.data(), got.data(), one)) {
        const bool four_points = two_taps && ops::winograd_kernel_gradient_points(g, DType::float32, one.isa) == 4;
        ++kernels, exact += four_points;
        ops::reference::kernel_gradient(g, test::doubles(x).data(), test::doubles(dy).data(), want.data());
        const double bound = four_points ? 0 : 32 * 0x1p-24 * 16 * static_cast<double>(g.n * g.y.n * g.x.n) / 2;
        for (std::size_t k = 0; k < want.size(); ++k) ASSERT_NEAR(static_cast<double>(got[k]), want[k], bound) << test::describe(g);
        ASSERT_TRUE(ops::winograd_kernel_gradient(g, DType::float32, x.data(), dy.data(), again.data(), three));
        ASSERT_EQ(got, again) << test::describe(g);
      }
    }
  EXPECT_GE(inputs, 100);
  EXPECT_GE(kernels, 100);
  EXPECT_GE(exact, 10);
}

/// dX of a sample does not depend on the samples beside it: whether winograd serves it is decided by one.
TEST(Gradients, TheInputGradientOfASampleStandsAlone) {
  test::Random random(99);
  for (int i = 0; i < 40; ++i) {
    ops::Geometry g = block_geometry(random, test::draw(random, 1, 3), test::draw(random, 2, 3));
    g.n = 6;
    const auto kernel = test::integers<float>(random, g.kernel_elements()), dy = test::integers<float>(random, g.output_elements());
    std::vector<float> whole(static_cast<std::size_t>(g.input_elements())), alone(whole.size());
    const auto gradient = [&](const ops::Geometry& of, std::int64_t sample, std::vector<float>& to) {
      ops::conv_transpose_gradients(of, DType::float32, nullptr, kernel.data(), dy.data() + sample * (g.output_elements() / g.n),
                                    {.input = to.data() + sample * (g.input_elements() / g.n)}, {.threads = 2});
    };
    gradient(g, 0, whole);
    ops::Geometry one = g;
    one.n = 1;
    for (std::int64_t sample = 0; sample < g.n; ++sample) gradient(one, sample, alone);
    ASSERT_EQ(whole, alone) << test::describe(g);
  }
}

/// What is not finite is computed exactly instead.
TEST(Gradients, FastModeKeepsNonFiniteValuesInTheirFootprint) {
  test::Random random(20268);
  ops::Geometry g;
  g.n = 1, g.ci = 24, g.co = 16;
  g.y = ops::make_axis(18, 4, 2, Padding::same, {}, 1), g.x = ops::make_axis(20, 4, 2, Padding::same, {}, 1);
  const auto x = test::integers<float>(random, g.input_elements()), kernel = test::integers<float>(random, g.kernel_elements());
  auto dy = test::integers<float>(random, g.output_elements());
  std::vector<float> out(kernel.size());
  const ops::Execution execution{default_executor(), 1, 0, Math::fast};
  ASSERT_TRUE(ops::winograd_kernel_gradient(g, DType::float32, x.data(), dy.data(), out.data(), execution));
  dy[static_cast<std::size_t>(test::draw(random, 0, g.output_elements() - 1))] = std::numeric_limits<float>::infinity();
  ASSERT_FALSE(ops::winograd_kernel_gradient(g, DType::float32, x.data(), dy.data(), out.data(), execution));
  const Two fast = gradients(g, x, kernel, dy, {.math = Math::fast}), exact = gradients(g, x, kernel, dy, {.math = Math::exact});
  const auto same = [](const std::vector<float>& a, const std::vector<float>& b) {
    for (std::size_t i = 0; i < a.size(); ++i)
      if (a[i] != b[i] && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
    return true;
  };
  EXPECT_TRUE(same(fast.dx, exact.dx));
  EXPECT_TRUE(same(fast.dkernel, exact.dkernel));
}

TEST(Gradients, OfAnEmptyBatchAreZero) {
  ops::Geometry g;
  g.n = 0, g.ci = 20, g.co = 16;
  g.y = ops::make_axis(12, 4, 2, Padding::same, {}, 1), g.x = ops::make_axis(12, 4, 2, Padding::same, {}, 1);
  const std::vector<float> kernel(static_cast<std::size_t>(g.kernel_elements()), 1.0f);
  for (const Math math : {Math::fast, Math::exact}) {
    std::vector<float> dkernel(kernel.size(), 7.0f), dbias(16, 7.0f);
    ExecutionOptions options;
    options.math = math;
    ops::conv_transpose_gradients(g, DType::float32, nullptr, kernel.data(), nullptr, {nullptr, dkernel.data(), dbias.data()}, options);
    EXPECT_EQ(dkernel, std::vector<float>(kernel.size(), 0.0f));
    EXPECT_EQ(dbias, std::vector<float>(16, 0.0f));
  }
}

TEST(Gradients, SameBitsForAnyThreads) {
  test::Random random(7);
  ops::Geometry g;
  g.n = 3, g.ci = 33, g.co = 17;
  for (const std::int64_t k : {4, 5}) {                       // fast: winograd, and not
    g.y = ops::make_axis(37, 4, 2, Padding::same, {}, 1), g.x = ops::make_axis(41, k, 2, Padding::same, {}, 1);
    const auto x = normal<float>(random, g.input_elements()), dy = normal<float>(random, g.output_elements()),
               kernel = normal<float>(random, g.kernel_elements());
    for (const Math math : {Math::fast, Math::exact}) {
      const Two one = gradients(g, x, kernel, dy, {.threads = 1, .math = math});
      for (const int threads : {2, 3, 8}) {
        const Two many = gradients(g, x, kernel, dy, {.threads = threads, .math = math});
        EXPECT_EQ(one.dx, many.dx) << threads;
        EXPECT_EQ(one.dkernel, many.dkernel) << threads;
      }
    }
  }
}

}  // namespace
}  // namespace upconv
