// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "support/error_text.h"
#include "support/ramp.h"
#include "upconv/error.h"
#include "upconv/upconv.h"

namespace upconv {
namespace {

using test::ramp;

using test::argument_error;

TEST(Conv2DTranspose, ThePagesExample) {
  Conv2DTranspose up{32, 2, {.strides = 2, .activation = "relu"}};
  const Tensor y = up(ramp({4, 10, 8, 128}));
  EXPECT_EQ(y.shape(), (Shape{4, 20, 16, 32}));
  EXPECT_EQ(up.count_params(), 2 * 2 * 32 * 128 + 32);
}

TEST(Conv2DTranspose, ErrorsInKerasWords) {
  EXPECT_EQ(argument_error([] { Conv2DTranspose(0, 3); }),
            "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=0.");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, {2, 0}); }),
            "The `kernel_size` argument must be a tuple of 2 integers. Received kernel_size=(2, 0), including values {0} that do "
            "not satisfy `value > 0`");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.strides = 2, .dilation_rate = 2}); }),
            "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=(2, 2) and dilation_rate=(2, 2)");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.strides = {2, 3}, .output_padding = Size2{1, 3}}); }),
            "`output_padding` must be strictly less than `strides` for all dimensions. At dimension 1, `output_padding` is 3 but "
            "`strides` is 3. Received: output_padding=(1, 3), strides=(2, 3)");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.activation = "foo"}); }),
            "Could not interpret activation function identifier: foo");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.data_format = "junk"}); }),
            "The `data_format` argument must be one of {'channels_first', 'channels_last'}. Received: data_format=junk");
  EXPECT_EQ(argument_error([] { Conv2DTranspose(2, 3, {.name = "up"})(ramp({4, 4, 3})); }),
            "Input 0 with name 'None' of layer 'up' is incompatible with the layer: expected min_ndim=4, found ndim=3. Full shape "
            "received: (4, 4, 3)");
}

TEST(Conv2DTranspose, WrongWeightsNameBothShapesAndTheOtherLibrary) {
  Conv2DTranspose up(4, 3, {.name = "up"});
  up.build({Shape::unknown, 8, 8, 3});
  const Tensor bias({4});
  EXPECT_EQ(argument_error([&] { up.set_weights(std::vector{Tensor({3, 3, 4, 3})}); }),
            "You called `set_weights(weights)` on layer 'up' with a weight list of length 1, but the layer was expecting 2 weights.");
  EXPECT_NE(argument_error([&] { up.set_weights(std::vector{Tensor({3, 3, 3, 4}), bias}); }).find("Conv2D kernel"), std::string::npos);
  EXPECT_NE(argument_error([&] { up.set_weights(std::vector{Tensor({3, 4, 3, 3}), bias}); }).find("torch"), std::string::npos);
}

TEST(Conv2DTranspose, NamesAreNumberedAsKerasNumbersThem) {
  clear_session();
  EXPECT_EQ(Conv2DTranspose(1, 1).name(), "conv2d_transpose");
  EXPECT_EQ(Conv2DTranspose(1, 1, {.name = "mine"}).name(), "mine");
  EXPECT_EQ(Conv2DTranspose(1, 1).name(), "conv2d_transpose_1");
}

TEST(Conv2DTranspose, UnknownSizesPassThrough) {
  const Conv2DTranspose up(4, 3, {.strides = {3, 2}, .padding = "SAME", .output_padding = Size2{2, 0}});
  EXPECT_EQ(up.compute_output_shape({Shape::unknown, 5, 7, 3}), (Shape{Shape::unknown, 15, 13, 4}));
  EXPECT_EQ(up.compute_output_shape({Shape::unknown, Shape::unknown, 7, 3}), (Shape{Shape::unknown, Shape::unknown, 13, 4}));
}

TEST(Conv2DTranspose, NewWeightsAreSeenByTheNextCall) {
  Conv2DTranspose up(1, 1, {.use_bias = false, .kernel_initializer = "ones"});
  const Tensor x = ramp({1, 2, 2, 1});
  EXPECT_EQ(up(x).span<float>()[3], x.span<float>()[3]);
  up.set_weights(std::vector{Tensor::of<float>({1, 1, 1, 1}, {3.0f})});
  EXPECT_EQ(up(x).span<float>()[3], 3.0f * x.span<float>()[3]);
}

TEST(Conv2DTranspose, AConstLayerServesManyThreads) {
  Conv2DTranspose up(16, 4, {.strides = 2, .padding = "same", .activation = "gelu"});
  const Tensor x = ramp({2, 9, 7, 12});
  const Tensor expected = up(x);
  std::vector<std::thread> threads;
  std::vector<int> equal(8, 0);
  for (std::size_t i = 0; i < equal.size(); ++i)
    threads.emplace_back([&, i] {
      const Tensor y = std::as_const(up)(x);
      equal[i] = std::equal(y.span<float>().begin(), y.span<float>().end(), expected.span<float>().begin());
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, std::vector<int>(8, 1));
}

TEST(Conv2DTranspose, PlannedRunsGiveTheBitsOfTheCall) {
  Conv2DTranspose up(8, 3, {.strides = 2, .padding = "same", .activation = "relu"});
  const Tensor x = ramp({1, 6, 6, 5});
  const Tensor expected = up(x);
  const Conv2DTranspose::Plan plan = up.plan(x.shape(), {.threads = 1});
  Tensor y(plan.output_shape()), workspace({static_cast<std::int64_t>(plan.workspace_bytes()) / 4 + 16});
  const std::span<std::byte> bytes = std::as_writable_bytes(workspace.span<float>());
  plan.run(x, y, bytes);
  EXPECT_TRUE(std::equal(y.span<float>().begin(), y.span<float>().end(), expected.span<float>().begin()));
  EXPECT_THROW(plan.run(x, y, bytes.first(plan.workspace_bytes() / 2)), ArgumentError);
  EXPECT_THROW(plan.run(x, y, bytes.subspan(4)), ArgumentError);
  EXPECT_THROW(plan.run(ramp({1, 6, 5, 5}), y, bytes), ArgumentError);
  EXPECT_THROW(plan.run(x, workspace, bytes), ArgumentError);
}

TEST(Conv2DTranspose, TheOutputPaddingThatReachesASize) {
  for (std::int64_t target = 13; target <= 18; ++target) {
    const OutputPaddingAnswer answer = output_padding_for(7, target, 3, 2, Padding::same);
    if (!answer.possible) continue;
    EXPECT_EQ(conv_transpose_output_length(7, 3, 2, Padding::same, answer.value, 1), target);
  }
  EXPECT_TRUE(output_padding_for(7, 14, 3, 2, Padding::same).possible);
  EXPECT_TRUE(output_padding_for(7, 13, 3, 2, Padding::same).possible);
  EXPECT_FALSE(output_padding_for(7, 20, 3, 2, Padding::same).possible);
}

/// d/dx of sum(cotangent * y) along one element, against the analytic gradient.
TEST(Conv2DTranspose, GradientsAgreeWithCentralDifferences) {
  for (const char* activation : {"linear", "relu", "tanh", "softmax", "gelu", "glu"}) {
    Conv2DTranspose up(4, 3, {.strides = 2, .padding = "same", .activation = activation, .dtype = "float64"});
    const Tensor x = ramp({1, 3, 2, 3}).cast(DType::float64);
    const Tensor probe = up(x);
    const Tensor cotangent = ramp(probe.shape()).cast(DType::float64);
    const auto loss = [&](const Tensor& input) {
      const Tensor y = up(input);
      double total = 0;
      for (std::int64_t i = 0; i < y.elements(); ++i)
        total += y.data<double>()[i] * cotangent.data<double>()[i];
      return total;
    };
    auto [y, tape] = up.forward(x);
    const Gradients g = up.backward(cotangent, tape);
    constexpr double kStep = 1e-5;
    for (std::int64_t i = 0; i < x.elements(); ++i) {
      Tensor plus = x, minus = x;
      plus.data<double>()[i] += kStep, minus.data<double>()[i] -= kStep;
      EXPECT_NEAR(g.input().data<double>()[i], (loss(plus) - loss(minus)) / (2 * kStep), 1e-7) << activation;
    }
    const std::vector<Tensor> weights = up.get_weights();
    for (std::size_t w = 0; w < weights.size(); ++w)
      for (std::int64_t i = 0; i < weights[w].elements(); i += 5) {
        const auto moved = [&](double step) {
          std::vector<Tensor> other = weights;
          other[w].data<double>()[i] += step;
          up.set_weights(other);
          const double value = loss(x);
          up.set_weights(weights);
          return value;
        };
        EXPECT_NEAR(g.weights[w].data<double>()[i], (moved(kStep) - moved(-kStep)) / (2 * kStep), 1e-7) << activation;
      }
  }
}

TEST(Conv2DTranspose, CallsMeetTheOldWeightsOrTheNewWhileTheyAreSet) {
  Conv2DTranspose layer(32, 3, {.strides = 2, .padding = "same"});
  const Tensor x = ramp({1, 8, 8, 32});
  layer(x);
  const std::vector<Tensor> weights[] = {layer.get_weights(), {ramp({3, 3, 32, 32}), ramp({32})}};
  Tensor expected[2];
  for (int i : {1, 0}) layer.set_weights(weights[i]), expected[i] = layer(x);
  const auto is = [&](const Tensor& y, int i) { return std::memcmp(y.bytes(), expected[i].bytes(), y.byte_size()) == 0; };
  std::atomic<bool> done{false};
  std::atomic<int> calls{0}, torn{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 2; ++t)
    callers.emplace_back([&] {
      while (!done || calls < 100) {
        const Tensor y = std::as_const(layer)(x);
        ++calls, torn += !is(y, 0) && !is(y, 1);
      }
    });
  for (int i = 0; i < 200 || calls < 100; ++i) layer.set_weights(weights[i % 2]);
  done = true;
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(torn, 0);
  layer.set_weights(weights[1]);
  EXPECT_TRUE(is(layer(x), 1));
}

TEST(Conv2DTranspose, ThreadsThatCallItFirstBuildItOnce) {
  const Tensor x = ramp({1, 4, 4, 8});
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> built{0}, ready{0}, different{0};
    Conv2DTranspose layer(4, 3, {.kernel_initializer = Initializer([&](const Shape& shape, DType) { return ++built, ramp(shape); })});
    std::vector<std::thread> callers;
    for (int t = 0; t < 4; ++t)
      callers.emplace_back([&] {
        for (++ready; ready < 4;) std::this_thread::yield();
        const Tensor y = layer(x);
        different += std::memcmp(y.bytes(), std::as_const(layer)(x).bytes(), y.byte_size()) != 0;
      });
    for (std::thread& caller : callers) caller.join();
    EXPECT_EQ(built, 1);
    EXPECT_EQ(different, 0);
  }
}

}  // namespace
}  // namespace upconv
