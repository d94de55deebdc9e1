// SPDX-License-Identifier: Apache-2.0
// Projections: norms over any axes, epsilon, NaN, dtypes, and the caller's own. The golden set compares them with Keras.
#include "upconv/constraint.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/element.h"
#include "support/error_text.h"
#include "upconv/runtime.h"

namespace upconv {
namespace {

using namespace constraints;
using test::argument_error;

std::vector<double> projected(const Constraint& constraint, Tensor w) {
  constraint.project(w);
  std::vector<double> out;
  for (std::int64_t i = 0; i < w.elements(); ++i) out.push_back(base::read_element(w, i));
  return out;
}

Tensor ramp(const Shape& shape) {
  Tensor w(shape, DType::float64);
  double at = 0;
  for (double& v : w.span<double>()) v = 2 * std::sin(at += 0.9);
  return w;
}

/// The norm of the group of (a, b, c, d) when it runs over the axes that are true.
double norm_of(const std::vector<double>& w, const Shape& s, const std::vector<bool>& over, const std::vector<std::int64_t>& at) {
  double square = 0;
  std::size_t i = 0;
  for (std::int64_t a = 0; a < s[0]; ++a)
    for (std::int64_t b = 0; b < s[1]; ++b)
      for (std::int64_t c = 0; c < s[2]; ++c)
        for (std::int64_t d = 0; d < s[3]; ++d, ++i)
          if ((over[0] || a == at[0]) && (over[1] || b == at[1]) && (over[2] || c == at[2]) && (over[3] || d == at[3]))
            square += w[i] * w[i];
  return std::sqrt(square);
}

/// UnitNorm over every one of the 15 sets of axes, by negative numbers too: each group's norm becomes n / (n + epsilon).
TEST(Constraint, AnyAxes) {
  const Shape shape{2, 3, 2, 3};
  for (unsigned set = 1; set < 16; ++set) {
    std::vector<int> axes;
    std::vector<bool> over(4);
    for (int axis = 0; axis < 4; ++axis)
      if (set >> axis & 1) axes.push_back(set % 2 ? axis : axis - 4), over[static_cast<std::size_t>(axis)] = true;
    const std::vector<double> before = projected(Constraint(), ramp(shape)), after = projected(UnitNorm{Axis(axes)}, ramp(shape));
    for (const std::vector<std::int64_t>& at : {std::vector<std::int64_t>{0, 0, 0, 0}, std::vector<std::int64_t>{1, 2, 1, 2}}) {
      const double norm = norm_of(before, shape, over, at);
      EXPECT_NEAR(norm_of(after, shape, over, at), norm / (norm + 1e-7), 1e-14) << "axes " << set;
    }
  }
}

TEST(Constraint, NormsAreClipped) {
  const Tensor w = Tensor::of<double>({2, 3}, {3, 0.3, 0, 4, 0.4, 0});      // columns of norm 5, 0.5 and 0
  const double e = 1e-7;
  EXPECT_EQ(projected(MaxNorm{2, 0}, w), (std::vector<double>{3 * (2 / (e + 5)), 0.3 * (0.5 / (e + 0.5)), 0, 4 * (2 / (e + 5)),
                                                              0.4 * (0.5 / (e + 0.5)), 0}));
  EXPECT_EQ(projected(MinMaxNorm{1, 2, 1, 0}, w), (std::vector<double>{3 * (2 / (e + 5)), 0.3 * (1 / (e + 0.5)), 0, 4 * (2 / (e + 5)),
                                                                       0.4 * (1 / (e + 0.5)), 0}));
  const std::vector<double> half_way = projected(MinMaxNorm{1, 2, 0.5, 0}, w);
  EXPECT_NEAR(half_way[0], 3 * (3.5 / (e + 5)), 1e-15);
  EXPECT_NEAR(half_way[1], 0.3 * (0.75 / (e + 0.5)), 1e-15);
}

/// Kept, as in Keras: a negative maximum turns every weight round.
TEST(Constraint, NegativeMaximum) {
  EXPECT_EQ(projected(MaxNorm{-1, 0}, Tensor::of<double>({1}, {4})), (std::vector<double>{4 * (-1 / (1e-7 + 4))}));
}

TEST(Constraint, EpsilonIsTheProcessWideOne) {
  set_default_epsilon(1);
  EXPECT_EQ(projected(UnitNorm{0}, Tensor::of<double>({1}, {3})), (std::vector<double>{0.75}));
  set_default_epsilon(0);
  EXPECT_EQ(projected(UnitNorm{0}, Tensor::of<double>({1}, {3})), (std::vector<double>{3 * (1 / (1e-7 + 3))}));
}

TEST(Constraint, NonNegKeepsNan) {
  const std::vector<double> w = projected(NonNeg{}, Tensor::of<double>({4}, {-1, 0, 2, std::nan("")}));
  EXPECT_EQ((std::vector<double>{w[0], w[1], w[2]}), (std::vector<double>{0, 0, 2}));
  EXPECT_TRUE(std::isnan(w[3]));
}

TEST(Constraint, HalfTypesAreRoundedOnce) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    const double third = base::rounded(1.0 / 3, dtype);
    const std::vector<double> w = projected(UnitNorm{0}, Tensor::of<double>({2}, {third, third}).cast(dtype));
    EXPECT_EQ(w[0], base::rounded(std::sqrt(0.5), dtype));
    EXPECT_EQ(w[1], w[0]);
  }
}

TEST(Constraint, AxesAreCheckedWhenApplied) {
  const Constraint constraint = MaxNorm{.max_value = 1, .axis = 4};
  EXPECT_NE(argument_error([&] { projected(constraint, Tensor({3, 3, 2, 3})); }), "no error");
  EXPECT_TRUE(projected(constraint, Tensor({1, 1, 1, 1, 2})).size() == 2);
}

TEST(Constraint, TheCallersOwn) {
  const Constraint halve(std::function<void(TensorView)>([](TensorView w) {
    for (double& v : w.span<double>()) v /= 2;
  }), "halve");
  EXPECT_EQ(projected(halve, Tensor::of<double>({2}, {2, 4})), (std::vector<double>{1, 2}));
  EXPECT_EQ(argument_error([&] { halve.config(); }), "The constraint 'halve' has no form in a Keras configuration.");
}

}  // namespace
}  // namespace upconv
