// SPDX-License-Identifier: Apache-2.0
// Six steps of every optimiser beside real Keras, and the schedules over 26 steps.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>

#include "base/element.h"
#include "support/error_text.h"
#include "support/golden.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"
#include "upconv/optimizer.h"
#include "upconv/runtime.h"

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

/// The variables after the last step: number, order, names (Keras numbers what it names by default: sgd_12, variable_1) and
/// values, whose tolerance grows with them (Ftrl's linear term reaches thousands).
void holds_kerass_state(const Json& group, const Json& c, const Optimizer& optimizer) {
  const std::string file = group.at("file").get<std::string>();
  const std::vector<OptimizerVariable> state = optimizer.variables();
  const Json& expected = c.at("variables_after_last_step");
  ASSERT_EQ(state.size(), expected.size());
  for (std::size_t i = 0; i < state.size(); ++i) {
    const std::string path = expected[i].at("path").get<std::string>();
    SCOPED_TRACE(path);
    EXPECT_EQ(state[i].path.substr(state[i].path.find('/') + 1), path.rfind("variable", 0) == 0 ? "variable" : path.substr(path.find('/') + 1));
    const Tensor& value = test::golden_array(file, expected[i].at("key").get<std::string>());
    if (const auto* integer = std::get_if<std::int64_t>(&state[i].value)) {
      EXPECT_EQ(static_cast<double>(*integer), base::read_element(value, 0));
    } else {
      const Tensor& tensor = std::get<Tensor>(state[i].value);
      ASSERT_EQ(tensor.shape().rank(), expected[i].at("shape").size());
      ASSERT_EQ(tensor.elements(), value.elements());
      double largest = 1;
      for (std::int64_t k = 0; k < value.elements(); ++k) largest = std::max(largest, std::abs(base::read_element(value, k)));
      EXPECT_LE(test::largest_difference(tensor, Tensor(value).reshaped(tensor.shape())), tolerance(tensor.dtype()) * largest);
    }
  }
  EXPECT_EQ(optimizer.get_config().json(), test::to_config(c.at("config")).json());
}

void follows_keras(const Json& group, const Json& c) {
  const std::string file = group.at("file").get<std::string>();
  const auto array = [&](const std::string& key) -> const Tensor& { return test::golden_array(file, key); };
  clear_session();
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
    Tensor dkernel = step_of(array("grad_kernel"), step);
    if (c.at("class") == "LossScaleOptimizer" && step == 3) base::write_element(dkernel, 0, std::numeric_limits<double>::infinity());
    const Tensor dbias = step_of(array("grad_bias"), step);
    EXPECT_NEAR(optimizer.learning_rate(), c.at("learning_rate_before_step").at(static_cast<std::size_t>(step)).get<double>(), 1e-7);
    optimizer.apply(layer, std::vector{dkernel, dbias});
    EXPECT_LE(test::largest_difference(layer.variables()[0].value, step_of(kernels, step)), tolerance(kernels.dtype())) << "step " << step;
    EXPECT_LE(test::largest_difference(layer.variables()[1].value, step_of(biases, step)), tolerance(kernels.dtype())) << "step " << step;
  }
  holds_kerass_state(group, c, optimizer);
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
    // Named apart: an exclusion that no configuration holds.
    if (!c.at("exclude_from_weight_decay").is_null()) continue;
    follows_keras(group, c);
    ++followed;
  }
  EXPECT_GE(followed, 62);
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
  const auto with = [](const char* key) { return Config::dict({{"class_name", "SGD"}, {"config", Config::dict({{key, 0.1}})}}); };
  EXPECT_EQ(test::argument_error([&] { Optimizer::from_config(with("learning_rates")); }), "Argument(s) not recognized: {\"learning_rates\": 0.1}");
  EXPECT_EQ(Optimizer::from_config(with("decay")).class_name(), "SGD");
}

TEST(Optimizer, AConstraintThatFailsChangesNothing) {
  bool fails = false;
  const Constraint moody([&](TensorView) { if (fails) throw std::runtime_error("not now"); }, "moody");
  const OptimizerOptions options[] = {{.use_ema = true, .gradient_accumulation_steps = 2, .loss_scaling = LossScaling{4, 2}}, {.weight_decay = 0.1}};
  for (const OptimizerOptions& o : options) {
    Conv2DTranspose a(2, 2, {.bias_constraint = moody, .name = "layer"}), b(2, 2, {.name = "layer"});        // the kernel comes first, and moves in place
    a.build({1, 2, 2, 1}), b.build({1, 2, 2, 1});
    b.set_weights(a.get_weights());
    Optimizer first{optimizers::Nadam{}, o}, second{optimizers::Nadam{}, o};
    Tensor dkernel({2, 2, 2, 1}), dbias({2});
    for (std::int64_t i = 0; i < dkernel.elements(); ++i) base::write_element(dkernel, i, 0.3 * static_cast<double>(i - 3));
    for (int step = 0; step < 5; ++step) {
      fails = true;
      EXPECT_THROW(first.apply(a, std::vector{dkernel, dbias}), std::runtime_error);
      fails = false;
      first.apply(a, std::vector{dkernel, dbias}), second.apply(b, std::vector{dkernel, dbias});
      EXPECT_TRUE(test::same_bits(a.kernel(), b.kernel()));
      EXPECT_TRUE(test::same_bits(*a.bias(), *b.bias()));
      EXPECT_EQ(first.loss_scale(), second.loss_scale());
    }
    const std::vector<OptimizerVariable> left = first.variables(), right = second.variables();
    for (std::size_t i = 0; i < left.size(); ++i)
      if (const auto* tensor = std::get_if<Tensor>(&left[i].value)) EXPECT_TRUE(test::same_bits(*tensor, std::get<Tensor>(right[i].value))) << left[i].path;
      else EXPECT_EQ(std::get<std::int64_t>(left[i].value), std::get<std::int64_t>(right[i].value)) << left[i].path;
  }
}

TEST(Optimizer, StateMovesToAnotherOptimizerAndTheStepsGoOnAlike) {
  const auto gradients = [](double scale) {
    Tensor dkernel({2, 2, 2, 1}), dbias({2});
    for (std::int64_t i = 0; i < dkernel.elements(); ++i) base::write_element(dkernel, i, scale * static_cast<double>(i - 3));
    return std::vector{dkernel, dbias};
  };
  const OptimizerOptions options{.use_ema = true, .gradient_accumulation_steps = 2, .loss_scaling = LossScaling{4, 2}};
  Conv2DTranspose a(2, 2, {.name = "layer"}), b(2, 2, {.name = "layer"});
  a.build({1, 2, 2, 1}), b.build({1, 2, 2, 1});
  Optimizer first{optimizers::Nadam{}, options}, second{optimizers::Nadam{}, options};
  for (int i = 0; i < 3; ++i) first.apply(a, gradients(i + 1));
  b.set_weights(a.get_weights());
  EXPECT_THROW(second.set_variables(first.variables()), ArgumentError);       // not built yet: fewer variables
  second.build(Model({std::make_shared<Conv2DTranspose>(b)}));
  second.set_variables(first.variables());
  for (int i = 0; i < 3; ++i) first.apply(a, gradients(2 - i)), second.apply(b, gradients(2 - i));
  EXPECT_TRUE(test::same_bits(a.kernel(), b.kernel()));
  EXPECT_EQ(first.iterations(), second.iterations());
  EXPECT_EQ(first.loss_scale(), second.loss_scale());
}

TEST(Optimizer, BitsDoNotDependOnTheNumberOfThreads) {
  const OptimizerAlgorithm algorithms[] = {optimizers::Adam{}, optimizers::Lamb{}, optimizers::Adafactor{}};
  for (const OptimizerAlgorithm& algorithm : algorithms) {
    const auto trained = [&](int threads) {
      set_default_threads(threads);
      Conv2DTranspose layer(70, 5, {.kernel_initializer = "ones"});
      layer.build({1, 2, 2, 60});                                             // 105000 elements: several chunks, the last one short
      Tensor dkernel({5, 5, 70, 60});
      for (std::int64_t i = 0; i < dkernel.elements(); ++i) base::write_element(dkernel, i, std::sin(0.7 * static_cast<double>(i)));
      Optimizer optimizer(algorithm, {.global_clipnorm = 0.1});
      for (int step = 0; step < 3; ++step) optimizer.apply(layer, std::vector{dkernel, Tensor({70})});
      set_default_threads(0);
      return layer.kernel();
    };
    EXPECT_TRUE(test::same_bits(trained(1), trained(4)));
  }
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
