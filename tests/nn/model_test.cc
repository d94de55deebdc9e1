// SPDX-License-Identifier: Apache-2.0
#include "upconv/model.h"

#include <gtest/gtest.h>

#include <cmath>

#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"

namespace upconv {
namespace {

Tensor ramp(const Shape& shape) {
  Tensor t(shape, DType::float64);
  double value = 0;
  for (double& v : t.span<double>()) v = std::sin(value += 0.7);
  return t;
}

std::shared_ptr<Layer> up(std::int64_t filters, const char* name, const char* activation = "tanh") {
  return std::make_shared<Conv2DTranspose>(
      filters, 3, Conv2DTransposeOptions{.padding = "same", .activation = activation, .name = name, .dtype = "float64"});
}

TEST(Model, ASequentialIsItsLayersOneAfterAnother) {
  const std::shared_ptr<Layer> first = up(4, "first"), second = up(2, "second");
  const Model model({first, second}, "two", Shape{5, 6, 3});
  const Tensor x = ramp({2, 5, 6, 3});
  const ConstTensorView view = x;
  const Tensor between = first->call({&view, 1}, {});
  const ConstTensorView next = between;
  const Tensor expected = second->call({&next, 1}, {}), y = model(x);
  ASSERT_EQ(y.shape(), (Shape{2, 5, 6, 2}));
  EXPECT_TRUE(std::equal(y.span<double>().begin(), y.span<double>().end(), expected.span<double>().begin()));
  EXPECT_EQ(&model.layer("second"), second.get());
  EXPECT_THROW(model.layer("third"), ArgumentError);
  EXPECT_THROW(model(ramp({2, 5, 7, 3})), ArgumentError);
}

/// One layer called twice in a row: its gradient is the sum over both calls.
TEST(Model, ASharedLayersGradientsAddUp) {
  const std::shared_ptr<Layer> shared = up(3, "shared");
  const std::shared_ptr<Layer> input = layer_from_config(Config::dict(
      {{"class_name", "InputLayer"},
       {"config", Config::dict({{"batch_shape", Config::list({{}, 3, 3, 3})}, {"dtype", "float64"}, {"name", "in"}})}}));
  Model model(Model::Kind::functional, "shared_twice", {input, shared}, {{0, {}}, {1, {0}}, {1, {1}}}, {0}, {2}, {});
  model.build();
  const Tensor x = ramp({1, 3, 3, 3}), cotangent = ramp({1, 3, 3, 3});
  const auto loss = [&] {
    const Tensor y = model(x);
    double total = 0;
    for (std::size_t i = 0; i < y.span<double>().size(); ++i) total += y.span<double>()[i] * cotangent.span<double>()[i];
    return total;
  };
  const ConstTensorView view = x;
  auto [outputs, tape] = model.forward({&view, 1}, {});
  const std::vector<Tensor> gradients = model.backward(std::vector{cotangent}, tape);
  ASSERT_EQ(gradients.size(), model.weights().size());
  for (std::size_t w = 0; w < gradients.size(); ++w)
    for (std::int64_t i = 0; i < gradients[w].elements(); i += 7) {
      const Tensor before = shared->variables()[w].value;
      const auto moved = [&](double step) {
        Tensor value = before;
        value.data<double>()[i] += step;
        shared->assign(w, value);
        return loss();
      };
      const double numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
      shared->assign(w, before);
      EXPECT_NEAR(gradients[w].data<double>()[i], numeric, 1e-7);
    }
}

TEST(Model, ACloneHasWeightsOfItsOwn) {
  Model model({up(2, "a")}, "m", Shape{4, 4, 1});
  const Model copy = model.clone();
  const Tensor x = ramp({1, 4, 4, 1}), before = copy(x);
  model.layer("a").set_weights(std::vector{Tensor({3, 3, 2, 1}, DType::float64), Tensor({2}, DType::float64)});
  const Tensor after = copy(x);
  EXPECT_TRUE(std::equal(before.span<double>().begin(), before.span<double>().end(), after.span<double>().begin()));
}

TEST(Registry, OnlyKnownClassesAreMade) {
  EXPECT_THROW(layer_from_config(Config::dict({{"class_name", "Lambda"}, {"config", Config(Config::Dict{})}})), ArgumentError);
}

}  // namespace
}  // namespace upconv
