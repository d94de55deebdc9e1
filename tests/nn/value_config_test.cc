// SPDX-License-Identifier: Apache-2.0
// Activations, initialisers, regularisers and constraints as Keras writes them: key order, kinds and bits of numbers, names,
// what is refused and in which words.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nn/activation_functions.h"
#include "support/error_text.h"
#include "upconv/activation.h"
#include "upconv/constraint.h"
#include "upconv/initializer.h"
#include "upconv/regularizer.h"

namespace upconv {
namespace {

using test::argument_error;

Config object(const std::string& module, const std::string& class_name, Config config) {
  return Config::dict({{"module", "keras." + module}, {"class_name", class_name}, {"config", std::move(config)},
                       {"registered_name", nullptr}});
}
Config activation_layer(const std::string& class_name, std::initializer_list<Config::Item> own, const char* policy = "float32") {
  Config config = Config::dict({{"name", "act"}, {"trainable", true}, {"dtype", DTypePolicy(policy).config()}});
  for (const auto& [key, value] : own) config.set(key, value);
  return object("layers", class_name, std::move(config));
}

TEST(ActivationConfig, ThirtyTwoNamesWriteTheirCanonicalName) {
  EXPECT_EQ(activation_names().size(), 32u);
  for (const std::string& name : activation_names()) {
    const std::string canonical = name == "swish" ? "silu" : name == "hard_swish" ? "hard_silu" : name;
    EXPECT_EQ(Activation(name).config(), Config(canonical));
    EXPECT_EQ(Activation::from_config(Config(name)).name(), canonical);
  }
  EXPECT_EQ(Activation().config(), Config("linear"));
  EXPECT_EQ(Activation::from_config(nullptr).config(), Config("linear"));
  EXPECT_TRUE(Activation(nullptr).is_linear());
}

TEST(ActivationConfig, LayerObjectsComeBackAsTheyWere) {
  for (const Config& config :
       {activation_layer("ReLU", {{"max_value", 6.0}, {"negative_slope", 0.0}, {"threshold", 0.0}}),
        activation_layer("ReLU", {{"max_value", nullptr}, {"negative_slope", 0}, {"threshold", 0.5}}, "mixed_float16"),
        activation_layer("LeakyReLU", {{"negative_slope", 0.3}}), activation_layer("ELU", {{"alpha", 1.0}}),
        activation_layer("Softmax", {{"axis", -1}}), activation_layer("Activation", {{"activation", "tanh"}}, "bfloat16")})
    EXPECT_EQ(Activation::from_config(config).config().json(), config.json());
  EXPECT_EQ(Activation::from_config(activation_layer("LeakyReLU", {{"alpha", 0.1}})).config().json(),
            activation_layer("LeakyReLU", {{"negative_slope", 0.1}}).json());
}

TEST(ActivationConfig, LayerObjectsComputeInTheirOwnDType) {
  const Tensor x = Tensor::of<float>({3}, {-1, 0.5f, 7}).cast(DType::float16);
  const Activation relu6 = Activation::from_config(
      activation_layer("ReLU", {{"max_value", 6.0}, {"negative_slope", 0.0}, {"threshold", 0.0}}));
  const Tensor y = relu6(x);
  EXPECT_EQ(y.dtype(), DType::float32);
  EXPECT_EQ(std::vector<float>(y.span<float>().begin(), y.span<float>().end()), (std::vector<float>{0, 0.5f, 6}));
  const Tensor dx = relu6.backward(x, y, Tensor::of<float>({3}, {2, 2, 2}));
  EXPECT_EQ(dx.dtype(), DType::float16);
  EXPECT_EQ(dx.data<Half>()[1], Half(2.0f));
  EXPECT_EQ(dx.data<Half>()[2], Half(0.0f));
  const Activation half = Activation::from_config(activation_layer("LeakyReLU", {{"negative_slope", 0.5}}, "mixed_float16"));
  EXPECT_EQ(half(Tensor::of<float>({1}, {-2})).data<Half>()[0], Half(-1.0f));
}

TEST(ActivationConfig, ObjectsWriteTheLayerThatKerasHasForThem) {
  const Config relu = Activation(activations::Relu{.max_value = 6}).config();
  EXPECT_EQ(relu.at("config").json(),
            R"({"name": "re_lu", "trainable": true, "dtype": {"module": "keras", "class_name": "DTypePolicy", "config": {"name": )"
            R"("float32"}, "registered_name": null}, "max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0})");
  EXPECT_EQ(Activation(activations::Relu{}).config(), Config("relu"));
  EXPECT_EQ(Activation(activations::LeakyRelu{0.1}).config().at("config").at("negative_slope"), Config(0.1));
  EXPECT_EQ(Activation(activations::Softmax{{1, 2}}).config().at("config").at("axis"), Config::list({1, 2}));
  const auto without_form = [](const char* name) {
    return std::string("The activation '") + name + "' with these parameters has no form in a Keras configuration. Use a Keras name "
           "or a layer object (ReLU, LeakyReLU, ELU, Softmax).";
  };
  EXPECT_EQ(argument_error([] { Activation(activations::Celu{2}).config(); }), without_form("celu"));
  EXPECT_EQ(argument_error([] { Activation(activations::Relu{.threshold = -1}).config(); }), without_form("relu"));
  EXPECT_EQ(argument_error([] { Activation(activations::LeakyRelu{-1}).config(); }), without_form("leaky_relu"));
  EXPECT_EQ(argument_error([] { nn::hard_sigmoid_keras2().config(); }), without_form("hard_sigmoid_keras2"));
}

TEST(ActivationConfig, RefusedInKerasWords) {
  const auto error = [](Config config) { return argument_error([&] { Activation::from_config(config); }); };
  EXPECT_EQ(error("foo"), "Could not interpret activation function identifier: foo");
  EXPECT_EQ(error("ReLU"), "Could not interpret activation function identifier: ReLU Did you mean 'relu'?");
  EXPECT_EQ(error("hardtanh"), "Could not interpret activation function identifier: hardtanh Did you mean 'hard_tanh'?");
  EXPECT_EQ(error("None"), "Could not interpret activation function identifier: None");
  EXPECT_EQ(error(3), "Could not interpret activation function identifier: 3");
  EXPECT_EQ(error(Config::dict({{"class_name", "Foo"}})).substr(0, 48), "Could not interpret activation function identifi");
  EXPECT_EQ(error(activation_layer("ReLU", {{"threshold", -0.25}})),
            "threshold of a ReLU layer cannot be None or a negative value. Received: threshold=-0.25");
  EXPECT_EQ(error(activation_layer("ReLU", {{"max_value", -1.0}})),
            "max_value of a ReLU layer cannot be a negative value. Received: max_value=-1.0");
  EXPECT_EQ(error(activation_layer("LeakyReLU", {{"negative_slope", -1}})),
            "The negative_slope value of a Leaky ReLU layer cannot be None or negative value. Expected a float. Received: "
            "negative_slope=-1");
  for (const char* name : {"PReLU", "__lambda__", "function"})
    EXPECT_NE(error(activation_layer(name, {})).find("An activation of class '" + std::string(name) + "' cannot be taken"), std::string::npos);
  Config own = activation_layer("ReLU", {});
  own.set("registered_name", "my>ReLU");
  EXPECT_NE(error(own).find("my>ReLU"), std::string::npos);
}

TEST(ActivationCall, WhatFailsOnlyThere) {
  const Activation threshold = "threshold";
  EXPECT_EQ(argument_error([&] { threshold(Tensor({2})); }),
            "threshold() missing 2 required positional arguments: 'threshold' and 'default_value'");
  EXPECT_EQ(argument_error([] { Activation("glu")(Tensor({1, 7, 7, 3})); }),
            "axis size must be divisible by 2. Received: x.shape=(1, 7, 7, 3) with axis=-1");
  EXPECT_EQ(argument_error([] { Activation(activations::Softmax{{4}})(Tensor({1, 2})); }),
            "The axes of softmax must be distinct and fit the input. Received: axis 4 for the shape (1, 2).");
}

TEST(ActivationCall, CallablesAreCheckedAndInferenceOnly) {
  const Activation twice = [](ConstTensorView x) {
    Tensor y = Tensor::copy_of(x);
    for (float& v : y.span<float>()) v *= 2;
    return y;
  };
  const Tensor x = Tensor::of<float>({2}, {1, 2});
  EXPECT_EQ(twice(x).data<float>()[1], 4);
  EXPECT_THROW(twice.backward(x, x, x), StateError);
  EXPECT_EQ(argument_error([&] { twice.config(); }),
            "An activation without a name cannot be saved. Give it one, or use a Keras name.");
  const Activation liar(std::function<Tensor(ConstTensorView)>([](ConstTensorView v) { return Tensor(v.shape, DType::float64); }), "liar");
  EXPECT_EQ(argument_error([&] { liar(x); }),
            "The activation 'liar' must return shape (2,) and dtype float32. It returned (2,), float64.");
}

TEST(InitializerConfig, NamesWriteKerasDictionaries) {
  const std::string seed = R"({"seed": null, "input_axes": null, "output_axes": null})";
  const std::tuple<std::vector<const char*>, const char*, std::string> cases[] = {
      {{"zeros", "zero", "Zeros"}, "Zeros", "{}"},
      {{"ones", "one", "Ones"}, "Ones", "{}"},
      {{"constant", "Constant"}, "Constant", R"({"value": 0.0})"},
      {{"identity", "Identity", "IdentityInitializer"}, "Identity", "{}"},
      {{"orthogonal", "Orthogonal", "OrthogonalInitializer"}, "Orthogonal", R"({"seed": null, "gain": 1.0})"},
      {{"normal", "random_normal", "RandomNormal"}, "RandomNormal", R"({"seed": null, "mean": 0.0, "stddev": 0.05})"},
      {{"truncated_normal", "TruncatedNormal"}, "TruncatedNormal", R"({"seed": null, "mean": 0.0, "stddev": 0.05})"},
      {{"uniform", "random_uniform", "RandomUniform"}, "RandomUniform", R"({"seed": null, "minval": -0.05, "maxval": 0.05})"},
      {{"variance_scaling", "VarianceScaling"}, "VarianceScaling",
       R"({"seed": null, "scale": 1.0, "mode": "fan_in", "distribution": "truncated_normal", "input_axes": null, "output_axes": null})"},
      {{"glorot_normal", "GlorotNormal"}, "GlorotNormal", seed},    {{"glorot_uniform", "GlorotUniform"}, "GlorotUniform", seed},
      {{"he_normal", "HeNormal"}, "HeNormal", seed},                {{"he_uniform", "HeUniform"}, "HeUniform", seed},
      {{"lecun_normal", "LecunNormal"}, "LecunNormal", seed},       {{"lecun_uniform", "LecunUniform"}, "LecunUniform", seed},
  };
  for (const auto& [names, class_name, own] : cases)
    for (const char* name : names)
      EXPECT_EQ(Initializer(name).config().json(), "{\"module\": \"keras.initializers\", \"class_name\": \"" + std::string(class_name) +
                                                       "\", \"config\": " + own + ", \"registered_name\": null}");
  EXPECT_EQ(Initializer().config(), Config());
}

TEST(InitializerConfig, RoundTripsKeepNumbersAndValues) {
  const Config generator = object("random", "SeedGenerator", Config::dict({{"seed", 7}, {"name", "seed_generator"}}));
  for (const Config& config :
       {object("initializers", "Constant", Config::dict({{"value", 1}})), object("initializers", "Constant", Config::dict({{"value", 0.1}})),
        object("initializers", "RandomNormal", Config::dict({{"seed", 3}, {"mean", 0}, {"stddev", 1}})),
        object("initializers", "HeNormal", Config::dict({{"seed", generator}, {"input_axes", Config::list({0, 1, 3})},
                                                         {"output_axes", Config::list({0, 1, 2})}})),
        object("initializers", "VarianceScaling",
               Config::dict({{"seed", 3}, {"scale", 2}, {"mode", "fan_out"}, {"distribution", "uniform"}, {"input_axes", nullptr},
                             {"output_axes", nullptr}}))}) {
    const Initializer first = Initializer::from_config(config), second = Initializer::from_config(first.config());
    EXPECT_EQ(first.config().json(), config.json());
    const Tensor a = first({2, 2, 3, 4}), b = second({2, 2, 3, 4});
    EXPECT_TRUE(std::equal(a.span<float>().begin(), a.span<float>().end(), b.span<float>().begin()));
  }
  const Initializer icnr = initializers::ICNR{3, initializers::HeUniform{.seed = 1}};
  EXPECT_EQ(Initializer::from_config(icnr.config()).config(), icnr.config());
  EXPECT_EQ(Initializer::from_config(Initializer("bilinear").config()).config(), Initializer("bilinear").config());
}

TEST(InitializerConfig, RefusedInKerasWords) {
  const auto error = [](Config config) { return argument_error([&] { Initializer::from_config(config); }); };
  const auto scaling = [&](const char* key, Config value) {
    return error(object("initializers", "VarianceScaling", Config::dict({{key, std::move(value)}})));
  };
  EXPECT_EQ(error("foo"), "Could not interpret initializer identifier: foo");
  EXPECT_EQ(error("Glorot_Uniform").substr(0, 57), "Could not interpret initializer identifier: Glorot_Unifor");
  EXPECT_EQ(error(3), "Could not interpret initializer identifier: 3");
  EXPECT_EQ(scaling("scale", 0), "Argument `scale` must be positive float. Received: scale=0");
  EXPECT_EQ(scaling("mode", "x"), "Invalid `mode` argument: x. Please use one of {'fan_in', 'fan_out', 'fan_avg'}");
  EXPECT_EQ(scaling("mode", "FAN_IN").substr(0, 31), "Invalid `mode` argument: FAN_IN");
  EXPECT_EQ(scaling("distribution", "X"),
            "Invalid `distribution` argument: x.Please use one of {'uniform', 'truncated_normal', 'untruncated_normal'}");
  EXPECT_EQ(scaling("seed", "a"),
            "`seed` argument should be an instance of `keras.random.SeedGenerator()` or an integer. Received: seed=\"a\"");
  EXPECT_NE(error(object("initializers", "Zeros", Config::dict({{"foo", 1}}))).find("unexpected argument 'foo'"), std::string::npos);
  Config own = object("initializers", "HeNormal", Config(Config::Dict{}));
  own.set("registered_name", "my>HeNormal");
  EXPECT_EQ(error(own), "Could not interpret initializer identifier: \"my>HeNormal\"");
  EXPECT_EQ(argument_error([] { Initializer(Tensor({1})).config(); }), "The initializer has no form in a Keras configuration.");
}

/// "normal" and capitals are accepted for a distribution and written as Keras stores them.
TEST(InitializerConfig, DistributionsAreStoredInLowerCase) {
  for (const char* given : {"normal", "Truncated_Normal"}) {
    const Initializer i = Initializer::from_config(
        object("initializers", "VarianceScaling", Config::dict({{"distribution", given}})));
    EXPECT_EQ(i.config().at("config").at("distribution"), Config("truncated_normal"));
  }
}

TEST(RegularizerConfig, RoundTrips) {
  const auto own = [](const Regularizer& r) { return r.config().at("config").json(); };
  EXPECT_EQ(own("l1"), R"({"l1": 0.009999999776482582})");                     // rounded to float32, as Keras holds it
  EXPECT_EQ(own("L2"), R"({"l2": 0.01})");
  EXPECT_EQ(own("l1l2"), R"({"l1": 0.0, "l2": 0.0})");
  EXPECT_EQ(own("orthogonal_regularizer"), R"({"factor": 0.009999999776482582, "mode": "rows"})");
  EXPECT_EQ(own(regularizers::L1L2{1e-4, 2e-4}), R"({"l1": 0.0001, "l2": 0.0002})");
  for (const Regularizer& r : {Regularizer(regularizers::L1{0.1}), Regularizer(regularizers::L2{0.1}),
                               Regularizer(regularizers::L1L2{0.1, 0.2}), Regularizer(regularizers::OrthogonalRegularizer{0.1, "columns"})})
    EXPECT_EQ(Regularizer::from_config(r.config()).config().json(), r.config().json());
  EXPECT_EQ(own(Regularizer::from_config(object("regularizers", "L2", Config::dict({{"l2", nullptr}})))), R"({"l2": 0.01})");
  EXPECT_EQ(Regularizer::from_config(nullptr).config(), Config());
}

TEST(RegularizerConfig, RefusedInKerasWords) {
  const auto error = [](Config config) { return argument_error([&] { Regularizer::from_config(config); }); };
  EXPECT_EQ(error("foo"), "Could not interpret regularizer identifier: foo");
  EXPECT_EQ(error("l1_l2").substr(0, 49), "Could not interpret regularizer identifier: l1_l2");
  EXPECT_EQ(error(0.01), "Could not interpret regularizer identifier: 0.01");
  EXPECT_EQ(argument_error([] { Regularizer(regularizers::L1{-1}); }),
            "Invalid value for argument l1: expected a non-negative float.Received: l1=-1.0");
  EXPECT_EQ(argument_error([] { Regularizer(regularizers::L2{HUGE_VAL}); }),
            "Invalid value for argument l2: expected a non-negative float.Received: l2=inf");
  EXPECT_EQ(argument_error([] { Regularizer(regularizers::L1L2{0, std::nan("")}); }),
            "Invalid value for argument l2: expected a non-negative float.Received: l2=nan");
  EXPECT_EQ(argument_error([] { Regularizer(regularizers::OrthogonalRegularizer{1, "x"}); }),
            "Invalid value for argument `mode`. Expected one of {\"rows\", \"columns\"}. Received: mode=x");
}

TEST(ConstraintConfig, RoundTripsKeepNumbersAsGiven) {
  EXPECT_EQ(Constraint("max_norm").config().at("config").json(), R"({"max_value": 2, "axis": 0})");
  EXPECT_EQ(Constraint("MinMaxNorm").config().at("config").json(), R"({"min_value": 0.0, "max_value": 1.0, "rate": 1.0, "axis": 0})");
  EXPECT_EQ(Constraint("unit_norm").config().at("config").json(), R"({"axis": 0})");
  EXPECT_EQ(Constraint("NonNeg").config().json(),
            R"({"module": "keras.constraints", "class_name": "NonNeg", "config": {}, "registered_name": null})");
  EXPECT_EQ(Constraint(constraints::MaxNorm{.max_value = 2, .axis = {0, 1, 3}}).config().at("config").json(),
            R"({"max_value": 2.0, "axis": [0, 1, 3]})");
  for (const Config& own : {Config::dict({{"max_value", 3}, {"axis", Config::list({0, 1})}}), Config::dict({{"max_value", 0.5}, {"axis", -1}})}) {
    const Config config = object("constraints", "MaxNorm", own);
    EXPECT_EQ(Constraint::from_config(config).config().json(), config.json());
  }
}

TEST(ConstraintConfig, RefusedInKerasWords) {
  const auto error = [](Config config) { return argument_error([&] { Constraint::from_config(config); }); };
  EXPECT_EQ(error("foo"), "Could not interpret constraint identifier: foo");
  EXPECT_EQ(error(2.0), "Could not interpret constraint identifier: 2.0");
  EXPECT_NE(error(object("constraints", "NonNeg", Config::dict({{"axis", 0}}))).find("unexpected argument 'axis'"), std::string::npos);
}

}  // namespace
}  // namespace upconv
