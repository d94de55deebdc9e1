// SPDX-License-Identifier: Apache-2.0
// Every loss, reduction and kind of sample weights beside real Keras; pieces of a batch; gradients by differences.
#include <gtest/gtest.h>

#include <cmath>

#include "base/element.h"
#include "support/error_text.h"
#include "support/golden.h"
#include "upconv/error.h"
#include "upconv/loss.h"

namespace upconv {
namespace {

using test::Json;

/// A case's loss: Keras's configuration holds all but Huber's delta and CosineSimilarity's axis, which Keras forgets.
Loss loss_of(const Json& c) {
  Config config = test::to_config(c.at("config"));
  const Config args = test::to_config(c.at("args"));
  for (const auto& [key, value] : args.as_dict()) config.set(key, value);
  return Loss::from_config(Config::dict({{"class_name", c.at("class").get<std::string>()}, {"config", std::move(config)}}));
}

/// Float32 arithmetic in another order: a few units in the last place of the largest number involved.
void near(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.elements(), expected.elements());
  double largest = 0;
  for (std::int64_t i = 0; i < expected.elements(); ++i) largest = std::max(largest, std::abs(base::read_element(expected, i)));
  for (std::int64_t i = 0; i < expected.elements(); ++i)
    EXPECT_NEAR(base::read_element(actual, i), base::read_element(expected, i), 2e-6 * largest) << "element " << i;
}

TEST(GoldenLosses, ValueAndGradientAsKeras) {
  const Json& group = test::golden_index().at("losses");
  const std::string file = group.at("file").get<std::string>();
  int followed = 0, refused = 0;
  for (const Json& c : group.at("cases")) {
    SCOPED_TRACE(c.at("id").get<std::string>() + " " + c.at("class").get<std::string>() + " " + c.at("args").dump() + " " + c.at("reduction").dump() +
                 " " + c.at("sample_weight").dump());
    if (c.contains("error")) {               // Keras refuses these weights, and so do we
      EXPECT_THROW(Loss(losses::CosineSimilarity{1})(Tensor({2, 3, 4, 3}), Tensor({2, 3, 4, 3}), std::make_unique<Tensor>(Shape{2, 3, 4}).get()), ArgumentError);
      ++refused;
      continue;
    }
    const auto array = [&](const char* key) -> const Tensor& { return test::golden_array(file, c.at("arrays").at(key).get<std::string>()); };
    const Tensor* weight = c.at("arrays").contains("sample_weight") ? &array("sample_weight") : nullptr;
    const Loss loss = loss_of(c);
    const Loss::Evaluation e = loss.evaluate(array("y_true"), array("y_pred"), weight);
    near(e.gradient, array("grad"));
    near(c.at("reduction") == "none" ? loss.values(array("y_true"), array("y_pred"), weight) : Tensor::of<double>({1}, {e.value}), array("value"));
    const bool keras_forgets = c.at("args").contains("delta") || (c.at("class") == "CosineSimilarity" && c.at("args").contains("axis"));
    EXPECT_EQ(keras_forgets, loss.get_config().json() != test::to_config(c.at("config")).json());
    EXPECT_EQ(Loss::from_config(loss.serialize()).get_config(), loss.get_config());
    ++followed;
  }
  EXPECT_EQ(followed, 316);
  EXPECT_EQ(refused, 8);
}

Tensor numbers(const Shape& shape, double scale, double offset) {
  Tensor t(shape);
  for (std::int64_t i = 0; i < t.elements(); ++i) base::write_element(t, i, offset + scale * std::sin(1.7 * static_cast<double>(i) + 0.3));
  return t;
}

Tensor rows(const Tensor& t, std::int64_t from, std::int64_t to) {
  Shape shape = t.shape();
  const std::int64_t row = t.elements() / shape[0];
  shape[0] = to - from;
  return Tensor::copy_of({static_cast<const float*>(t.bytes()) + from * row, shape});
}

TEST(Loss, PiecesOfABatchAddUpToTheBatch) {
  const Tensor t = numbers({5, 3, 2}, 0.4, 0.5), p = numbers({5, 3, 2}, 0.3, 0.5), w = numbers({5, 1}, 1, 2);
  for (const Reduction reduction : {Reduction::sum_over_batch_size, Reduction::sum, Reduction::mean_with_sample_weight}) {
    const Loss loss(losses::BinaryCrossentropy{}, reduction);
    const Loss::Evaluation whole = loss.evaluate(t, p, &w);
    double value = 0, denominator = 0;
    const std::pair<std::int64_t, std::int64_t> pieces[] = {{0, 2}, {2, 2}, {2, 5}};
    const auto part = [&](auto f) {
      for (const auto& [from, to] : pieces) {
        const Tensor pt = rows(t, from, to), pp = rows(p, from, to), pw = rows(w, from, to);
        f(from, pt, pp, pw);
      }
    };
    part([&](std::int64_t, const Tensor& pt, const Tensor& pp, const Tensor& pw) { denominator += loss.denominator(pt, pp, &pw); });
    if (reduction == Reduction::sum) denominator = 1;
    part([&](std::int64_t from, const Tensor& pt, const Tensor& pp, const Tensor& pw) {
      const Loss::Evaluation e = loss.evaluate(pt, pp, &pw, denominator);
      value += e.value;
      for (std::int64_t i = 0; i < e.gradient.elements(); ++i)
        EXPECT_FLOAT_EQ(e.gradient.data<float>()[i], whole.gradient.data<float>()[from * 6 + i]);
    });
    EXPECT_NEAR(value, whole.value, 1e-12 * std::abs(whole.value) + 1e-12);
  }
}

TEST(Loss, GradientsAreDifferenceQuotients) {
  const Tensor t = numbers({2, 3, 4}, 0.4, 0.5).cast(DType::float64), p = numbers({2, 3, 4}, 0.35, 0.45).cast(DType::float64);
  const LossFunction functions[] = {losses::MeanSquaredError{}, losses::Huber{0.2}, losses::LogCosh{}, losses::BinaryFocalCrossentropy{.apply_class_balancing = true},
                                    losses::CategoricalCrossentropy{}, losses::CategoricalFocalCrossentropy{.from_logits = true}, losses::KLDivergence{},
                                    losses::CosineSimilarity{1}, losses::Tversky{0.3, 0.7, std::vector<int>{1, 2}}, losses::Dice{}, losses::Poisson{}};
  for (const LossFunction& function : functions) {
    const Loss loss(function);
    SCOPED_TRACE(loss.name());
    const Tensor g = loss.evaluate(t, p, nullptr, 0, 3).gradient;
    for (std::int64_t i = 0; i < p.elements(); i += 5) {
      constexpr double h = 1e-6;
      Tensor up = p, down = p;
      up.data<double>()[i] += h, down.data<double>()[i] -= h;
      EXPECT_NEAR(g.data<double>()[i], 3 * (loss(t, up) - loss(t, down)) / (2 * h), 1e-7);
    }
  }
}

TEST(Loss, EmptyBatchesNamesAndErrors) {
  EXPECT_EQ(Loss("mse")(Tensor({0, 4}), Tensor({0, 4})), 0);
  EXPECT_EQ(Loss("MSE").class_name(), "MeanSquaredError");
  EXPECT_EQ(Loss("MeanSquaredError").name(), "mean_squared_error");
  EXPECT_TRUE(std::isnan(Loss("mae")(Tensor({1, 1}), Tensor::of<float>({1, 1}, {NAN}))));
  EXPECT_FALSE(Loss(losses::Dice{}).separable());
  EXPECT_TRUE(Loss(losses::Dice{std::vector<int>{1, 2}}).separable());
  EXPECT_THROW(Loss("mean_square_error"), ArgumentError);
  EXPECT_THROW(Loss("mse")(Tensor({2, 3}), Tensor({2, 4})), ArgumentError);
  EXPECT_THROW(Loss("mse")(Tensor({2, 4}), Tensor({2, 4}), std::make_unique<Tensor>(Shape{3, 1}).get()), ArgumentError);
  EXPECT_EQ(Loss("mse")(Tensor({2, 4}), Tensor({2, 4, 1})), 0);
}

}  // namespace
}  // namespace upconv
