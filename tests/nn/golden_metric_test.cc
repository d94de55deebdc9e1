// SPDX-License-Identifier: Apache-2.0
// Every metric after two updates beside real Keras, and what a metric promises to a trainer.
#include <gtest/gtest.h>

#include <fstream>

#include "support/golden.h"
#include "upconv/error.h"
#include "upconv/loss.h"
#include "upconv/metric.h"

namespace upconv {
namespace {

using test::golden_tensor;
using test::Json;

TEST(GoldenMetrics, ResultsAsKeras) {
  std::ifstream file(UPCONV_SOURCE_DIR "/tests/data/golden/metrics.json");
  const Json cases = Json::parse(file).at("cases");
  EXPECT_EQ(cases.size(), 48u);
  for (const Json& c : cases) {
    SCOPED_TRACE(c.at("class").get<std::string>() + " " + c.at("config").dump() + " " + c.at("weighted").dump());
    Metric metric = Metric::from_config(Config::dict({{"class_name", c.at("class").get<std::string>()}, {"config", test::to_config(c.at("config"))}}));
    EXPECT_EQ(metric.name(), c.at("config").at("name").get<std::string>());
    EXPECT_EQ(metric.result(), 0);
    for (const Json& update : c.at("updates")) {
      const Tensor weight = golden_tensor(update[2]);
      metric.update(golden_tensor(update[0]), golden_tensor(update[1]), c.at("weighted").get<bool>() ? &weight : nullptr);
    }
    const double expected = c.at("result").get<double>();
    EXPECT_NEAR(metric.result(), expected, 2e-6 * std::max(1.0, std::abs(expected)));       // Keras sums in float32
    EXPECT_EQ(Metric::from_config(metric.serialize()).get_config(), metric.get_config());
    // The sums of two halves are the sum of the whole.
    Metric first = metric, second = metric;
    first.reset(), second.reset();
    std::size_t i = 0;
    for (const Json& update : c.at("updates")) {
      const Tensor weight = golden_tensor(update[2]);
      (i++ ? second : first).update(golden_tensor(update[0]), golden_tensor(update[1]), c.at("weighted").get<bool>() ? &weight : nullptr);
    }
    for (std::size_t k = 0; k < first.state().size(); ++k) first.state()[k] += second.state()[k];
    EXPECT_NEAR(first.result(), metric.result(), 1e-12 * std::max(1.0, std::abs(expected)));
  }
}

TEST(Metric, AccuracyFitsTheFirstBatch) {
  const auto chosen = [](const Shape& t, const Shape& p) {
    Metric metric("accuracy");
    metric.update(Tensor(t), Tensor(p));
    EXPECT_EQ(metric.name(), "accuracy");
    return std::string(metric.class_name());
  };
  EXPECT_EQ(chosen({4, 1}, {4, 1}), "BinaryAccuracy");
  EXPECT_EQ(chosen({4, 3}, {4, 3}), "CategoricalAccuracy");
  EXPECT_EQ(chosen({4, 1}, {4, 3}), "SparseCategoricalAccuracy");
  EXPECT_EQ(chosen({4, 2, 2}, {4, 2, 2, 3}), "SparseCategoricalAccuracy");
}

TEST(Metric, LossesWithoutAMetricClassAreWrappedAsKerasWritesThem) {
  const Tensor t({2, 3}), p = Tensor::of<float>({2, 3}, {0.1f, 2, -0.3f, 4, 0.2f, -1});
  Metric metric("huber");
  metric.update(t, p), metric.update(t, p);
  EXPECT_NEAR(metric.result(), Loss("huber")(t, p), 1e-7);
  const char* keras = R"({"module": "keras.metrics", "class_name": "MeanMetricWrapper", "config": {"name": "huber", "dtype": "float32", "fn": )"
                      R"({"module": "builtins", "class_name": "function", "config": "huber", "registered_name": "function"}, "delta": 0.5}, )"
                      R"("registered_name": null})";
  Metric read = Metric::from_config(test::to_config(Json::parse(keras)));
  EXPECT_EQ(read.serialize().json(), keras);
  read.update(t, p);
  EXPECT_NEAR(read.result(), Loss(losses::Huber{0.5})(t, p), 1e-7);
  EXPECT_TRUE(read.separable());
  EXPECT_FALSE(Metric("dice").separable());
}

TEST(Metric, NamesAndErrors) {
  EXPECT_EQ(Metric("mse").name(), "mse");
  EXPECT_EQ(Metric("mse").class_name(), "MeanSquaredError");
  EXPECT_EQ(Metric("psnr").class_name(), "PSNR");
  EXPECT_THROW(Metric("accurracy"), ArgumentError);
  EXPECT_THROW(Metric::from_config(Config::dict({{"class_name", "MeanIoU"}, {"config", Config(Config::Dict{})}})), ArgumentError);
  EXPECT_THROW(Metric("mse").update(Tensor({2, 3}), Tensor({2, 4})), ArgumentError);
  EXPECT_THROW(Metric("ssim").update(Tensor({1, 5, 5, 1}), Tensor({1, 5, 5, 1})), ArgumentError);
  Metric accuracy("categorical_accuracy");
  accuracy.update(Tensor({0, 3}), Tensor({0, 3}));
  EXPECT_EQ(accuracy.result(), 0);
}

}  // namespace
}  // namespace upconv
