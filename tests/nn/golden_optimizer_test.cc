// SPDX-License-Identifier: Apache-2.0
// Six steps of every optimiser beside real Keras, and the schedules over 26 steps.
#include <gtest/gtest.h>

#include <set>

#include "base/element.h"
#include "support/golden.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"
#include "upconv/optimizer.h"

namespace upconv {
namespace {

using test::Json;

/// What Keras writes for a case, with schedules as their own dictionaries.
Config identifier_of(const Json& c) {
  Config config = test::to_config(c.at("config"));
  return Config::dict({{"class_name", c.at("class").get<std::string>()}, {"config", std::move(config)}});
}

Tensor step_of(const Tensor& all, std::int64_t step) {
  Shape shape;
  for (std::size_t i = 1; i < all.shape().rank(); ++i) shape.push_back(all.shape()[i]);
  Tensor one(shape, all.dtype());
  for (std::int64_t i = 0; i < one.elements(); ++i) base::write_element(one, i, base::read_element(all, step * one.elements() + i));
  return one;
}

double tolerance(DType dtype) { return dtype == DType::float16 ? 2e-3 : dtype == DType::bfloat16 ? 1.6e-2 : 2e-6; }

void follows_keras(const Json& group, const Json& c) {
  const std::string file = group.at("file").get<std::string>();
  const auto array = [&](const std::string& key) -> const Tensor& { return test::golden_array(file, key); };
  Conv2DTransposeOptions o;
  o.dtype = c.at("variable_dtype").get<std::string>();
  if (!c.at("kernel_constraint").is_null()) {
    const Json& constraint = c.at("kernel_constraint");
    o.kernel_constraint = Constraint::from_config(Config::dict({{"class_name", constraint.begin().key()}, {"config", test::to_config(constraint.begin().value())}}));
  }
  Conv2DTranspose layer(3, 2, o);
  layer.build({Shape::unknown, 4, 4, 2});
  layer.set_weights(std::vector{array("kernel0"), array("bias0")});
  Optimizer optimizer = Optimizer::from_config(identifier_of(c));
  const Tensor &kernels = array(c.at("arrays").at("kernel").get<std::string>()), &biases = array(c.at("arrays").at("bias").get<std::string>());
  for (std::int64_t step = 0; step < kernels.shape()[0]; ++step) {
    const Tensor dkernel = step_of(array("grad_kernel"), step), dbias = step_of(array("grad_bias"), step);
    EXPECT_NEAR(optimizer.learning_rate(), c.at("learning_rate_before_step").at(static_cast<std::size_t>(step)).get<double>(), 1e-7);
    optimizer.apply(layer, std::vector{dkernel, dbias});
    EXPECT_LE(test::largest_difference(layer.variables()[0].value, step_of(kernels, step)), tolerance(kernels.dtype())) << "step " << step;
    EXPECT_LE(test::largest_difference(layer.variables()[1].value, step_of(biases, step)), tolerance(kernels.dtype())) << "step " << step;
  }
  if (!c.at("arrays").contains("kernel_final")) return;
  optimizer.finalize(layer);
  EXPECT_LE(test::largest_difference(layer.variables()[0].value, array(c.at("arrays").at("kernel_final").get<std::string>())), 2e-6);
}

TEST(GoldenOptimizers, FollowKerasStepByStep) {
  const Json& group = test::golden_index().at("optimizers");
  const std::set<std::string> refused = {"Muon", "ScheduleFreeAdamW"};
  int followed = 0;
  for (const Json& c : group.at("cases")) {
    SCOPED_TRACE(c.at("id").get<std::string>() + " " + c.at("class").get<std::string>() + " " + c.at("args").dump());
    if (refused.count(c.at("class").get<std::string>())) {
      EXPECT_THROW(Optimizer::from_config(identifier_of(c)), ArgumentError);
      continue;
    }
    // Named apart: a wrapper with a state of its own, and an exclusion that no configuration holds.
    if (c.at("class") == "LossScaleOptimizer" || !c.at("exclude_from_weight_decay").is_null()) continue;
    follows_keras(group, c);
    ++followed;
  }
  EXPECT_GE(followed, 60);
}

TEST(GoldenSchedules, AsKerasEvaluatesThem) {
  const Json& group = test::golden_index().at("schedules");
  const std::string file = group.at("file").get<std::string>();
  for (const Json& c : group.at("cases")) {
    SCOPED_TRACE(c.at("id").get<std::string>() + " " + c.at("class").get<std::string>());
    const LearningRate rate = LearningRate::from_config(
        Config::dict({{"class_name", c.at("class").get<std::string>()}, {"config", test::to_config(c.at("config"))}}));
    const Tensor& expected = test::golden_array(file, c.at("arrays").at("lr").get<std::string>());
    for (std::int64_t step = 0; step < expected.elements(); ++step)
      EXPECT_NEAR(rate.at(step), base::read_element(expected, step), 1e-8) << "step " << step;
  }
}

TEST(Optimizer, TellsWhatIsWrongAndChangesNothing) {
  Conv2DTranspose layer(2, 2);
  layer.build({1, 2, 2, 1});
  Optimizer sgd{optimizers::SGD{}};
  const Tensor before = layer.kernel();
  EXPECT_THROW(sgd.apply(layer, std::vector{Tensor(), Tensor()}), ArgumentError);
  EXPECT_THROW(sgd.apply(layer, std::vector{Tensor({1}), Tensor({2})}), ArgumentError);
  EXPECT_TRUE(test::same_bits(before, layer.kernel()));
  EXPECT_EQ(sgd.iterations(), 0);
  EXPECT_THROW(Optimizer(optimizers::SGD{}, {.clipnorm = 1.0, .clipvalue = 1.0}), ArgumentError);
  EXPECT_THROW(Optimizer(optimizers::SGD{.momentum = 2}), ArgumentError);
  EXPECT_THROW(Optimizer(optimizers::SGD{}, {.gradient_accumulation_steps = 1}), ArgumentError);
}

TEST(Optimizer, ExcludedVariablesAreNotDecayed) {
  Conv2DTranspose layer(2, 2, {.kernel_initializer = "ones", .bias_initializer = "ones"});
  layer.build({1, 2, 2, 1});
  Optimizer sgd{optimizers::SGD{.learning_rate = 0.1}, {.weight_decay = 0.5, .exclude_from_weight_decay = {"bias"}}};
  sgd.apply(layer, std::vector{Tensor({2, 2, 2, 1}), Tensor({2})});
  EXPECT_FLOAT_EQ(layer.kernel().span<float>()[0], 0.95f);
  EXPECT_EQ(layer.bias()->span<float>()[0], 1.0f);
}

}  // namespace
}  // namespace upconv
