// SPDX-License-Identifier: Apache-2.0
// Softmax, log_softmax, glu and sparsemax: properties over any axes, large and special values, dtypes, empty tensors, and
// gradients against central differences in float64. The golden set compares values with Keras.
#include "ops/axis_activation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <vector>

namespace upconv::ops {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor waves(const Shape& shape, double scale = 1) {
  Tensor x(shape, DType::float64);
  double at = 0;
  for (double& v : x.span<double>()) v = scale * std::sin(at += 1.7);
  return x;
}

using Forward = std::function<void(ConstTensorView, TensorView)>;
/// dx from x, y and dy.
using Backward = std::function<void(ConstTensorView, ConstTensorView, ConstTensorView, TensorView)>;

void expect_gradient(const Shape& shape, const Shape& output, const Forward& forward, const Backward& backward) {
  Tensor x = waves(shape), y(output, DType::float64), dx(shape, DType::float64);
  const Tensor dy = waves(output, 0.7);
  forward(x, y);
  backward(x, y, dy, dx);
  const auto loss = [&] {
    forward(x, y);
    double total = 0;
    for (std::size_t i = 0; i < y.span<double>().size(); ++i) total += y.span<double>()[i] * dy.span<double>()[i];
    return total;
  };
  for (std::size_t i = 0; i < x.span<double>().size(); ++i) {
    constexpr double h = 1e-6;
    double& v = x.span<double>()[i];
    const double kept = v;
    v = kept + h;
    const double above = loss();
    v = kept - h;
    const double below = loss();
    v = kept;
    EXPECT_NEAR(dx.span<double>()[i], (above - below) / (2 * h), 1e-8) << "element " << i;
  }
}

TEST(AxisActivation, GradientsAgreeWithCentralDifferences) {
  const Shape shape{2, 3, 4};
  for (const std::vector<int>& axes : {std::vector<int>{2}, {0}, {1, 2}, {0, 1, 2}}) {
    expect_gradient(shape, shape, [&](auto x, auto y) { softmax(x, y, axes); },
                    [&](auto, auto y, auto dy, auto dx) { softmax_gradient(y, dy, dx, axes); });
    expect_gradient(shape, shape, [&](auto x, auto y) { log_softmax(x, y, axes); },
                    [&](auto, auto y, auto dy, auto dx) { log_softmax_gradient(y, dy, dx, axes); });
  }
  expect_gradient(shape, {2, 3, 2}, [](auto x, auto y) { glu(x, y, 2); }, [](auto x, auto, auto dy, auto dx) { glu_gradient(x, dy, dx, 2); });
  expect_gradient(shape, {1, 3, 4}, [](auto x, auto y) { glu(x, y, 0); }, [](auto x, auto, auto dy, auto dx) { glu_gradient(x, dy, dx, 0); });
  for (const int axis : {0, 1, 2})
    expect_gradient(shape, shape, [&](auto x, auto y) { sparsemax(x, y, axis); },
                    [&](auto x, auto, auto dy, auto dx) { sparsemax_gradient(x, dy, dx, axis); });
}

TEST(AxisActivation, SoftmaxSumsToOneOverItsAxes) {
  const Tensor x = waves({2, 3, 5}, 30);
  Tensor y({2, 3, 5}, DType::float64), logs({2, 3, 5}, DType::float64);
  const std::vector<int> axes = {0, 2};
  softmax(x, y, axes);
  log_softmax(x, logs, axes);
  for (std::size_t b = 0; b < 3; ++b) {
    double total = 0;
    for (std::size_t a = 0; a < 2; ++a)
      for (std::size_t c = 0; c < 5; ++c) {
        const std::size_t at = (a * 3 + b) * 5 + c;
        total += y.span<double>()[at];
        EXPECT_NEAR(logs.span<double>()[at], std::log(y.span<double>()[at]), 1e-13 * 60);
      }
    EXPECT_NEAR(total, 1, 1e-15 * 10);
  }
}

TEST(AxisActivation, LargeAndSpecialValues) {
  const std::vector<int> last = {0};
  const auto of = [&](std::initializer_list<double> values, auto f) {
    const Tensor x = Tensor::of<double>({static_cast<std::int64_t>(values.size())}, values);
    Tensor y(x.shape(), DType::float64);
    f(x, y, last);
    return std::vector<double>(y.span<double>().begin(), y.span<double>().end());
  };
  EXPECT_EQ(of({1e300, 1e300}, softmax), (std::vector<double>{0.5, 0.5}));
  EXPECT_EQ(of({-1e5, 0}, softmax), (std::vector<double>{0, 1}));
  EXPECT_EQ(of({-1e5, 0}, log_softmax), (std::vector<double>{-1e5, 0}));
  EXPECT_EQ(of({-kInfinity, 3}, softmax), (std::vector<double>{0, 1}));
  EXPECT_EQ(of({7}, softmax), (std::vector<double>{1}));
  for (const double v : of({1, std::nan(""), 2}, softmax)) EXPECT_TRUE(std::isnan(v));
  for (const double v : of({kInfinity, 0}, softmax)) EXPECT_TRUE(std::isnan(v) || v == 0);
}

/// One rounding at the end: the half types are the rounded float64 result of the same half-typed input.
TEST(AxisActivation, HalfTypesAreRoundedOnce) {
  const std::vector<int> axes = {1};
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const Tensor x = waves({4, 7}, 3).cast(dtype);
    Tensor y({4, 7}, dtype), wide({4, 7}, DType::float64);
    softmax(x, y, axes);
    softmax(x.cast(DType::float64), wide, axes);
    const Tensor expected = wide.cast(DType::float32).cast(dtype);
    EXPECT_EQ(std::memcmp(y.bytes(), expected.bytes(), y.byte_size()), 0) << name_of(dtype);
  }
}

TEST(AxisActivation, EmptyTensors) {
  const std::vector<int> axes = {1};
  for (const Shape& shape : {Shape{0, 4}, Shape{4, 0}}) {
    Tensor x(shape), y(shape);
    softmax(x, y, axes);
    log_softmax(x, y, axes);
    sparsemax(x, y, 1);
    softmax_gradient(x, x, y, axes);
    EXPECT_EQ(y.elements(), 0);
  }
  Tensor half(Shape{0, 2});
  glu(Tensor(Shape{0, 4}), half, 1);
}

}  // namespace
}  // namespace upconv::ops
