// SPDX-License-Identifier: Apache-2.0
// Activations, constraints and initialisers against the golden set.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/golden.h"
#include "upconv/activation.h"
#include "upconv/constraint.h"
#include "upconv/initializer.h"

namespace upconv {
namespace {

using test::Json;

Activation make_activation(const std::string& name, const Json& args) {
  if (args.empty()) return Activation(name);
  const auto number = [&](const char* key, double missing) { return args.contains(key) ? args.at(key).get<double>() : missing; };
  const auto axes = [&] {
    return args.at("axis").is_array() ? args.at("axis").get<std::vector<int>>() : std::vector<int>{args.at("axis").get<int>()};
  };
  if (name == "relu")
    return activations::Relu{number("negative_slope", 0), number("max_value", std::numeric_limits<double>::infinity()), number("threshold", 0)};
  if (name == "leaky_relu") return activations::LeakyRelu{number("negative_slope", 0)};
  if (name == "elu") return activations::Elu{number("alpha", 0)};
  if (name == "celu") return activations::Celu{number("alpha", 0)};
  if (name == "gelu") return activations::Gelu{args.at("approximate").get<bool>()};
  if (name == "squareplus") return activations::Squareplus{number("b", 0)};
  if (name == "soft_shrink") return activations::SoftShrink{number("threshold", 0)};
  if (name == "hard_shrink") return activations::HardShrink{number("threshold", 0)};
  if (name == "threshold") return activations::Threshold{number("threshold", 0), number("default_value", 0)};
  if (name == "softmax") return activations::Softmax{axes()};
  if (name == "log_softmax") return activations::LogSoftmax{axes()};
  if (name == "glu") return activations::Glu{axes().front()};
  if (name == "sparsemax") return activations::Sparsemax{axes().front()};
  throw std::runtime_error("no object for " + name);
}

const Tensor& array_of(const Json& one, const char* name) { return test::golden_array("activations.npz", one.at("arrays").at(name)); }

double element(ConstTensorView view, std::int64_t i) {
  double value = 0;
  convert({static_cast<const char*>(view.bytes) + static_cast<std::size_t>(i) * size_of(view.dtype), {1}, view.dtype},
          TensorView(&value, {1}));
  return value;
}

/// Every element within `tolerance` x max(1, |expected|); NaN meets NaN and an infinity itself. In half types also x |x| where
/// Keras loses what x has: its squareplus is a difference there.
void expect_near(ConstTensorView actual, ConstTensorView expected, double tolerance, ConstTensorView x) {
  ASSERT_EQ(actual.shape, expected.shape);
  for (std::int64_t i = 0; i < actual.elements(); ++i) {
    const double a = element(actual, i), e = element(expected, i);
    if (a == 0 && e == 0 && element(x, i) == 0) {
      EXPECT_EQ(std::signbit(a), std::signbit(e)) << "sign of zero, element " << i;
    }
    if ((std::isnan(a) && std::isnan(e)) || a == e) continue;
    const double scale = size_of(x.dtype) == 2 ? std::min(std::abs(element(x, i)), 256.0) : 0;
    EXPECT_LE(std::abs(a - e), tolerance * std::max({1.0, std::abs(e), scale}))
        << "element " << i << ": " << a << " instead of " << e;
  }
}

TEST(GoldenActivations, Forward) {
  for (const Json& one : test::golden_index().at("activations").at("cases")) {
    SCOPED_TRACE(one.at("id").get<std::string>());
    const Activation f = make_activation(one.at("name"), one.at("args"));
    const Tensor& x = array_of(one, "x");
    expect_near(f(x), array_of(one, "y"), 1e-6, x);
    if (!one.at("arrays").contains("y_float16")) continue;
    for (const auto& [dtype, tolerance] : {std::pair{DType::float16, 2e-3}, std::pair{DType::bfloat16, 1.6e-2}}) {
      const std::string key = "y_" + std::string(name_of(dtype));
      SCOPED_TRACE(key);
      const Tensor rounded = x.cast(dtype);
      expect_near(f(rounded), array_of(one, key.c_str()), tolerance, rounded);
    }
  }
}

/// The first y.shape entries of `full` along every axis.
Tensor corner(const Tensor& full, const Shape& shape) {
  Tensor out(shape);
  std::vector<std::int64_t> at(shape.rank());
  for (std::int64_t i = 0; i < out.elements(); ++i) {
    std::int64_t rest = i, from = 0;
    for (std::size_t axis = shape.rank(); axis-- > 0; rest /= shape[axis]) at[axis] = rest % shape[axis];
    for (std::size_t axis = 0; axis < shape.rank(); ++axis) from = from * full.shape()[axis] + at[axis];
    out.data<float>()[i] = full.data<float>()[from];
  }
  return out;
}

/// At |x| = 1e20 Keras's derivative of the tanh form is inf * 0 = NaN; this library's is the limit, 0 or 1.
void drop_overflow(Tensor& dx, const Tensor& x, const Tensor& expected) {
  for (std::size_t i = 0; i < dx.span<float>().size(); ++i)
    if (std::abs(x.span<float>()[i]) == 1e20f && std::isnan(expected.span<float>()[i])) {
      EXPECT_EQ(dx.span<float>()[i], x.span<float>()[i] > 0 ? 1.0f : 0.0f);
      dx.span<float>()[i] = expected.span<float>()[i];
    }
}

TEST(GoldenActivations, Gradient) {
  for (const Json& one : test::golden_index().at("activations").at("cases")) {
    SCOPED_TRACE(one.at("id").get<std::string>());
    const Activation f = make_activation(one.at("name"), one.at("args"));
    const Tensor& x = array_of(one, "x");
    const Tensor y = f(x);
    Tensor dy(y.shape());
    if (one.at("kind") == "axiswise") dy = corner(test::golden_array("activations.npz", "c4"), y.shape());
    else std::fill(dy.span<float>().begin(), dy.span<float>().end(), 1.0f);
    Tensor dx = f.backward(x, y, dy);
    const Tensor& expected = array_of(one, "dx");
    if (one.at("id") == "gelu_approximate_True") drop_overflow(dx, x, expected);
    expect_near(dx, expected, 4e-6, x);
  }
}

TEST(GoldenConstraints, Project) {
  for (const Json& one : test::golden_index().at("constraints").at("cases")) {
    SCOPED_TRACE(one.at("id").get<std::string>());
    const Constraint constraint = Constraint::from_config(
        Config::dict({{"module", "keras.constraints"}, {"class_name", one.at("class").get<std::string>()}, {"config", test::to_config(one.at("config"))},
                      {"registered_name", nullptr}}));
    Tensor w = test::golden_array("constraints.npz", one.at("arrays").at("in"));
    constraint.project(w);
    EXPECT_LE(test::largest_difference(w, test::golden_array("constraints.npz", one.at("arrays").at("out"))), 1e-6);
  }
}

struct Statistics {
  double mean = 0, deviation = 0, least = 0, most = 0;
};

Statistics statistics(std::span<const float> values) {
  const auto count = static_cast<double>(values.size());
  Statistics s;
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  for (const float v : values) s.deviation += (static_cast<double>(v) - s.mean) * (static_cast<double>(v) - s.mean);
  s.deviation = std::sqrt(s.deviation / count);
  s.least = static_cast<double>(*std::min_element(values.begin(), values.end()));
  s.most = static_cast<double>(*std::max_element(values.begin(), values.end()));
  return s;
}

/// Draws until there are enough numbers: sample mean within 5 sigma, deviation within 5 % of theory, limits kept.
TEST(GoldenInitializers, FansLimitsAndDeviation) {
  for (const Json& one : test::golden_index().at("initializers").at("cases")) {
    SCOPED_TRACE(one.at("id").get<std::string>() + " " + one.at("class").get<std::string>() + one.at("args").dump());
    std::vector<std::int64_t> dims = one.at("shape");
    const Shape shape{std::span<const std::int64_t>(dims)};
    const auto [fan_in, fan_out] = compute_fans(shape);
    EXPECT_EQ(fan_in, one.at("fan_in").get<std::int64_t>());
    EXPECT_EQ(fan_out, one.at("fan_out").get<std::int64_t>());
    if (!one.contains("theory")) continue;
    const Json& theory = one.at("theory");
    std::vector<float> values;
    for (int seed = 1; values.size() < 20000; ++seed) {
      Config config = test::to_config(one.at("config"));
      config.set("seed", seed);
      const Initializer initializer = Initializer::from_config(
          Config::dict({{"module", "keras.initializers"}, {"class_name", one.at("class").get<std::string>()}, {"config", config}}));
      const Tensor drawn = initializer(shape);
      EXPECT_TRUE(test::same_bits(drawn, initializer(shape)));
      values.insert(values.end(), drawn.span<float>().begin(), drawn.span<float>().end());
    }
    const Statistics s = statistics(values);
    const double deviation = theory.at("std");
    const double mean = theory.at("mean");
    EXPECT_NEAR(s.deviation, deviation, 0.05 * deviation);
    EXPECT_NEAR(s.mean, mean, 5 * deviation / std::sqrt(static_cast<double>(values.size())));
    if (!theory.contains("min")) continue;
    const double margin = 1e-6 * deviation;
    EXPECT_GE(s.least, theory.at("min").get<double>() - margin);
    EXPECT_LE(s.most, theory.at("max").get<double>() + margin);
  }
}

}  // namespace
}  // namespace upconv
