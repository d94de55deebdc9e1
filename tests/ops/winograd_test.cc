// SPDX-License-Identifier: Apache-2.0
// Winograd against the executable specification: its bound in every format, dtype and mix of taps, exact on integers where no
// axis has more than four points, and NaN and Inf in their footprint.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/isa.h"
#include "ops/winograd_variant.h"
#include "support/forward.h"

namespace upconv {
namespace {

using test::draw, test::expected, test::run;

constexpr kernels::ActivationSpec kRelu{kernels::Activation::relu, 0, std::numeric_limits<double>::infinity(), 0};

/// Taps of one to four a phase, phases with one tap less than others, both formats; an eighth is one-dimensional.
ops::Problem random_problem(test::Random& random) {
  ops::Problem problem;
  ops::Geometry& g = problem.geometry;
  const auto axis = [&](Padding padding) {
    const std::int64_t s = draw(random, 1, 3), k = draw(random, s, s == 1 ? 5 : 3 * s);
    return ops::make_axis(draw(random, 1, 14), k, s, padding, {}, 1);
  };
  const Padding padding = draw(random, 0, 1) ? Padding::same : Padding::valid;
  g.n = draw(random, 1, 2), g.ci = draw(random, 16, 40), g.co = draw(random, 8, 40);
  g.y = draw(random, 0, 7) ? axis(padding) : ops::make_axis(1, 1, 1, padding, {}, 1), g.x = axis(padding);
  g.data_format = draw(random, 0, 2) ? DataFormat::channels_last : DataFormat::channels_first;
  if (draw(random, 0, 1)) problem.activation = kRelu;
  return problem;
}

bool applies(const ops::Problem& problem) {
  const std::vector<std::string> possible = ops::applicable_algorithms(problem, Math::fast);
  return std::find(possible.begin(), possible.end(), "winograd") != possible.end();
}

/// No point but 0, 1, -1 and infinity.
bool four_points(const ops::Problem& problem, int isa) {
  const std::vector<ops::WinogradWindow> windows = ops::choose_winograd(problem, isa).windows;
  return std::all_of(windows.begin(), windows.end(),
                     [](const ops::WinogradWindow& w) { return w.along_y.points <= 4 && w.along_x.points <= 4; });
}

ExecutionOptions winograd_on(const std::string& isa, int threads) {
  ExecutionOptions options;
  options.isa = isa, options.algorithm = "winograd", options.threads = threads;
  return options;
}

/// Of every output, |bias| + sum over channels of max|x| * sum of |w| over the taps of its phase. The maximum is that of the whole
/// image, which is hardly larger than a window here.
std::vector<double> magnitudes(const ops::Geometry& g, const std::vector<double>& x, const std::vector<double>& kernel,
                               const std::vector<double>& bias) {
  const bool first = g.data_format == DataFormat::channels_first;
  const auto ci = static_cast<std::size_t>(g.ci), pixels = static_cast<std::size_t>(g.y.n * g.x.n);
  std::vector<double> most(ci), sums(static_cast<std::size_t>(g.y.s * g.x.s * g.co)), all;
  for (std::size_t i = 0; i < x.size(); ++i) {
    double& m = most[first ? i / pixels % ci : i % ci];
    m = std::max(m, std::abs(x[i]));
  }
  for (std::size_t i = 0; i < kernel.size(); ++i) {
    const auto f = static_cast<std::int64_t>(i / ci) % g.co, tap = static_cast<std::int64_t>(i / ci) / g.co;
    const std::int64_t phase = tap / g.x.k % g.y.s * g.x.s + tap % g.x.k % g.x.s;
    sums[static_cast<std::size_t>(phase * g.co + f)] += most[i % ci] * std::abs(kernel[i]);
  }
  for (std::int64_t n = 0; n < g.n; ++n)
    for (std::int64_t y = 0; y < g.y.o; ++y)
      for (std::int64_t c = 0; c < g.x.o; ++c)
        for (std::int64_t f = 0; f < g.co; ++f) {
          const std::int64_t phase = (y + g.y.crop) % g.y.s * g.x.s + (c + g.x.crop) % g.x.s;
          all.push_back(std::abs(bias[static_cast<std::size_t>(f)]) + sums[static_cast<std::size_t>(phase * g.co + f)]);
        }
  return first ? test::transposed(all, g.n, g.y.o * g.x.o, g.co) : all;
}

/// Half the distance from a value of the storage type to the next.
template <class T>
double half_ulp(double value) {
  const double relative = std::is_same_v<T, float> ? 0x1p-24 : std::is_same_v<T, Half> ? 0x1p-11 : 0x1p-8;
  return relative * std::abs(value);
}

template <class T>
void within_bound(const kernels::Isa& isa, int isa_index, int cases, int& tested, int& exact) {
  test::Random random(77);
  for (int i = 0; i < cases; ++i) {
    ops::Problem problem = random_problem(random);
    problem.dtype = dtype_of<T>;
    ops::Geometry& g = problem.geometry;
    if (!applies(problem)) continue;
    ++tested;
    const auto x = test::integers<T>(random, g.input_elements()), kernel = test::integers<T>(random, g.kernel_elements());
    const auto bias = test::integers<T>(random, g.co);
    const auto xs = test::doubles(x), kernels = test::doubles(kernel), biases = test::doubles(bias);
    const std::vector<double> want = expected(g, xs, kernels, biases, problem.activation.function == kernels::Activation::relu);
    const std::vector<double> bounds = magnitudes(g, xs, kernels, biases);
    const std::vector<T> got = run(problem, winograd_on(isa.name, 1 + i % 3), x, kernel, bias, i % 4 == 0);
    const bool integers = four_points(problem, isa_index);
    exact += integers;
    for (std::size_t k = 0; k < want.size(); ++k) {
      const double bound = integers ? 0 : 16 * 0x1p-24 * bounds[k];
      ASSERT_NEAR(static_cast<double>(static_cast<float>(got[k])), want[k], bound + (std::is_same_v<T, float> ? 0 : half_ulp<T>(want[k]) + bound))
          << isa.name << " element " << k << ", " << test::describe(g);
    }
    problem.geometry.n = 1;                                    // the same bits, whatever the batch and threads
    const std::vector<T> one = run(problem, winograd_on(isa.name, 1), x, kernel, bias);
    EXPECT_EQ(std::memcmp(one.data(), got.data(), one.size() * sizeof(T)), 0) << test::describe(g);
  }
}

TEST(Winograd, WithinHalfItsBoundAndExactWithFourPoints) {
  int tested = 0, exact = 0, index = 0;
  for (const kernels::Isa& isa : kernels::isas()) {
    within_bound<float>(isa, index, 150, tested, exact);
    within_bound<Half>(isa, index, 40, tested, exact);
    within_bound<BFloat16>(isa, index, 40, tested, exact);
    ++index;
  }
  EXPECT_GE(tested, 150 * index);
  EXPECT_GE(exact, 10 * index);
}

/// The most that the magnitudes of a product on its way through all points exceed it, along an axis: the largest sum over points of
/// |A^T| |G| |B^T| (tools/winograd_transforms.py has the matrices).
double amplification(int points) {
  static constexpr double kOfPoints[] = {0, 1, 0, 2, 2, 3.56, 5.61};
  return kOfPoints[points];
}

/// Values of very different magnitudes: where one product outweighs all others together, its tile has eight roundings of it, amplified.
TEST(Winograd, WithinWhatIsAmplifiedOnHeavyTails) {
  test::Random random(79);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 40; ++i) {
    ops::Problem problem = random_problem(random);
    ops::Geometry& g = problem.geometry;
    problem.activation = {};
    g.n = 1, g.y.n = std::min<std::int64_t>(g.y.n, 6), g.x.n = std::min<std::int64_t>(g.x.n, 6), g.ci = 64;
    g.y = ops::make_axis(g.y.n, g.y.k, g.y.s, Padding::valid, {}, 1), g.x = ops::make_axis(g.x.n, g.x.k, g.x.s, Padding::valid, {}, 1);
    if (!applies(problem)) continue;
    std::vector<float> x(static_cast<std::size_t>(g.input_elements())), kernel(static_cast<std::size_t>(g.kernel_elements())), bias(static_cast<std::size_t>(g.co));
    for (float& v : x) v = normal(random) * std::exp(3 * normal(random));
    for (float& v : kernel) v = normal(random) * std::exp(normal(random));
    const auto xs = test::doubles(x), kernels = test::doubles(kernel), biases = test::doubles(bias);
    const std::vector<double> want = expected(g, xs, kernels, biases, false), bounds = magnitudes(g, xs, kernels, biases);
    const std::vector<float> got = run(problem, winograd_on("", 1), x, kernel, bias);
    double most = 0;
    for (const ops::WinogradWindow& w : ops::choose_winograd(problem, kernels::default_isa_index()).windows)
      most = std::max(most, amplification(w.along_y.points) * amplification(w.along_x.points));
    for (std::size_t k = 0; k < want.size(); ++k)
      ASSERT_NEAR(static_cast<double>(got[k]), want[k], 8 * most * 0x1p-24 * bounds[k]) << "element " << k << ", " << test::describe(g);
  }
}

TEST(Winograd, KeepsNonFiniteInputsInTheirFootprint) {
  test::Random random(78);
  int tested = 0;
  for (int i = 0; i < 60; ++i) {
    ops::Problem problem = random_problem(random);
    const ops::Geometry& g = problem.geometry;
    if (!applies(problem)) continue;
    ++tested;
    auto x = test::integers<float>(random, g.input_elements()), kernel = test::integers<float>(random, g.kernel_elements());
    for (float& v : kernel)
      if (v == 0) v = 1;
    const auto bias = test::integers<float>(random, g.co);
    const bool nan = i % 2;
    x[static_cast<std::size_t>(draw(random, 0, g.input_elements() - 1))] =
        nan ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
    const std::vector<double> want = expected(g, test::doubles(x), test::doubles(kernel), test::doubles(bias), problem.activation.function == kernels::Activation::relu);
    const std::vector<float> got = run(problem, winograd_on("", 1), x, kernel, bias);
    for (std::size_t k = 0; k < want.size(); ++k) {
      if (std::isnan(want[k])) ASSERT_TRUE(std::isnan(got[k])) << k << test::describe(g);
      else if (std::isinf(want[k])) ASSERT_EQ(static_cast<double>(got[k]), want[k]) << k << test::describe(g);
      else ASSERT_NEAR(static_cast<double>(got[k]), want[k], 1e-3) << k << test::describe(g);
    }
  }
  EXPECT_GE(tested, 30);
}

/// An array that begins at an odd place gives the bits of one that does not; so does every activation through its own pass.
TEST(Winograd, SameBitsAtAnyAlignment) {
  test::Random random(80);
  std::normal_distribution<float> normal;
  for (int i = 0; i < 10; ++i) {
    ops::Problem problem = random_problem(random);
    problem.activation = {kernels::Activation::tanh, 0, 0, 0};
    const ops::Geometry& g = problem.geometry;
    if (!applies(problem)) continue;
    std::vector<float> x(static_cast<std::size_t>(g.input_elements()) + 1), kernel(static_cast<std::size_t>(g.kernel_elements())), bias(static_cast<std::size_t>(g.co));
    for (auto* values : {&x, &kernel, &bias})
      for (float& v : *values) v = normal(random);
    const std::vector<float> want = run(problem, winograd_on("", 2), {x.begin() + 1, x.end()}, kernel, bias);
    const auto plan = ops::ForwardPlan::make(problem, winograd_on("", 1));
    Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(plan->workspace_bytes()) / 4 + 16});
    std::vector<float> y(want.size() + 1);
    plan->run(x.data() + 1, *plan->pack(kernel.data()), bias.data(), y.data() + 1, workspace.bytes());
    EXPECT_TRUE(std::equal(y.begin() + 1, y.end(), want.begin())) << test::describe(g);
  }
}

}  // namespace
}  // namespace upconv
