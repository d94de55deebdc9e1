// SPDX-License-Identifier: Apache-2.0
#include "ops/kernel_gradient.h"

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "ops/reference.h"
#include "support/grid.h"

namespace upconv {
namespace {

template <class T>
void exact_on_integers(int isa) {
  test::Random random(20261);
  const ops::Execution execution{default_executor(), 2, isa, Math::exact};
  for (int i = 0; i < 400; ++i) {
    const ops::Geometry g = test::random_geometry(random);
    const auto x = test::integers<T>(random, g.input_elements()), dy = test::integers<T>(random, g.output_elements());
    std::vector<double> expected(static_cast<std::size_t>(g.kernel_elements())), actual(expected.size(), 7.0);
    ops::reference::kernel_gradient(g, test::doubles(x).data(), test::doubles(dy).data(), expected.data());
    ops::kernel_gradient(g, x.data(), dy.data(), actual.data(), execution);
    ASSERT_EQ(actual, expected) << test::describe(g);
    std::vector<double> expected_bias(static_cast<std::size_t>(g.co)), bias(expected_bias.size(), 7.0);
    ops::reference::bias_gradient(g, test::doubles(dy).data(), expected_bias.data());
    ops::bias_gradient(g, dy.data(), bias.data(), execution);
    ASSERT_EQ(bias, expected_bias) << test::describe(g);
  }
}

TEST(KernelGradient, ExactOnIntegersOnEveryTarget) {
  for (std::size_t isa = 0; isa < kernels::isas().size(); ++isa) {
    SCOPED_TRACE(kernels::isas()[isa].name);
    exact_on_integers<float>(static_cast<int>(isa));
    exact_on_integers<double>(static_cast<int>(isa));
  }
}

TEST(KernelGradient, SameBitsForAnyThreads) {
  test::Random random(7);
  ops::Geometry g;
  g.n = 3, g.ci = 33, g.co = 17;
  g.y = ops::make_axis(37, 4, 2, Padding::same, {}, 1), g.x = ops::make_axis(41, 5, 2, Padding::same, {}, 1);
  std::vector<float> x(static_cast<std::size_t>(g.input_elements())), dy(static_cast<std::size_t>(g.output_elements()));
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  for (float& v : dy) v = normal(random);
  std::vector<double> one(static_cast<std::size_t>(g.kernel_elements())), many(one.size());
  ops::kernel_gradient(g, x.data(), dy.data(), one.data(), {default_executor(), 1, 0, Math::exact});
  for (const int threads : {2, 3, 8}) {
    ops::kernel_gradient(g, x.data(), dy.data(), many.data(), {default_executor(), threads, 0, Math::exact});
    EXPECT_EQ(one, many) << threads;
  }
}

}  // namespace
}  // namespace upconv
