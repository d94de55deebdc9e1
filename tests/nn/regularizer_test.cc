// SPDX-License-Identifier: Apache-2.0
// Penalties and their gradients, in every dtype; gradients against central differences in float64.
#include "upconv/regularizer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/element.h"
#include "support/error_text.h"

namespace upconv {
namespace {

using namespace regularizers;
using test::argument_error;

Tensor weights(const Shape& shape, DType dtype = DType::float64) {
  Tensor w(shape, DType::float64);
  double at = 0;
  for (double& v : w.span<double>()) v = std::sin(at += 1.3) + 0.1;
  return w.cast(dtype);
}

TEST(Regularizer, Penalties) {
  const Tensor w = Tensor::of<double>({2, 2}, {1, -2, 3, -4});
  EXPECT_EQ(Regularizer(L1{0.5})->penalty(w), 5);
  EXPECT_EQ(Regularizer(L2{0.5})->penalty(w), 15);
  EXPECT_EQ(Regularizer(L1L2{0.5, 0.25})->penalty(w), 12.5);
  EXPECT_EQ(Regularizer("l1l2")->penalty(w), 0);
  // Rows (1, -2) and (3, -4): cosine 11 / (sqrt 5 * 5), one pair, counted twice and halved.
  EXPECT_NEAR(Regularizer(OrthogonalRegularizer{0.5, "rows"})->penalty(w), 0.5 * 11 / (5 * std::sqrt(5.0)), 1e-15);
  EXPECT_NEAR(Regularizer(OrthogonalRegularizer{0.5, "columns"})->penalty(w), 0.5 * 14 / std::sqrt(10.0 * 20), 1e-15);
  EXPECT_EQ(Regularizer(L2{1})->penalty(Tensor(Shape{0, 3})), 0);
}

/// The factor and the penalty are held in the variable's dtype: Keras's example, 0.16 in float16.
TEST(Regularizer, PenaltiesAreRoundedToTheDType) {
  const Tensor ones = Tensor::of<float>({4, 4}, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1});
  EXPECT_EQ(Regularizer(L2{0.01})->penalty(ones.cast(DType::float16)), 0.1600341796875);
  EXPECT_EQ(Regularizer(L2{0.01})->penalty(ones), static_cast<double>(static_cast<float>(static_cast<double>(0.01f) * 16)));
  EXPECT_EQ(Regularizer(L1{0.01})->penalty(ones.cast(DType::bfloat16)), base::rounded(16 * base::rounded(0.01, DType::bfloat16), DType::bfloat16));
}

/// A sum of many small squares loses nothing: 2^22 times (2^-12)^2 is exactly 1/4.
TEST(Regularizer, LongSumsAreExact) {
  Tensor w({1 << 22});
  for (float& v : w.span<float>()) v = 0x1p-12f;
  EXPECT_EQ(Regularizer(L2{1})->penalty(w), 0.25);
  EXPECT_EQ(Regularizer(L1{1})->penalty(w), 1024);
}

TEST(Regularizer, GradientsAgreeWithCentralDifferences) {
  for (const Regularizer& r : {Regularizer(L1{0.3}), Regularizer(L2{0.3}), Regularizer(L1L2{0.2, 0.1}),
                               Regularizer(OrthogonalRegularizer{0.7, "rows"}), Regularizer(OrthogonalRegularizer{0.7, "columns"})}) {
    Tensor w = weights({3, 4});
    Tensor dw({3, 4}, DType::float64);
    for (double& v : dw.span<double>()) v = 10;                  // added to, not overwritten
    r->add_gradient(w, 2, dw);
    for (std::size_t i = 0; i < 12; ++i) {
      constexpr double h = 1e-6;
      double& v = w.span<double>()[i];
      const double kept = v;
      v = kept + h;
      const double above = r->penalty(w);
      v = kept - h;
      const double below = r->penalty(w);
      v = kept;
      EXPECT_NEAR(dw.span<double>()[i], 10 + 2 * (above - below) / (2 * h), 1e-8) << r.config().json() << " element " << i;
    }
  }
}

TEST(Regularizer, SlopeOfTheAbsoluteValueAtZeroIsZero) {
  const Tensor w = Tensor::of<float>({2}, {0.0f, -0.0f});
  Tensor dw({2});
  Regularizer(L1{1})->add_gradient(w, 1, dw);
  EXPECT_EQ(dw.data<float>()[0], 0);
  EXPECT_EQ(dw.data<float>()[1], 0);
}

TEST(Regularizer, OrthogonalTakesMatricesOnly) {
  EXPECT_EQ(argument_error([] { Regularizer("orthogonal_regularizer")->penalty(Tensor({3, 3, 2, 3})); }),
            "Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape=(3, 3, 2, 3)");
  Tensor dw({3, 3, 2, 3});
  EXPECT_EQ(argument_error([&] { Regularizer("orthogonal_regularizer")->add_gradient(dw, 1, dw); }),
            "Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape=(3, 3, 2, 3)");
}

}  // namespace
}  // namespace upconv
