// SPDX-License-Identifier: Apache-2.0
// Conv2DTranspose against the golden set: configuration, output, gradients and losses as real Keras computed them. Cases
// marked exact hold in every bit; half types are judged by the float64 truth (y_true), not by a backend's rounding.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/golden.h"
#include "upconv/upconv.h"

namespace upconv {
namespace {

using test::golden_array_of;
using test::Json;

Shape shape_of(const Json& list) {
  const std::vector<std::int64_t> dims = list;
  return Shape(dims);
}

Conv2DTranspose make_layer(const Json& one) {
  Conv2DTranspose layer = Conv2DTranspose::from_config(test::to_config(one.at("config")));
  layer.build(shape_of(one.at("input_shape")));
  std::vector<Tensor> weights = {*golden_array_of(one, "kernel")};
  if (const Tensor* bias = golden_array_of(one, "bias")) weights.push_back(*bias);
  layer.set_weights(weights);
  return layer;
}

/// To be multiplied by max(1, largest expected magnitude). The half types get what one rounding can do, no more.
double tolerance_of(DType dtype) {
  switch (dtype) {
    case DType::float32: return 2e-6;
    case DType::float64: return 1e-13;
    case DType::float16: return 0x1p-11 + 2e-6;
    default: return 0x1p-8 + 2e-6;
  }
}

void expect_close(ConstTensorView actual, ConstTensorView expected, double tolerance, const char* what) {
  EXPECT_EQ(actual.shape, expected.shape) << what;
  EXPECT_LE(test::largest_difference(actual, expected), tolerance * std::max(1.0, test::largest_magnitude(expected))) << what;
}

/// Runs `check` on every layer case of the set, with its id in the failure message.
template <class F>
void for_each_case(F check) {
  int count = 0;
  for (const Json& one : test::golden_index().at("cases")) {
    SCOPED_TRACE(one.at("id").get<std::string>() + " " + one.at("config").dump());
    check(one);
    ++count;
  }
  EXPECT_EQ(count, 440);
}

TEST(GoldenLayer, ConfigurationIsWrittenAsItWasRead) {
  for_each_case([](const Json& one) {
    const Config config = test::to_config(one.at("config"));
    const Conv2DTranspose layer = Conv2DTranspose::from_config(config);
    EXPECT_TRUE(layer.get_config() == config);
    EXPECT_EQ(layer.get_config().json(), config.json());
  });
}

TEST(GoldenLayer, OutputShape) {
  for_each_case([](const Json& one) {
    const Conv2DTranspose layer = Conv2DTranspose::from_config(test::to_config(one.at("config")));
    const Shape shape = layer.compute_output_shape(shape_of(one.at("input_shape")));
    EXPECT_EQ(shape, shape_of(one.at("output_shape")));
    const bool glu = one.at("config").at("activation") == "glu";   // Keras says `filters` there, and returns half of them
    if (!glu) {
      EXPECT_EQ(shape, shape_of(one.at("compute_output_shape")));
    }
  });
}

class GoldenLayerOn : public testing::TestWithParam<std::string> {};

TEST_P(GoldenLayerOn, Output) {
  const CallOptions options{.execution = {.isa = GetParam()}};
  for_each_case([&](const Json& one) {
    const Conv2DTranspose layer = make_layer(one);
    const Tensor y = layer(*golden_array_of(one, "x"), options);
    EXPECT_EQ(name_of(y.dtype()), one.at("output_dtype").get<std::string>());
    const Tensor* truth = golden_array_of(one, "y_true");
    const Tensor& expected = truth ? *truth : *golden_array_of(one, "y");
    if (one.at("exact")) EXPECT_TRUE(test::same_bits(y, expected));
    else expect_close(y, expected, tolerance_of(layer.dtype_policy().compute_dtype), "y");
  });
}

/// sum(y * cotangent), and for the regularised cases the sum of the losses.
TEST_P(GoldenLayerOn, Gradients) {
  const CallOptions options{.execution = {.isa = GetParam()}};
  for_each_case([&](const Json& one) {
    if (!golden_array_of(one, "dx")) return;
    const Conv2DTranspose layer = make_layer(one);
    const auto [y, tape] = layer.forward(*golden_array_of(one, "x"), options);
    const Gradients g = layer.backward(*golden_array_of(one, "cotangent"), tape, options);
    const double tolerance = 2 * tolerance_of(layer.dtype_policy().compute_dtype);
    const bool exact = one.at("exact");
    const auto compare = [&](ConstTensorView actual, const char* name) {
      Tensor expected = *golden_array_of(one, name);
      if (const Tensor* more = golden_array_of(one, ("dlosses_" + std::string(name)).c_str()))
        for (std::size_t i = 0; i < expected.span<float>().size(); ++i) expected.data<float>()[i] += more->data<float>()[i];
      if (exact) EXPECT_TRUE(test::same_bits(actual, expected)) << name;
      else expect_close(actual, expected, tolerance, name);
    };
    std::vector<Tensor> weights = g.weights;
    for (std::size_t i = 0; i < weights.size(); ++i)
      if (const Variable& variable = layer.variables()[i]; variable.regularizer)
        variable.regularizer->add_gradient(variable.value, 1, weights[i]);
    compare(g.input(), "dx");
    compare(weights[0], "dkernel");
    if (layer.bias()) compare(weights[1], "dbias");
  });
}

INSTANTIATE_TEST_SUITE_P(Isa, GoldenLayerOn, testing::ValuesIn(available_isas()), [](const auto& isa) { return isa.param; });

TEST(GoldenLayer, Losses) {
  int regularised = 0;
  for_each_case([&](const Json& one) {
    const Tensor* expected = golden_array_of(one, "losses");
    if (!expected) return;
    ++regularised;
    const Conv2DTranspose layer = make_layer(one);
    EXPECT_EQ(layer.losses().size(), one.at("n_losses_before_call").get<std::size_t>());
    const std::vector<double> losses = layer.evaluate_losses(*golden_array_of(one, "x"));
    ASSERT_EQ(losses.size(), expected->span<float>().size());
    for (std::size_t i = 0; i < losses.size(); ++i) {
      const auto wanted = static_cast<double>(expected->span<float>()[i]);
      EXPECT_NEAR(losses[i], wanted, 2e-6 * std::max(1.0, std::abs(wanted)));
    }
  });
  EXPECT_EQ(regularised, 40);
}

}  // namespace
}  // namespace upconv
