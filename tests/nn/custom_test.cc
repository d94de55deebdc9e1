// SPDX-License-Identifier: Apache-2.0
// The caller's own values by their registered names: in configurations, in a layer that goes through its configuration, forgotten again.
#include <gtest/gtest.h>

#include "support/error_text.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/custom.h"
#include "upconv/model.h"

namespace upconv {
namespace {

using test::argument_error;

Config identifier(const char* registered_name, Config config = Config(Config::Dict{})) {
  return Config::dict({{"module", "mine"}, {"class_name", "Own"}, {"config", std::move(config)}, {"registered_name", registered_name}});
}

class Halved final : public ActivationFunction {
 public:
  std::string name() const override { return "mine>Own"; }
  Config config() const override { return identifier("mine>Own", Config::dict({{"factor", 0.5}})); }
  void forward(ConstTensorView x, TensorView y) const override {
    for (std::size_t i = 0; i < x.span<float>().size(); ++i) y.span<float>()[i] = x.span<float>()[i] / 2;
  }
};

class Counted final : public RegularizerFunction {
 public:
  std::string name() const override { return "mine>Own"; }
  Config config() const override { return identifier("mine>Own"); }
  double penalty(ConstTensorView w) const override { return static_cast<double>(w.elements()); }
  void add_gradient(ConstTensorView, double, TensorView) const override {}
};

struct Registered {
  Registered() {
    register_custom<Activation>("mine>Own", [this](const Config& found) {
      seen = found;
      return Activation(std::make_shared<Halved>());
    });
    register_custom<Regularizer>("mine>Own", [](const Config&) { return Regularizer(std::make_shared<Counted>()); });
  }
  ~Registered() {
    register_custom<Activation>("mine>Own", {});
    register_custom<Regularizer>("mine>Own", {});
  }
  Config seen;
};

TEST(Custom, AConfigurationNamesWhatWasRegistered) {
  const Tensor x = Tensor::of<float>({2}, {2, -4});
  {
    Registered registered;
    EXPECT_EQ(Activation::from_config(identifier("mine>Own", Config::dict({{"factor", 0.5}})))(x).span<float>()[1], -2);
    EXPECT_EQ(registered.seen.at("config").at("factor"), Config(0.5));
    EXPECT_EQ(Activation::from_config("mine>Own")(x).span<float>()[0], 1);
    EXPECT_EQ(Regularizer::from_config(identifier("mine>Own"))->penalty(x), 2);
    argument_error([&] { Constraint::from_config(identifier("mine>Own")); });
    argument_error([&] { Activation::from_config(identifier("mine>Another")); });
  }
  argument_error([&] { Activation::from_config(identifier("mine>Own")); });
  argument_error([&] { Regularizer::from_config(identifier("mine>Own")); });
  argument_error([&] { register_custom<Activation>("", [](const Config&) { return Activation(); }); });
}

TEST(Custom, ALayerGoesThroughItsConfigurationWithThem) {
  const Registered registered;
  Conv2DTransposeOptions options;
  options.activation = Activation(std::make_shared<Halved>()), options.kernel_regularizer = Regularizer(std::make_shared<Counted>());
  options.kernel_initializer = "ones", options.name = "own";
  Conv2DTranspose layer{1, 1, options};
  Conv2DTranspose twin = Conv2DTranspose::from_config(layer.get_config());
  EXPECT_EQ(twin.get_config(), layer.get_config());
  const Tensor x = Tensor::of<float>({1, 1, 1, 1}, {6});
  EXPECT_EQ(twin(x).span<float>()[0], 3);
  EXPECT_EQ(twin.losses(), std::vector<double>{1});

  auto shared = std::make_shared<Conv2DTranspose>(std::move(layer));
  const Model model({shared}, "m", Shape{1, 1, 1});
  EXPECT_EQ(model.clone()(x).span<float>()[0], 3);
}

}  // namespace
}  // namespace upconv
