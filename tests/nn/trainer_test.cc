// SPDX-License-Identifier: Apache-2.0
// Training: steps against gradients made by hand, the chunk tree, resuming, callbacks, what stays frozen, and errors.
#include <gtest/gtest.h>

#include <cmath>

#include "base/element.h"
#include "support/golden.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"
#include "upconv/training.h"

namespace upconv {
namespace {

Tensor pattern(const Shape& shape, double seed) {
  Tensor t(shape);
  for (std::int64_t i = 0; i < t.elements(); ++i) base::write_element(t, i, std::sin(seed + 0.7 * static_cast<double>(i * i % 101)));
  return t;
}

Model small_model(bool frozen = false) {
  auto first = std::make_shared<Conv2DTranspose>(3, 3, Conv2DTransposeOptions{.strides = 2, .padding = "same", .activation = "relu",
                                                                           .kernel_initializer = initializers::GlorotUniform{.seed = 1}, .name = "first", .trainable = !frozen});
  auto second = std::make_shared<Conv2DTranspose>(2, 2, Conv2DTransposeOptions{.kernel_initializer = initializers::GlorotUniform{.seed = 2},
                                                                               .kernel_regularizer = regularizers::L2{0.01}, .activity_regularizer = regularizers::L2{0.02}, .name = "second"});
  return Model({first, second}, "small", Shape{3, 4, 2});
}

ArrayDataset small_data(std::int64_t n) { return ArrayDataset({pattern({n, 3, 4, 2}, 1)}, {pattern({n, 7, 9, 2}, 2)}); }

std::vector<Tensor> weights_of(const Model& model) {
  std::vector<Tensor> values;
  for (const auto& ref : model.weights()) values.push_back(ref.variable().value);
  return values;
}

bool equal_bits(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!test::same_bits(a[i], b[i])) return false;
  return true;
}

TEST(Trainer, AMetricOfAWholeBatchIsNotCut) {
  const std::int64_t n = 5;
  const ArrayDataset data = small_data(n);
  Model model = small_model();
  const Batch batch = data.batch(std::vector<std::int64_t>{0, 1, 2, 3, 4}, 0);
  const ConstTensorView x = batch.inputs[0];
  const double whole = Loss("dice")(batch.targets[0], model.forward({&x, 1}, {}).first[0]);
  Trainer trainer(model, optimizers::SGD{}, {"mse"}, {.metrics = {"dice"}});
  EXPECT_NEAR(*find_log(trainer.evaluate(data, n), "dice"), whole, 1e-6 * std::abs(whole));
}

TEST(Trainer, AStepIsTheGradientOfTheWholeLoss) {
  for (const std::int64_t n : {1, 5, 16}) {
    const ArrayDataset data = small_data(n);
    Model model = small_model();
    const Batch batch = data.batch([&] { std::vector<std::int64_t> all; for (std::int64_t i = 0; i < n; ++i) all.push_back(i); return all; }(), 0);
    // By hand: one forward of the whole batch, MSE, one backward, penalties.
    const ConstTensorView x = batch.inputs[0];
    auto [outputs, tape] = model.forward({&x, 1}, {.training = true});
    Loss::Evaluation mse = Loss("mse").evaluate(batch.targets[0], outputs[0]);
    std::vector<Tensor> gradients = model.backward(std::vector{mse.gradient}, tape);
    const std::vector<Tensor> before = weights_of(model);
    double expected_loss = mse.value;
    for (const double term : tape.activity_losses) expected_loss += term;
    for (const double term : model.losses()) expected_loss += term;

    Trainer trainer(model, optimizers::SGD{.learning_rate = 0.5}, {"mse"}, {.metrics = {"mae"}});
    const Logs logs = trainer.train_on_batch(batch);
    EXPECT_NEAR(*find_log(logs, "loss"), expected_loss, 1e-6 * expected_loss);
    EXPECT_NE(find_log(logs, "mae"), nullptr);
    const std::vector<Tensor> after = weights_of(model);
    for (std::size_t w = 0; w < after.size(); ++w)
      for (std::int64_t i = 0; i < after[w].elements(); ++i) {
        const double penalty = w == 2 ? 0.02 * base::read_element(before[w], i) : 0;
        EXPECT_NEAR(base::read_element(after[w], i), base::read_element(before[w], i) - 0.5 * (base::read_element(gradients[w], i) + penalty), 3e-6) << w;
      }
  }
}

TEST(Trainer, FitLearnsAndLogs) {
  Trainer trainer(small_model(), optimizers::Adam{.learning_rate = 0.02}, {"mse"}, {.metrics = {"mae"}});
  const ArrayDataset data = small_data(20), validation = small_data(6);
  const History history = trainer.fit(data, {.epochs = 8, .batch_size = 7, .validation_data = &validation});
  ASSERT_EQ(history.logs.size(), 8u);
  std::vector<std::string> names;
  for (const auto& [name, value] : history.logs.front()) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"loss", "mae", "val_loss", "val_mae"}));
  EXPECT_LT(*find_log(history.logs.back(), "loss"), 0.9 * *find_log(history.logs.front(), "loss"));
  EXPECT_EQ(trainer.optimizer().iterations(), 24);
  EXPECT_EQ(*find_log(history.logs.back(), "val_loss"), *find_log(trainer.evaluate(validation, 7), "loss"));
  EXPECT_EQ(trainer.predict(data, 6).front().shape(), (Shape{20, 7, 9, 2}));
}

TEST(Trainer, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  const ArrayDataset data = small_data(20);
  const FitOptions options{.epochs = 3, .batch_size = 6, .seed = 11};
  Trainer whole(small_model(), optimizers::Adam{}, {"mse"});
  whole.fit(data, options);

  struct StopAt final : Callback {
    std::int64_t steps = 0;
    void on_batch_end(TrainingContext& context, const Logs&) override { context.interrupt = ++steps == 6; }
  };
  Trainer first(small_model(), optimizers::Adam{}, {"mse"});
  FitOptions interrupted = options;
  interrupted.callbacks = {std::make_shared<StopAt>()};
  EXPECT_TRUE(first.fit(data, interrupted).interrupted);
  EXPECT_EQ(first.position().epoch, 1);
  EXPECT_EQ(first.position().step, 2);

  Trainer second(first.model().clone(), optimizers::Adam{}, {"mse"});
  second.optimizer().build(second.model());
  second.optimizer().set_variables(first.optimizer().variables());
  second.set_position(first.position());
  second.fit(data, options);
  EXPECT_TRUE(equal_bits(weights_of(whole.model()), weights_of(second.model())));
}

TEST(Trainer, FrozenLayersKeepTheirBits) {
  Model model = small_model(true);
  const std::vector<Tensor> before = weights_of(model);
  Trainer trainer(model, optimizers::Adam{.learning_rate = 0.1}, {"mse"});
  trainer.fit(small_data(8), {.epochs = 2, .batch_size = 4});
  const std::vector<Tensor> after = weights_of(model);
  EXPECT_TRUE(test::same_bits(before[0], after[0]) && test::same_bits(before[1], after[1]));
  EXPECT_FALSE(test::same_bits(before[2], after[2]));
}

TEST(Trainer, ThreadsChangeNoBit) {
  std::vector<std::vector<Tensor>> results;
  for (const int threads : {1, 2, 3}) {
    Trainer trainer(small_model(), optimizers::Adam{}, {"mse"}, {.execution = {.threads = threads}});
    trainer.fit(small_data(12), {.epochs = 2, .batch_size = 5});
    results.push_back(weights_of(trainer.model()));
  }
  EXPECT_TRUE(equal_bits(results[0], results[1]) && equal_bits(results[0], results[2]));
}

TEST(Trainer, ChunksTogetherOrSideBySideGiveTheSameBits) {
  // One thread sends the chunks through as one batch, three threads side by side; batches of 1 and 5 leave chunks empty.
  for (const std::int64_t batch : {1, 5, 8, 20}) {
    std::vector<std::vector<Tensor>> results;
    for (const int threads : {1, 3}) {
      std::vector<std::shared_ptr<Layer>> layers;
      layers.push_back(std::make_shared<Conv2DTranspose>(24, 4, Conv2DTransposeOptions{.strides = 2, .padding = "same", .activation = "relu", .kernel_initializer = initializers::HeNormal{.seed = 1}}));
      layers.push_back(std::make_shared<Conv2DTranspose>(16, 3, Conv2DTransposeOptions{.padding = "same", .activation = "tanh", .kernel_initializer = initializers::HeNormal{.seed = 2}}));
      layers.push_back(make_activation_layer("gelu"));
      layers.push_back(std::make_shared<Conv2DTranspose>(2, 2, Conv2DTransposeOptions{.kernel_initializer = initializers::HeNormal{.seed = 3}, .kernel_regularizer = regularizers::L2{0.01}}));
      Trainer trainer(Model(layers, "m", Shape{6, 7, 20}), optimizers::Adam{}, {"mse"}, {.execution = {.threads = threads}});
      trainer.fit(ArrayDataset({pattern({20, 6, 7, 20}, 1)}, {pattern({20, 13, 15, 2}, 2)}), {.epochs = 2, .batch_size = batch});
      results.push_back(weights_of(trainer.model()));
    }
    EXPECT_TRUE(equal_bits(results[0], results[1])) << batch;
  }
}

TEST(Trainer, SampleWeightsScaleTheLoss) {
  const Tensor x = pattern({4, 3, 4, 2}, 1), y = pattern({4, 7, 9, 2}, 2);
  const Tensor w = Tensor::of<float>({4}, {1, 0, 0, 0});
  Trainer trainer(Model({std::make_shared<Conv2DTranspose>(2, 3, Conv2DTransposeOptions{.strides = 2, .kernel_initializer = "ones"})}, "", Shape{3, 4, 2}),
                  optimizers::SGD{}, {"mse"}, {.metrics = {"mse"}, .weighted_metrics = {"mse"}});
  const Logs weighted = trainer.test_on_batch({{x}, {y}, w}), one = trainer.test_on_batch({{Tensor::copy_of({x.data<float>(), {1, 3, 4, 2}})},
                                                                                           {Tensor::copy_of({y.data<float>(), {1, 7, 9, 2}})}, {}});
  EXPECT_NEAR(*find_log(weighted, "loss") * 4, *find_log(one, "loss"), 1e-6);
  EXPECT_NEAR(weighted[2].second, one[2].second, 1e-6);        // the weighted metric divides by the weights
}

TEST(Callbacks, StopReduceAndRestore) {
  const ArrayDataset data = small_data(8);
  struct Watch final : Callback {
    std::vector<double> rates;
    void on_epoch_end(TrainingContext& context, Logs&) override { rates.push_back(context.trainer.optimizer().learning_rate()); }
  };
  auto watch = std::make_shared<Watch>();
  // Nothing improves by 100: the rate falls every second epoch, and training stops after the patience.
  Trainer trainer(small_model(), optimizers::SGD{.learning_rate = 0.01}, {"mse"});
  const History history = trainer.fit(data, {.epochs = 20, .batch_size = 8,
                                             .callbacks = {callbacks::reduce_lr_on_plateau({.monitor = "loss", .factor = 0.5, .patience = 2, .min_delta = 100}), watch,
                                                           callbacks::early_stopping({.monitor = "loss", .min_delta = 100, .patience = 5, .restore_best_weights = true})}});
  EXPECT_EQ(history.epoch.size(), 6u);
  EXPECT_FLOAT_EQ(static_cast<float>(watch->rates.back()), 0.0025f);
  EXPECT_NE(find_log(history.logs.front(), "learning_rate"), nullptr);
  EXPECT_THROW(trainer.fit(data, {.callbacks = {callbacks::early_stopping({.monitor = "val_acc"})}}), ArgumentError);
  EXPECT_THROW(callbacks::reduce_lr_on_plateau({.factor = 1.0}), ArgumentError);
}

TEST(Trainer, ANanIsReportedWithStepAndLayerAndChangesNothing) {
  Model model = small_model();
  Tensor bad = pattern({8, 3, 4, 2}, 1);
  base::write_element(bad, 100, std::nan(""));
  const ArrayDataset data({bad}, {pattern({8, 7, 9, 2}, 2)});
  Trainer trainer(model, optimizers::SGD{}, {"mse"});
  const std::vector<Tensor> before = weights_of(model);
  try {
    trainer.fit(data, {.batch_size = 8, .stop_on_nan = true});
    FAIL();
  } catch (const StateError& e) {
    EXPECT_EQ(e.kind(), StateError::Kind::numeric);
    EXPECT_NE(std::string(e.what()).find("epoch 1, step 1"), std::string::npos) << e.what();
  }
  EXPECT_TRUE(equal_bits(before, weights_of(model)));
  Tensor kernel = before[2];
  base::write_element(kernel, 0, std::nan(""));
  Model broken = model.clone();
  broken.weights()[2].layer->assign(broken.weights()[2].index, kernel);
  try {
    Trainer(broken, optimizers::SGD{}, {"mse"}).fit(small_data(8), {.batch_size = 8, .stop_on_nan = true});
    FAIL();
  } catch (const StateError& e) {
    EXPECT_NE(std::string(e.what()).find("the output of layer 'second' is not finite"), std::string::npos) << e.what();
  }
  const History history = trainer.fit(data, {.epochs = 3, .batch_size = 8, .callbacks = {callbacks::terminate_on_nan()}});
  EXPECT_EQ(history.epoch.size(), 1u);
}

TEST(Trainer, TellsWhatIsWrong) {
  Trainer trainer(small_model(), optimizers::SGD{}, {"mse"});
  EXPECT_THROW(trainer.fit(small_data(0)), ArgumentError);
  EXPECT_THROW(trainer.fit(ArrayDataset({pattern({4, 3, 4, 2}, 1)}, {})), ArgumentError);
  EXPECT_THROW(trainer.fit(ArrayDataset({pattern({4, 3, 4, 2}, 1)}, {pattern({4, 7, 9, 3}, 1)})), ArgumentError);
  EXPECT_THROW(trainer.fit(ArrayDataset({pattern({4, 3, 4, 3}, 1)}, {pattern({4, 7, 9, 2}, 1)})), ArgumentError);
  EXPECT_THROW(ArrayDataset({Tensor({4, 1})}, {Tensor({3, 1})}), ArgumentError);
  EXPECT_THROW(trainer.fit(small_data(2), {.batch_size = 0}), ArgumentError);
  EXPECT_THROW(Trainer(small_model(), optimizers::SGD{}, {"mse", "mae"}), ArgumentError);
  Model frozen = small_model(true);
  frozen.layer("second").set_trainable(false);
  Trainer nothing(frozen, optimizers::SGD{}, {"mse"});
  EXPECT_THROW(nothing.fit(small_data(2)), ArgumentError);
}

TEST(Trainer, MixedFloat16ModelsAreScaledAsInKeras) {
  auto layer = std::make_shared<Conv2DTranspose>(2, 2, Conv2DTransposeOptions{.dtype = "mixed_float16"});
  Model model({layer}, "", Shape{2, 2, 1});
  Config config = model.get_config();
  config.set("dtype", DTypePolicy("mixed_float16").config());
  Model half(Model::Kind::sequential, "half", {model.layers().begin(), model.layers().end()}, {model.nodes().begin(), model.nodes().end()},
             {model.input_nodes().begin(), model.input_nodes().end()}, {model.output_nodes().begin(), model.output_nodes().end()}, config);
  Trainer trainer(half, optimizers::SGD{.learning_rate = 0.1}, {"mse"});
  EXPECT_EQ(trainer.optimizer().loss_scale(), 32768);
  EXPECT_EQ(trainer.get_compile_config().at("optimizer").at("class_name").as_string(), "SGD");
  // A loss too large for the scale: steps are left out and the scale halves until the gradients are finite.
  const Tensor x = pattern({2, 2, 2, 1}, 1);
  Tensor y({2, 3, 3, 2});
  for (std::int64_t i = 0; i < y.elements(); ++i) base::write_element(y, i, 300);
  trainer.fit(ArrayDataset({x}, {y}), {.epochs = 12});
  EXPECT_LT(trainer.optimizer().loss_scale(), 32768);
  EXPECT_GT(trainer.optimizer().iterations(), 0);
  EXPECT_LT(trainer.optimizer().iterations(), 12);
}

}  // namespace
}  // namespace upconv
