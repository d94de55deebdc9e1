// SPDX-License-Identifier: Apache-2.0
// Every loss, reduction and kind of sample weights beside real Keras; pieces of a batch; gradients by differences.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "base/element.h"
#include "support/error_text.h"
#include "support/golden.h"
#include "upconv/error.h"
#include "upconv/loss.h"

namespace upconv {
namespace {

using test::Json;

/// A case's loss by its arguments: Keras's configuration forgets Huber's delta and CosineSimilarity's axis.
Config case_identifier(const Json& c) {
  Config config = Config(Config::Dict{});
  if (c.contains("reduction")) config.set("reduction", c.at("reduction").get<std::string>());
  const Config args = test::to_config(c.at("args"));
  for (const auto& [key, value] : args.as_dict()) config.set(key, value);
  return Config::dict({{"class_name", c.at("class").get<std::string>()}, {"config", std::move(config)}});
}

/// Both sides round every operation to float32: at most 32 roundings of half an ulp of the largest number.
void near(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.elements(), expected.elements());
  double largest = 0;
  for (std::int64_t i = 0; i < expected.elements(); ++i) largest = std::max(largest, std::abs(base::read_element(expected, i)));
  for (std::int64_t i = 0; i < expected.elements(); ++i)
    EXPECT_NEAR(base::read_element(actual, i), base::read_element(expected, i), 32 * 0x1p-24 * largest) << "element " << i;
}

TEST(GoldenLosses, ValueAndGradientAsKeras) {
  const Json& group = test::golden_index().at("losses");
  const std::string file = group.at("file").get<std::string>();
  int followed = 0, refused = 0;
  for (const Json& c : group.at("cases")) {
    SCOPED_TRACE(c.at("id").get<std::string>() + " " + c.at("class").get<std::string>() + " " + c.at("args").dump() + " " + c.at("reduction").dump() +
                 " " + c.at("sample_weight").dump());
    if (c.contains("error")) {               // Keras refuses these weights, and so do we
      const std::string data = c.at("data").get<std::string>();
      const Tensor &y_true = test::golden_array(file, data + ".y_true"), &y_pred = test::golden_array(file, data + ".y_pred");
      const Tensor& weight = test::golden_array(file, "sample_weight." + c.at("sample_weight").get<std::string>());
      EXPECT_EQ(test::argument_error([&] { Loss::from_config(case_identifier(c))(y_true, y_pred, &weight); })
                    .find("Incompatible shapes for broadcasting: shapes=[("), 0u);
      ++refused;
      continue;
    }
    const auto array = [&](const char* key) -> const Tensor& { return test::golden_array(file, c.at("arrays").at(key).get<std::string>()); };
    const Tensor* weight = c.at("arrays").contains("sample_weight") ? &array("sample_weight") : nullptr;
    const Loss loss = Loss::from_config(case_identifier(c));
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

TEST(GoldenLosses, EdgesAsKeras) {
  std::ifstream file(UPCONV_SOURCE_DIR "/tests/data/golden/loss_edges.json");
  const Json cases = Json::parse(file).at("cases");
  int agreed = 0, without_gradient = 0, refused = 0;
  for (const Json& c : cases) {
    const std::string note = c.at("note").get<std::string>();
    SCOPED_TRACE(note + ": " + c.at("class").get<std::string>() + " " + c.at("args").dump());
    const Loss loss = Loss::from_config(case_identifier(c));
    const Tensor y_true = test::golden_tensor(c.at("y_true")), y_pred = test::golden_tensor(c.at("y_pred"));
    const Tensor weight = c.at("sample_weight").is_null() ? Tensor() : test::golden_tensor(c.at("sample_weight"));
    const Tensor* sample_weight = c.at("sample_weight").is_null() ? nullptr : &weight;
    if (c.contains("error") || note == "broadcast") {      // y_true is never broadcast here
      EXPECT_THROW(loss(y_true, y_pred, sample_weight), ArgumentError);
      ++refused;
      continue;
    }
    const Loss::Evaluation e = loss.evaluate(y_true, y_pred, sample_weight);
    const Tensor gradient = test::golden_tensor(c.at("gradient"));
    const double value = c.at("value").get<double>();
    EXPECT_NEAR(e.value, value, 32 * 0x1p-24 * std::max(1.0, std::abs(value)));
    // Keras's gradient is NaN at a zero vector's cosine, and at a sure prediction under gamma < 1.
    const auto numbers = gradient.span<float>();
    if (std::any_of(numbers.begin(), numbers.end(), [](float x) { return std::isnan(x); })) {
      EXPECT_TRUE(note == "zero y_pred" || note == "gamma, sure");
      ++without_gradient;
      continue;
    }
    EXPECT_LE(test::largest_difference(e.gradient, gradient), 32 * 0x1p-24 * std::max(1.0, test::largest_magnitude(gradient)));
    ++agreed;
  }
  EXPECT_EQ(agreed, 196);
  EXPECT_EQ(without_gradient, 3);
  EXPECT_EQ(refused, 4);
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

TEST(Loss, LabelsFollowKerasAtTheirEdges) {
  // A number that is no class has no loss; an ignored class is no part of the mean.
  const Tensor logits = numbers({4, 3}, 2, 0);
  const Loss sparse(losses::SparseCategoricalCrossentropy{.from_logits = true});
  const Tensor none = sparse.values(Tensor::of<float>({4}, {-1, 3, 7, -5}), logits);
  for (const float x : none.span<float>()) EXPECT_EQ(x, 0);
  const Tensor labels = Tensor::of<float>({4}, {0, 2, 0, 1}), rest = Tensor::of<float>({2}, {2, 1});
  Tensor two({2, 3});
  std::copy_n(logits.data<float>() + 3, 3, two.data<float>()), std::copy_n(logits.data<float>() + 9, 3, two.data<float>() + 3);
  const Loss ignoring(losses::SparseCategoricalCrossentropy{.from_logits = true, .ignore_class = 0});
  EXPECT_NEAR(ignoring(labels, logits), sparse(rest, two), 1e-12);
  EXPECT_EQ(ignoring.denominator(labels, logits), 2);
  EXPECT_EQ(ignoring.evaluate(labels, logits).gradient.data<float>()[0], 0);
  EXPECT_EQ(ignoring(Tensor({4}), logits), 0);                                // nothing but ignored elements
  // Labels 0 and 1 mean -1 and 1 to the hinge losses.
  const Tensor p = numbers({2, 4}, 1, 0.2), zero_one = Tensor::of<float>({2, 4}, {0, 1, 1, 0, 1, 0, 0, 1});
  const Tensor signs = Tensor::of<float>({2, 4}, {-1, 1, 1, -1, 1, -1, -1, 1});
  EXPECT_EQ(Loss("hinge")(zero_one, p), Loss("hinge")(signs, p));
  EXPECT_EQ(Loss("squared_hinge")(zero_one, p), Loss("squared_hinge")(signs, p));
}

TEST(Loss, LinesAlongAnyAxesAreThoseOfTheTransposedTensor) {
  const Tensor t = numbers({2, 3, 5}, 0.4, 0.5), p = numbers({2, 3, 5}, 0.3, 0.5);
  const auto swapped = [](const Tensor& x) {                                  // (n, a, b) -> (n, b, a)
    Tensor y({x.shape()[0], x.shape()[2], x.shape()[1]});
    for (std::int64_t n = 0, i = 0; n < x.shape()[0]; ++n)
      for (std::int64_t a = 0; a < x.shape()[1]; ++a)
        for (std::int64_t b = 0; b < x.shape()[2]; ++b, ++i)
          y.data<float>()[(n * x.shape()[2] + b) * x.shape()[1] + a] = x.data<float>()[i];
    return y;
  };
  const std::pair<LossFunction, LossFunction> same[] = {
      {losses::CategoricalCrossentropy{.axis = 1}, losses::CategoricalCrossentropy{}},
      {losses::BinaryCrossentropy{.axis = 1}, losses::BinaryCrossentropy{}},
      {losses::Dice{std::vector{1}}, losses::Dice{std::vector{-1}}}};
  for (const auto& [along, last] : same) {
    const Loss::Evaluation a = Loss(along).evaluate(t, p), b = Loss(last).evaluate(swapped(t), swapped(p));
    EXPECT_EQ(a.value, b.value);
    EXPECT_TRUE(test::same_bits(swapped(a.gradient), b.gradient));
  }
}

TEST(Loss, HalfPredictionsAreComputedInFloat32AndTheGradientRoundedOnce) {
  const Tensor t = numbers({3, 4}, 0.4, 0.5), p = numbers({3, 4}, 0.3, 0.5);
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    const Tensor half = p.cast(dtype), wide = half.cast(DType::float32);
    const Loss::Evaluation a = Loss("bce").evaluate(t, half, nullptr, 0, 1024), b = Loss("bce").evaluate(t, wide, nullptr, 0, 1024);
    EXPECT_EQ(a.value, b.value);
    EXPECT_TRUE(test::same_bits(a.gradient, b.gradient.cast(dtype)));
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
