// SPDX-License-Identifier: Apache-2.0
// The layer's corners: empty inputs, dtype policies, autocast, activations of another dtype or shape, defaults, copies.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "nn/keras_json.h"
#include "support/ramp.h"
#include "upconv/error.h"
#include "upconv/upconv.h"

namespace upconv {
namespace {

using test::ramp;

std::vector<float> floats(const Tensor& t) {
  const Tensor wide = t.cast(DType::float32);
  return {wide.span<float>().begin(), wide.span<float>().end()};
}

TEST(Corners, EmptyInputs) {
  Conv2DTranspose up(2, 3, {.strides = 2, .activation = "sigmoid"});
  EXPECT_EQ(up(Tensor({0, 4, 4, 3})).shape(), (Shape{0, 9, 9, 2}));
  Conv2DTranspose same(2, 3, {.strides = 2, .padding = "same"});
  EXPECT_EQ(same(Tensor({1, 0, 4, 3})).shape(), (Shape{1, 0, 8, 2}));
  Conv2DTranspose shrunk(1, 2, {.strides = 2, .padding = "same", .output_padding = Size2{0, 0}});
  EXPECT_EQ(shrunk(Tensor({1, 1, 1, 1})).shape(), (Shape{1, 0, 0, 1}));
}

TEST(Corners, RowsThatNoInputReachesHoldTheActivatedBias) {
  Conv2DTranspose up(2, 3, {.activation = "sigmoid", .bias_initializer = initializers::Constant{0.5}});
  const Tensor y = up(Tensor({1, 0, 4, 3}));
  ASSERT_EQ(y.shape(), (Shape{1, 2, 6, 2}));
  for (const float v : y.span<float>()) EXPECT_FLOAT_EQ(v, 1 / (1 + std::exp(-0.5f)));
  Conv2DTranspose holes(1, 1, {.strides = 3, .bias_initializer = initializers::Constant{0.5}});
  EXPECT_EQ(holes(ramp({1, 2, 2, 1})).span<float>()[1], 0.5f);
  Conv2DTranspose blind(2, 3, {.bias_initializer = initializers::Constant{0.5}});
  blind.build({1, 4, 4, 0});
  EXPECT_EQ(blind.kernel().shape(), (Shape{3, 3, 2, 0}));
  const Tensor unseen = blind(Tensor({1, 4, 4, 0}));
  for (const float v : unseen.span<float>()) EXPECT_EQ(v, 0.5f);
}

TEST(Corners, EmptyInputsHaveZeroGradients) {
  Conv2DTranspose up(2, 3, {.strides = 2, .activation = "tanh", .activity_regularizer = "l2"});
  up.build({1, 4, 4, 3});
  const auto [y, tape] = std::as_const(up).forward(Tensor({0, 4, 4, 3}));
  EXPECT_EQ(tape.activity_loss, 0);
  const Gradients g = up.backward(y, tape);
  EXPECT_EQ(g.input().shape(), (Shape{0, 4, 4, 3}));
  for (const float v : g.kernel().span<float>()) EXPECT_EQ(v, 0);
  for (const float v : g.bias().span<float>()) EXPECT_EQ(v, 0);
}

TEST(Corners, DTypePolicies) {
  struct Expected {
    const char* policy;
    DType compute, variable;
  };
  for (const Expected& e : {Expected{"float32", DType::float32, DType::float32}, Expected{"float64", DType::float64, DType::float64},
                            Expected{"float16", DType::float16, DType::float16}, Expected{"bfloat16", DType::bfloat16, DType::bfloat16},
                            Expected{"mixed_float16", DType::float16, DType::float32},
                            Expected{"mixed_bfloat16", DType::bfloat16, DType::float32}}) {
    Conv2DTranspose up(2, 3, {.dtype = e.policy});
    for (const DType given : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
      const Tensor y = up(ramp({1, 4, 4, 3}, given));
      EXPECT_EQ(y.dtype(), e.compute) << e.policy;
      const auto [z, tape] = up.forward(ramp({1, 4, 4, 3}, given));
      const Gradients g = up.backward(z, tape);
      EXPECT_EQ(g.input().dtype(), given) << e.policy;
      EXPECT_EQ(g.kernel().dtype(), e.variable) << e.policy;
    }
    EXPECT_EQ(up.kernel().dtype(), e.variable);
    EXPECT_EQ(up.compute_output_dtype(DType::float32), e.compute);
    EXPECT_EQ(Conv2DTranspose::from_config(up.get_config()).dtype_policy().name, e.policy);
  }
}

TEST(Corners, WithoutAutocastTheVariablesDTypeIsTheCalls) {
  Conv2DTranspose up(2, 3, {.dtype = "mixed_float16", .autocast = false});
  EXPECT_EQ(up(ramp({1, 4, 4, 3})).dtype(), DType::float32);
  EXPECT_THROW(up(ramp({1, 4, 4, 3}, DType::float16)), ArgumentError);
}

TEST(Corners, HalfSumsAreRoundedOnce) {
  Conv2DTranspose up(1, 1, {.kernel_initializer = "ones", .bias_initializer = "ones", .dtype = "float16"});
  Tensor x({1, 1, 1, 2001}, DType::float32);
  for (float& v : x.span<float>()) v = 1;
  x.span<float>()[0] = 2048;
  EXPECT_EQ(floats(up(x))[0], 4048);        // 2048 + 2000 + 1 = 4049, and float16 counts by 4 there
}

TEST(Corners, ALayerObjectKeepsItsOwnDTypePolicy) {
  const Config relu = Config::dict(
      {{"module", "keras.layers"}, {"class_name", "ReLU"},
       {"config", Config::dict({{"name", "act"}, {"trainable", true}, {"dtype", DTypePolicy("float32").config()}, {"max_value", 6.0},
                                {"negative_slope", 0.0}, {"threshold", 0.0}})},
       {"registered_name", nullptr}});
  for (const char* policy : {"float16", "mixed_float16", "float64", "float32"}) {
    Conv2DTranspose up(2, 3, {.activation = Activation::from_config(relu), .dtype = policy});
    EXPECT_EQ(up(ramp({1, 4, 4, 3})).dtype(), DType::float32) << policy;
    EXPECT_EQ(up.compute_output_dtype(DType::float32), DType::float32);
    EXPECT_EQ(up.get_config().at("activation").json(), relu.json());
    const auto [y, tape] = up.forward(ramp({1, 4, 4, 3}));
    EXPECT_EQ(up.backward(y, tape).kernel().dtype(), up.dtype_policy().variable_dtype);
  }
}

TEST(Corners, SoftmaxAndGluWorkOnTheLastAxis) {
  Conv2DTranspose softmax(4, 1, {.data_format = "channels_first", .activation = "softmax"});
  const Tensor y = softmax(ramp({1, 3, 2, 5}));
  float width = 0;
  for (int i = 0; i < 5; ++i) width += y.span<float>()[static_cast<std::size_t>(i)];
  EXPECT_NEAR(width, 1, 1e-6);
  Conv2DTranspose glu(4, 1, {.data_format = "channels_first", .activation = "glu"});
  EXPECT_EQ(glu.compute_output_shape({1, 3, 2, 6}), (Shape{1, 4, 2, 3}));
  EXPECT_EQ(glu(ramp({1, 3, 2, 6})).shape(), (Shape{1, 4, 2, 3}));
}

TEST(Corners, YourOwnFunction) {
  Conv2DTranspose doubled(2, 3, {.activation = [](ConstTensorView x) {
    Tensor y = Tensor::copy_of(x);
    for (float& v : y.span<float>()) v *= 2;
    return y;
  }});
  const Tensor x = ramp({1, 4, 4, 3});
  const Tensor y = doubled(x);
  Conv2DTranspose plain(2, 3);
  plain.build(x.shape());
  plain.set_weights(doubled.get_weights());
  EXPECT_EQ(y.span<float>()[7], 2 * plain(x).span<float>()[7]);
  const auto [z, tape] = doubled.forward(x);
  EXPECT_THROW(doubled.backward(z, tape), StateError);
  EXPECT_THROW(doubled.get_config(), ArgumentError);
  Conv2DTranspose liar(2, 3, {.activation = [](ConstTensorView) { return Tensor({1}); }});
  EXPECT_THROW(liar(x), ArgumentError);
}

TEST(Corners, NanAndInfinityReachWhatTheyShould) {
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  for (const char* format : {"channels_last", "channels_first"}) {
    Conv2DTranspose up(1, 1, {.data_format = format, .kernel_initializer = "ones"});
    const Shape shape{1, 2, 2, 1};
    Tensor x = ramp(std::string(format) == "channels_last" ? shape : Shape{1, 1, 2, 2});
    x.span<float>()[1] = nan, x.span<float>()[2] = -INFINITY;
    const Tensor y = up(x);
    EXPECT_TRUE(std::isfinite(y.span<float>()[0]));
    EXPECT_TRUE(std::isnan(y.span<float>()[1]));
    EXPECT_EQ(y.span<float>()[2], -INFINITY);
  }
}

TEST(Corners, OneElementMeansBothAxes) {
  const Config one = Config::list({2});
  const Conv2DTranspose up = Conv2DTranspose::from_config(
      Config::dict({{"filters", 2}, {"kernel_size", one}, {"strides", one}, {"dilation_rate", Config::list({1})}, {"output_padding", Config::list({1})}}));
  EXPECT_EQ(up.kernel_size(), Size2(2, 2));
  EXPECT_EQ(up.options().strides, Size2(2, 2));
  EXPECT_EQ(*up.options().output_padding, Size2(1, 1));
}

TEST(Corners, NoneInitialisersAreTheDocumentedOnes) {
  Conv2DTranspose up(2, 3, {.kernel_initializer = nullptr, .bias_initializer = nullptr});
  up.build({1, 4, 4, 3});
  for (const float v : up.bias()->span<float>()) EXPECT_EQ(v, 0);
  EXPECT_EQ(up.get_config().at("kernel_initializer").at("class_name").as_string(), "GlorotUniform");
  EXPECT_EQ(up.get_config().at("bias_initializer").at("class_name").as_string(), "Zeros");
}

TEST(Corners, InputShapeBuildsAtOnce) {
  const Conv2DTranspose up(2, 3, {.input_shape = Shape{4, 4, 3}});
  EXPECT_TRUE(up.built());
  EXPECT_EQ(up.serialize().at("build_config").json(), R"({"input_shape": [null, 4, 4, 3]})");
  const Conv2DTranspose dim = Conv2DTranspose::from_config(
      Config::dict({{"filters", 2}, {"kernel_size", 3}, {"data_format", "channels_first"}, {"input_dim", 5}}));
  EXPECT_EQ(dim.kernel().shape(), (Shape{3, 3, 2, 5}));
}

TEST(Corners, ATrainableFlagGatesLossesAndGradients) {
  Conv2DTranspose up(2, 3, {.kernel_regularizer = "l2", .activity_regularizer = "l2", .trainable = false});
  const Tensor x = ramp({2, 4, 4, 3});
  up.build(x.shape());
  EXPECT_EQ(up.losses().size(), 0u);
  EXPECT_EQ(up.evaluate_losses(x).size(), 1u);
  EXPECT_EQ(up.count_params(), 3 * 3 * 2 * 3 + 2);
  const auto [y, tape] = up.forward(x);
  EXPECT_EQ(up.backward(y, tape).kernel().shape(), (Shape{0}));
  up.set_trainable(true);
  EXPECT_EQ(up.losses().size(), 1u);
  EXPECT_EQ(up.backward(y, tape).kernel().shape(), (Shape{3, 3, 2, 3}));
}

TEST(Corners, TheActivityTermFollowsTheLossScale) {
  Conv2DTranspose up(2, 3, {.activity_regularizer = "l2"});
  const Tensor x = ramp({2, 4, 4, 3});
  up.build(x.shape());
  const auto [y, tape] = up.forward(x);
  const Tensor none(y.shape());
  const float plain = up.backward(none, tape).kernel().span<float>()[0];
  EXPECT_FLOAT_EQ(up.backward(none, tape, {.activity_scale = 8}).kernel().span<float>()[0], 8 * plain);
}

TEST(Corners, ACopyHasItsOwnWeights) {
  Conv2DTranspose up(2, 3);
  const Tensor x = ramp({1, 4, 4, 3});
  const std::vector<float> before = floats(up(x));
  Conv2DTranspose copy = up;
  EXPECT_EQ(copy.name(), up.name());
  copy.set_weights(std::vector{Tensor({3, 3, 2, 3}), Tensor({2})});
  EXPECT_EQ(floats(up(x)), before);
  EXPECT_EQ(floats(copy(x))[0], 0);
  const Conv2DTranspose moved = std::move(copy);
  EXPECT_EQ(floats(moved(x))[0], 0);
}

TEST(Corners, AnInputOfAnySizeAndTheCallersMemory) {
  Conv2DTranspose up(3, 4, {.strides = {2, 3}, .padding = "same", .activation = "softmax"});
  for (std::int64_t size = 1; size < 100; size += 7) {          // more shapes than plans are kept
    const Tensor x = ramp({1, size, 3, 2});
    const Tensor y = up(x);
    Tensor out(y.shape());
    up.call_into(x, out);
    EXPECT_EQ(floats(out), floats(y));
  }
  Tensor wrong({1, 2, 3, 4});
  EXPECT_THROW(up.call_into(ramp({1, 4, 3, 2}), wrong), ArgumentError);
}

TEST(Corners, DefaultsOfTheProcess) {
  set_default_data_format("Channels_First");
  set_default_dtype_policy("mixed_bfloat16");
  const Conv2DTranspose up(2, 3);
  EXPECT_EQ(up.options().data_format, "channels_first");
  EXPECT_EQ(up.dtype_policy().name, "mixed_bfloat16");
  set_default_data_format("");
  set_default_dtype_policy("");
  EXPECT_EQ(Conv2DTranspose(2, 3).options().data_format, "channels_last");
  EXPECT_EQ(Conv2DTranspose(2, 3).dtype_policy().name, "float32");
  EXPECT_EQ(default_epsilon(), 1e-7);
  EXPECT_THROW(set_default_data_format("junk"), ArgumentError);
  EXPECT_THROW(set_default_dtype_policy("junk"), ArgumentError);
  EXPECT_THROW(set_default_epsilon(-1), ArgumentError);
}

TEST(KerasJson, IsReadAsKerasReadsIt) {
  const nn::KerasJson all = nn::parse_keras_json(
      R"({"floatx": "float64", "epsilon": 1e-05, "backend": "jax", "image_data_format": "channels_first", "nested": {"a": [1, "]}", null]}})");
  EXPECT_EQ(all.floatx, "float64");
  EXPECT_EQ(all.epsilon, 1e-5);
  EXPECT_EQ(all.image_data_format, "channels_first");
}

TEST(KerasJson, WhatIsWrongLeavesTheDefault) {
  const nn::KerasJson odd = nn::parse_keras_json(R"({"floatx": "bfloat16", "epsilon": 1, "image_data_format": "Channels_Last"})");
  EXPECT_FALSE(odd.floatx || odd.epsilon || odd.image_data_format);
  for (const char* broken : {"", "{", "[]", R"({"floatx": "float64")", R"({"floatx": "float64",})", R"({"floatx" "float64"})",
                             R"({"floatx": "float64"} x)", R"({"floatx": "float64", "a": [1, 2})", "{\"floatx\": \"float64\\"})
    EXPECT_FALSE(nn::parse_keras_json(broken).floatx) << broken;
  EXPECT_FALSE(nn::parse_keras_json(std::string(100000, '[')).floatx);
  EXPECT_FALSE(nn::parse_keras_json(R"({"a": )" + std::string(100000, '[')).floatx);
}

}  // namespace
}  // namespace upconv
