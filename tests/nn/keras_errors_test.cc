// SPDX-License-Identifier: Apache-2.0
// Every invalid argument of the layer is refused, in Keras's order and, where Keras's words are stable, in its words.
#include <gtest/gtest.h>

#include <cmath>

#include "support/error_text.h"
#include "upconv/error.h"
#include "upconv/upconv.h"

namespace upconv {
namespace {

using test::argument_error;

Config list(std::initializer_list<Config> items) { return Config::list(items); }

/// filters=2, kernel_size=3, and the given arguments over them.
Config arguments(const std::vector<Config::Item>& given) {
  Config config = Config::dict({{"filters", 2}, {"kernel_size", 3}});
  for (const auto& [key, value] : given) config.set(key, value);
  return config;
}

std::string constructor_error(const std::vector<Config::Item>& given) {
  return argument_error([&] { Conv2DTranspose::from_config(arguments(given)); });
}

struct Wrong {
  std::vector<Config::Item> given;
  const char* text;
};

const Wrong kConstructor[] = {
    {{{"filters", 0}}, "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=0."},
    {{{"filters", -1}}, "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=-1."},
    {{{"filters", 1.5}}, "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=1.5."},
    {{{"filters", true}}, "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=True."},
    {{{"filters", nullptr}}, "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=None."},
    {{{"filters", "a"}}, "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=a."},
    {{{"kernel_size", 0}},
     "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=0, including values {0} that do not satisfy `value > 0`"},
    {{{"kernel_size", -2}},
     "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=-2, including values {-2} that do not satisfy `value > 0`"},
    {{{"kernel_size", list({2, 0})}},
     "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=(2, 0), including values {0} that do not satisfy `value > 0`"},
    {{{"kernel_size", list({2, 2, 2})}}, "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=(2, 2, 2)"},
    {{{"kernel_size", 3.5}}, "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=3.5"},
    {{{"kernel_size", list({2.5, 3})}}, "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=(2.5, 3)"},
    {{{"kernel_size", list({true, 2})}}, "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=(True, 2)"},
    {{{"kernel_size", nullptr}}, "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=None"},
    {{{"kernel_size", "a"}}, "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=a"},
    {{{"strides", 0}},
     "The `strides` argument must be a tuple of 2 integers. Received strides=0, including values {0} that do not satisfy `value > 0`"},
    {{{"strides", list({1, 0})}},
     "The `strides` argument must be a tuple of 2 integers. Received strides=(1, 0), including values {0} that do not satisfy `value > 0`"},
    {{{"strides", list({1, 1, 1})}}, "The `strides` argument must be a tuple of 2 integers. Received strides=(1, 1, 1)"},
    {{{"dilation_rate", list({1, -1})}},
     "The `dilation_rate` argument must be a tuple of 2 integers. Received dilation_rate=(1, -1), including values {-1} that do not satisfy `value > 0`"},
    {{{"strides", 2}, {"dilation_rate", 2}},
     "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=(2, 2) and dilation_rate=(2, 2)"},
    {{{"strides", list({2, 1})}, {"dilation_rate", list({1, 2})}},
     "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=(2, 1) and dilation_rate=(1, 2)"},
    {{{"padding", "foo"}}, "The `padding` argument must be one of 'valid', 'same'. Received: foo"},
    {{{"padding", list({1, 1})}}, "The `padding` argument must be one of 'valid', 'same'. Received: (1, 1)"},
    {{{"padding", nullptr}}, "The `padding` argument must be one of 'valid', 'same'. Received: None"},
    {{{"data_format", "junk"}},
     "The `data_format` argument must be one of {'channels_first', 'channels_last'}. Received: data_format=junk"},
    {{{"data_format", 1}}, "The `data_format` argument must be one of {'channels_first', 'channels_last'}. Received: data_format=1"},
    {{{"activation", "foo"}}, "Could not interpret activation function identifier: foo"},
    {{{"activation", 3}}, "Could not interpret activation function identifier: 3"},
    {{{"kernel_initializer", "foo"}}, "Could not interpret initializer identifier: foo"},
    {{{"bias_initializer", 3}}, "Could not interpret initializer identifier: 3"},
    {{{"kernel_regularizer", "foo"}}, "Could not interpret regularizer identifier: foo"},
    {{{"activity_regularizer", 0.01}}, "Could not interpret regularizer identifier: 0.01"},
    {{{"kernel_constraint", "foo"}}, "Could not interpret constraint identifier: foo"},
    {{{"bias_constraint", 2.0}}, "Could not interpret constraint identifier: 2.0"},
    {{{"strides", 2}, {"output_padding", 2}},
     "`output_padding` must be strictly less than `strides` for all dimensions. At dimension 0, `output_padding` is 2 but `strides` is 2. "
     "Received: output_padding=(2, 2), strides=(2, 2)"},
    {{{"strides", list({2, 3})}, {"output_padding", list({1, 3})}},
     "`output_padding` must be strictly less than `strides` for all dimensions. At dimension 1, `output_padding` is 3 but `strides` is 3. "
     "Received: output_padding=(1, 3), strides=(2, 3)"},
    {{{"output_padding", -1}},
     "The `output_padding` argument must be a tuple of 2 integers. Received output_padding=-1, including values {-1} that do not satisfy `value >= 0`"},
    {{{"output_padding", list({1, 1, 1})}}, "The `output_padding` argument must be a tuple of 2 integers. Received output_padding=(1, 1, 1)"},
    {{{"foo", 1}}, "Unrecognized keyword arguments passed to Conv2DTranspose: {'foo': 1}"},
    {{{"groups", 1}}, "Unrecognized keyword arguments passed to Conv2DTranspose: {'groups': 1}"},
    {{{"dtype", "foo"}},
     "Cannot convert 'foo' to a mixed precision DTypePolicy. Valid policies include 'mixed_float16', 'mixed_bfloat16', and the name of "
     "any float dtype such as 'float32'."},
    {{{"dtype", 3}}, "Cannot interpret `dtype` argument. Expected a string or an instance of DTypePolicy. Received: dtype=3"},
    {{{"trainable", 1}}, "Expected `trainable` to be a boolean. Received: trainable=1 (of type <class 'int'>)"},
    {{{"name", "a/b"}}, "Argument `name` must be a string and cannot contain character `/`. Received: name=a/b (of type <class 'str'>)"},
    {{{"name", 3}}, "Argument `name` must be a string and cannot contain character `/`. Received: name=3 (of type <class 'int'>)"},
};

TEST(KerasErrors, Constructor) {
  for (const Wrong& wrong : kConstructor) EXPECT_EQ(constructor_error(wrong.given), wrong.text);
}

TEST(KerasErrors, RefusedWithAHint) {
  EXPECT_EQ(constructor_error({{"activation", "ReLU"}}), "Could not interpret activation function identifier: ReLU Did you mean 'relu'?");
  EXPECT_NE(constructor_error({{"dtype", "int32"}}), "no error");
  EXPECT_NE(constructor_error({{"use_bias", "no"}}), "no error");
  EXPECT_NE(constructor_error({{"kernel_regularizer", "l1_l2"}}), "no error");
  EXPECT_EQ(argument_error([] { Conv2DTranspose::from_config(Config::dict({{"kernel_size", 3}})); }),
            "Conv2DTranspose.__init__() missing 1 required positional argument: 'filters'");
  EXPECT_EQ(argument_error([] { Conv2DTranspose::from_config(Config::dict({{"filters", 3}})); }),
            "Conv2DTranspose.__init__() missing 1 required positional argument: 'kernel_size'");
}

TEST(KerasErrors, TheFirstOfSeveralIsKerass) {
  EXPECT_EQ(constructor_error({{"filters", 0}, {"kernel_size", 0}, {"strides", 0}, {"padding", "foo"}}).substr(0, 17), "The `kernel_size`");
  EXPECT_EQ(constructor_error({{"filters", 0}, {"activation", "foo"}, {"padding", "foo"}}).substr(0, 13), "The `padding`");
  EXPECT_EQ(constructor_error({{"filters", 0}, {"activation", "foo"}}).substr(0, 26), "Could not interpret activa");
  EXPECT_EQ(constructor_error({{"filters", 0}, {"strides", 2}, {"output_padding", 2}}).substr(0, 32), "Invalid value for argument `filt");
  EXPECT_EQ(constructor_error({{"strides", 2}, {"output_padding", 2}, {"dilation_rate", 2}}).substr(0, 16), "`output_padding`");
}

TEST(KerasErrors, Build) {
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.name = "up"}).build({1, 4, 4, Shape::unknown}); }),
            "Shapes used to initialize variables must be fully-defined (no `None` dimensions). Received: shape=(3, 3, 2, None) for "
            "variable path='up/kernel'");
  EXPECT_EQ(argument_error([] {
              Conv2DTranspose up(2, 3);
              up.build({1, 4, 4, 3});
              up.build({1, 4, 4, 3});
            }),
            "You cannot add new elements of state (variables or sub-layers) to a layer that is already built. All state must be created "
            "in the `__init__()` method or in the `build()` method.");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.kernel_initializer = "identity"}).build({1, 4, 4, 3}); }),
            "Identity matrix initializer can only be used for 2D matrices. Received: shape=(3, 3, 2, 3) of rank 4.");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.kernel_initializer = Tensor({1, 1})}).build({1, 4, 4, 3}); }),
            "Expected `shape` to be (1, 1) for direct tensor as initializer. Received shape=(3, 3, 2, 3)");
  for (const Shape& shape : {Shape{3}, Shape{4, 4, 3}, Shape{1, 4, 4, 4, 3}})
    EXPECT_NE(argument_error([&] { Conv2DTranspose(2, 3).build(shape); }), "no error");
  Conv2DTranspose regularised(2, 3, {.kernel_regularizer = "orthogonal_regularizer"});
  regularised.build({1, 4, 4, 3});
  EXPECT_EQ(argument_error([&] { regularised.losses(); }),
            "Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape=(3, 3, 2, 3)");
}

TEST(KerasErrors, Call) {
  Conv2DTranspose up(2, 3, {.name = "up"});
  const std::string incompatible = "Input 0 with name 'None' of layer 'up' is incompatible with the layer: ";
  EXPECT_EQ(argument_error([&] { up(Tensor({4, 3})); }), incompatible + "expected min_ndim=4, found ndim=2. Full shape received: (4, 3)");
  EXPECT_FALSE(up.built());
  up.build({1, 4, 4, 3});
  EXPECT_EQ(argument_error([&] { up(Tensor({1, 4, 4, 4, 3})); }),
            incompatible + "expected ndim=4, found ndim=5. Full shape received: (1, 4, 4, 4, 3)");
  EXPECT_EQ(argument_error([&] { up(Tensor({1, 4, 4, 5})); }),
            incompatible + "expected axis -1 of input shape to have value 3, but received input with shape (1, 4, 4, 5)");
  EXPECT_EQ(argument_error([&] { up.plan({1, 4, 4, 5}); }),
            incompatible + "expected axis -1 of input shape to have value 3, but received input with shape (1, 4, 4, 5)");
  Conv2DTranspose first(2, 3, {.data_format = "channels_first", .name = "up"});
  first.build({1, 3, 4, 4});
  EXPECT_EQ(argument_error([&] { first(Tensor({1, 5, 4, 4})); }),
            incompatible + "expected axis 1 of input shape to have value 3, but received input with shape (1, 5, 4, 4)");
  const std::vector<ConstTensorView> two(2);
  EXPECT_EQ(argument_error([&] { up.call(two, {}); }), "Layer \"up\" expects 1 input(s), but it received 2 input tensors.");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(3, 3, {.activation = "glu"})(Tensor({1, 4, 4, 3})); }).substr(0, 34),
            "axis size must be divisible by 2. ");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(3, 3, {.activation = "threshold"})(Tensor({1, 4, 4, 3})); }),
            "threshold() missing 2 required positional arguments: 'threshold' and 'default_value'");
  EXPECT_NE(argument_error([] { Conv2DTranspose(3, 3, {.autocast = false})(Tensor({1, 4, 4, 3}, DType::float16)); }), "no error");
}

TEST(KerasErrors, State) {
  const Conv2DTranspose up(2, 3, {.name = "up"});
  EXPECT_THROW(up.kernel(), StateError);
  EXPECT_THROW(up.bias(), StateError);
  EXPECT_THROW(up(Tensor({1, 4, 4, 3})), StateError);
  EXPECT_THROW(up.plan({1, 4, 4, 3}), StateError);
  try {
    up.count_params();
    FAIL();
  } catch (const StateError& e) {
    EXPECT_STREQ(e.what(), "You tried to call `count_params` on layer 'up', but the layer isn't built. You can build it manually via: "
                           "`layer.build(input_shape)`.");
  }
}

TEST(KerasErrors, Weights) {
  Conv2DTranspose up(4, 3, {.name = "up"});
  up.build({1, 4, 4, 3});
  const Tensor bias({4});
  EXPECT_EQ(argument_error([&] { up.set_weights(std::vector{Tensor({3, 3, 1, 3}), bias}); }),
            "Layer up weight shape (3, 3, 4, 3) is not compatible with provided weight shape (3, 3, 1, 3).");
  EXPECT_EQ(argument_error([&] { up.set_weights(std::vector{Tensor({3, 3, 3, 4}), bias}); }),
            "Layer up weight shape (3, 3, 4, 3) is not compatible with provided weight shape (3, 3, 3, 4). The given shape is that of a "
            "Conv2D kernel, (kh, kw, in, out): exchange its last two axes.");
  EXPECT_EQ(argument_error([&] { up.assign(0, Tensor({1, 1, 4, 3})); }),
            "The shape of the target variable and the shape of the target value in `variable.assign(value)` must match. "
            "variable.shape=(3, 3, 4, 3), Received: value.shape=(1, 1, 4, 3). Target variable: up/kernel");
  const std::vector<Tensor> before = up.get_weights();
  Tensor other(before[0].shape());
  EXPECT_NE(argument_error([&] { up.set_weights(std::vector{other, Tensor({5})}); }), "no error");
  EXPECT_EQ(up.get_weights()[0].span<float>()[0], before[0].span<float>()[0]) << "all or nothing";
}

}  // namespace
}  // namespace upconv
