// SPDX-License-Identifier: Apache-2.0
#include "ops/kernel_gradient.h"

#include <gtest/gtest.h>

#include "kernels/isa.h"
#include "ops/conv_transpose.h"
#include "ops/reference.h"
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
    options.isa = isa, options.threads = i % 8 == 0 ? 2 : 1;
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

TEST(KernelGradient, SameBitsForAnyThreads) {
  test::Random random(7);
  ops::Geometry g;
  g.n = 3, g.ci = 33, g.co = 17;
  g.y = ops::make_axis(37, 4, 2, Padding::same, {}, 1), g.x = ops::make_axis(41, 5, 2, Padding::same, {}, 1);
  std::vector<float> x(static_cast<std::size_t>(g.input_elements())), dy(static_cast<std::size_t>(g.output_elements()));
  std::normal_distribution<float> normal;
  for (float& v : x) v = normal(random);
  for (float& v : dy) v = normal(random);
  std::vector<float> one(static_cast<std::size_t>(g.kernel_elements())), many(one.size());
  ops::kernel_gradient(g, DType::float32, x.data(), dy.data(), one.data(), {default_executor(), 1, 0, Math::exact});
  for (const int threads : {2, 3, 8}) {
    ops::kernel_gradient(g, DType::float32, x.data(), dy.data(), many.data(), {default_executor(), threads, 0, Math::exact});
    EXPECT_EQ(one, many) << threads;
  }
}

}  // namespace
}  // namespace upconv
