// SPDX-License-Identifier: Apache-2.0
// What is written is read back equal: every runnable file of real Keras through every form; graphs made in C++; training state.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "base/element.h"
#include "io/json.h"
#include "support/temp_folder.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {
namespace {

namespace fs = std::filesystem;
const std::string kFolder = std::string(UPCONV_SOURCE_DIR) + "/tests/data/keras-files/";

std::vector<std::string> runnable_files() {
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(kFolder)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(".keras") && !(name.ends_with(".h5") && !name.ends_with(".weights.h5"))) continue;
    try {
      load_model(kFolder + name);
      files.push_back(name);
    } catch (const FileError&) {                       // the reader's test says which and why
    }
  }
  return files;
}

bool uses_old_hard_sigmoid(const Model& model) {
  for (const auto& layer : model.layers())
    if (const auto* conv = dynamic_cast<const Conv2DTranspose*>(layer.get()); conv && conv->options().activation.name() == "hard_sigmoid_keras2") return true;
  return false;
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0;
}

/// Weights by "layer/variable": the order may differ where a graph was written anew.
std::map<std::string, Tensor> weights_of(const Model& model) {
  std::map<std::string, Tensor> out;
  for (const auto& ref : model.weights()) out.emplace(ref.layer->name() + "/" + ref.variable().name, ref.variable().value);
  return out;
}

void expect_equal_weights(const Model& a, const Model& b) {
  const auto wa = weights_of(a), wb = weights_of(b);
  ASSERT_EQ(wa.size(), wb.size());
  for (const auto& [name, value] : wa) {
    ASSERT_TRUE(wb.count(name)) << name;
    EXPECT_TRUE(same(value, wb.at(name))) << name;
  }
}

void expect_equal(const Model& a, const Model& b) {
  expect_equal_weights(a, b);
  for (const auto& layer : a.layers()) {
    if (layer->class_name() != "Conv2DTranspose") continue;
    EXPECT_EQ(layer->get_config().json(), b.layer(layer->name()).get_config().json());
  }
}

std::vector<char> contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(KerasWriter, EveryFileOfKerasThroughEveryForm) {
  const test::TempFolder temp;
  const std::vector<std::string> files = runnable_files();
  EXPECT_GE(files.size(), 38u);
  int refused = 0;
  for (const std::string& name : files) {
    SCOPED_TRACE(name);
    const Model model = load_model(kFolder + name);
    const bool old = uses_old_hard_sigmoid(model);         // Keras 2's has no name in Keras 3, whose own is another function
    refused += old;
    for (const char* form : {"m.keras", "m.h5"}) {
      SCOPED_TRACE(form);
      if (old) {
        EXPECT_THROW(save_model(model, temp / form), ArgumentError);
        continue;
      }
      const std::string path = temp / form;
      save_model(model, path);
      const std::vector<char> first = contents(path);
      expect_equal(model, load_model(path));
      save_model(load_model(path), path);
      EXPECT_EQ(first, contents(path)) << "saving what was saved gives other bytes";
    }
    for (const char* form : {"m.weights.h5", "m.weights.json", "w.h5", "w.npz"}) {
      SCOPED_TRACE(form);
      const bool rounds = std::string(form) == "w.npz" && name.find("bfloat16") != std::string::npos;
      if (rounds) continue;                            // NumPy has no bfloat16
      save_weights(model, temp / form, {.max_shard_bytes = 300});
      Model other = load_model(kFolder + name);
      for (const auto& ref : other.weights()) ref.layer->assign(ref.index, Tensor(ref.variable().value.shape(), ref.variable().value.dtype()));
      load_weights(other, temp / form);
      expect_equal_weights(model, other);
    }
    if (old) continue;
    const std::vector<std::byte> archive = save_model(model);
    const std::vector<char> weights = contents(temp / "m.weights.h5");
    EXPECT_NE(memmem(archive.data(), archive.size(), weights.data(), weights.size()), nullptr) << "weights alone are placed otherwise than in the archive";
  }
  EXPECT_EQ(refused, 2);
}

Model two_inputs() {
  auto up = std::make_shared<Conv2DTranspose>(3, 2, Conv2DTransposeOptions{.strides = 2, .name = "up"});
  auto out = std::make_shared<Conv2DTranspose>(1, 3, Conv2DTransposeOptions{.padding = "same", .name = "out"});
  const auto input = [](const char* name) {
    return layer_from_config(Config::dict({{"class_name", "InputLayer"}, {"config", Config::dict({{"batch_shape", Config::list({nullptr, 4, 5, 2})}, {"dtype", "float32"}, {"name", name}})}}));
  };
  // `up` is shared by both inputs; the outputs are out(up(a)) and up(b).
  return Model(Model::Kind::functional, "pair", {input("a"), input("b"), up, out}, {{0, {}}, {1, {}}, {2, {0}}, {2, {1}}, {3, {2}}}, {0, 1}, {4, 3}, {});
}

TEST(KerasWriter, GraphsMadeInCppKeepTheirCallsAndSharing) {
  const test::TempFolder temp;
  Model model = two_inputs();
  model.build();
  for (const char* form : {"g.keras", "g.h5"}) {
    save_model(model, temp / form);
    const Model again = load_model(temp / form);
    expect_equal(model, again);
    Tensor a({2, 4, 5, 2}), b({2, 4, 5, 2});
    for (std::int64_t i = 0; i < a.elements(); ++i) base::write_element(a, i, std::sin(i)), base::write_element(b, i, std::cos(i));
    const std::vector<Tensor> y = model({a, b}), z = again({a, b});
    ASSERT_EQ(y.size(), 2u);
    EXPECT_TRUE(same(y[0], z[0]) && same(y[1], z[1]));
    EXPECT_EQ(again.layers().size(), model.layers().size());
  }
}

TEST(KerasWriter, AModelMadeInCppAndCalledOnceIsSaved) {
  const test::TempFolder temp;
  Model model({std::make_shared<Conv2DTranspose>(2, 3), make_activation_layer("relu")});
  EXPECT_THROW(save_model(model, temp / "m.keras"), ArgumentError);
  Tensor x({1, 4, 4, 3});
  model.build(x.shape());
  save_model(model, temp / "m.keras");
  expect_equal(model, load_model(temp / "m.keras"));
}

TEST(KerasWriter, HardSigmoidOfKeras2IsNotWrittenAsThatOfKeras3) {
  const test::TempFolder temp;
  std::ofstream(temp / "old.json") << R"({"class_name": "Sequential", "keras_version": "2.15.0", "backend": "tensorflow", "config": {"name": "old", "layers": [
      {"class_name": "InputLayer", "config": {"batch_input_shape": [null, 1, 2, 1], "dtype": "float32", "sparse": false, "ragged": false, "name": "x"}},
      {"class_name": "Activation", "config": {"name": "act", "trainable": true, "dtype": "float32", "activation": "hard_sigmoid"}}]}})";
  const Model model = load_architecture(temp / "old.json");
  Tensor x({1, 1, 2, 1});
  x.span<float>()[0] = 1, x.span<float>()[1] = -2.75;
  const Tensor y = model(x);
  EXPECT_EQ(y.span<float>()[0], 0.2f + 0.5f);
  EXPECT_EQ(y.span<float>()[1], 0);
  try {
    save_model(model, temp / "new.h5");
    ADD_FAILURE();
  } catch (const ArgumentError& e) {
    EXPECT_EQ(std::string(e.what()), "The model 'old' cannot be saved: its layer 'act' computes Keras 2's hard_sigmoid, clip(0.2x + 0.5, 0, 1); what Keras 3 calls "
                                     "hard_sigmoid is clip(x/6 + 0.5, 0, 1). Its weights alone can be saved.");
  }
  EXPECT_THROW(model.clone(), ArgumentError);
}

TEST(KerasWriter, WeightsAloneAreSavedOfModelsThatNoConfigurationDescribes) {
  const test::TempFolder temp;
  const auto layer = [] { return std::make_shared<Conv2DTranspose>(2, 3, Conv2DTransposeOptions{.activation = Activation([](ConstTensorView x) { return Tensor::copy_of(x); }), .name = "own"}); };
  const auto out = std::make_shared<Conv2DTranspose>(1, 2, Conv2DTransposeOptions{.name = "out"});
  Model model(std::vector<std::shared_ptr<Layer>>{layer(), out}, "m", Shape{4, 4, 3});
  const auto again = std::make_shared<Conv2DTranspose>(1, 2, Conv2DTransposeOptions{.name = "out"});
  Model other(std::vector<std::shared_ptr<Layer>>{layer(), again}, "m", Shape{4, 4, 3});
  EXPECT_THROW(save_model(model, temp / "m.keras"), ArgumentError);
  for (const char* form : {"m.weights.h5", "m.weights.json", "w.h5", "w.npz"}) {
    SCOPED_TRACE(form);
    for (const auto& ref : other.weights()) ref.layer->assign(ref.index, Tensor(ref.variable().value.shape()));
    save_weights(model, temp / form);
    load_weights(other, temp / form);
    expect_equal_weights(model, other);
  }
}

TEST(KerasWriter, ErrorsChangeNothing) {
  const test::TempFolder temp;
  const Model model = load_model(kFolder + "sequential.keras");
  for (const char* name : {"m.txt", "m.weights.h5", "m"}) EXPECT_THROW(save_model(model, temp / name), ArgumentError);
  EXPECT_THROW(save_weights(model, temp / "m.keras"), ArgumentError);
  save_model(model, temp / "m.keras");
  const std::vector<char> before = contents(temp / "m.keras");
  EXPECT_THROW(save_model(load_model(kFolder + "nested.keras"), temp / "m.keras", {.overwrite = false}), FileError);
  EXPECT_EQ(before, contents(temp / "m.keras"));
  EXPECT_THROW(save_model(model, temp / "no/such/folder/m.keras"), FileError);
  Model target = load_model(kFolder + "sequential.keras");
  EXPECT_THROW(load_weights(target, kFolder + "nested.weights.h5"), FileError);
  expect_equal(model, target);
  auto named = std::make_shared<Conv2DTranspose>(1, 1, Conv2DTransposeOptions{.activation = Activation([](ConstTensorView x) { return Tensor::copy_of(x); })});
  Model lambda(std::vector<std::shared_ptr<Layer>>{named}, "l", Shape{2, 2, 1});
  EXPECT_THROW(save_model(lambda, temp / "l.keras"), ArgumentError);
  EXPECT_FALSE(fs::exists(temp / "l.keras"));
}

// ------------------------------------------------------------------------------------------------ training

ArrayDataset data_for(const Model& model, std::int64_t n) {
  Shape in = model.inputs().front().shape;
  in[0] = n;
  Tensor x(in, DType::float32);
  for (std::int64_t i = 0; i < x.elements(); ++i) base::write_element(x, i, std::sin(0.3 * static_cast<double>(i)));
  Tensor y(model.compute_output_shape(std::vector{in}).front());
  for (std::int64_t i = 0; i < y.elements(); ++i) base::write_element(y, i, std::cos(0.2 * static_cast<double>(i)));
  return ArrayDataset({std::move(x)}, {std::move(y)});
}

TEST(Checkpoint, CompiledFilesOfKerasTrainOnAndKeepTheirState) {
  const test::TempFolder temp;
  int read = 0;
  for (const char* name : {"compiled_adam.keras", "compiled_adam.h5", "compiled_adam_amsgrad.keras", "compiled_sgd_momentum.keras", "compiled_rmsprop_centered.keras",
                           "compiled_adamw_schedule.keras", "compiled_adam_ema_accumulate.keras", "compiled_nadam.keras", "compiled_ftrl.keras",
                           "compiled_mixed_float16.keras"}) {
    SCOPED_TRACE(name);
    Trainer trainer = load_trainer(kFolder + name);
    EXPECT_GT(trainer.optimizer().iterations(), 0);
    save_trainer(trainer, temp / "c.keras");
    Trainer again = load_trainer(temp / "c.keras");
    const auto a = trainer.optimizer().variables(), b = again.optimizer().variables();
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(a[i].value.index(), b[i].value.index()) << a[i].path;
      const auto* tensor = std::get_if<Tensor>(&a[i].value);
      EXPECT_TRUE(tensor ? same(*tensor, std::get<Tensor>(b[i].value)) : std::get<std::int64_t>(a[i].value) == std::get<std::int64_t>(b[i].value)) << a[i].path;
    }
    EXPECT_EQ(trainer.get_compile_config().json(), again.get_compile_config().json());
    const ArrayDataset data = data_for(trainer.model(), 6);
    trainer.fit(data, {.epochs = 2, .batch_size = 3, .seed = 5});
    again.set_position({0, 0, 5, 3});
    again.fit(data, {.epochs = 2, .batch_size = 3, .seed = 5});
    expect_equal(trainer.model(), again.model());
    ++read;
  }
  EXPECT_EQ(read, 10);
}

TEST(Checkpoint, ResumedFromAFileEqualsUninterruptedBitForBit) {
  const test::TempFolder temp;
  const auto fresh = [] {
    return Trainer(load_model(kFolder + "sequential.keras"), optimizers::Adam{.learning_rate = 0.01}, {"mse"}, {.metrics = {"mae"}});
  };
  const ArrayDataset data = data_for(load_model(kFolder + "sequential.keras"), 14);
  const FitOptions options{.epochs = 4, .batch_size = 4, .seed = 0xffffffffffffffffu};
  Trainer whole = fresh();
  whole.fit(data, options);
  for (const std::int64_t stop : {1, 4, 9}) {
    struct Stop final : Callback {
      std::int64_t left;
      explicit Stop(std::int64_t n) : left(n) {}
      void on_batch_end(TrainingContext& context, const Logs&) override { context.interrupt = --left == 0; }
    };
    Trainer first = fresh();
    FitOptions part = options;
    part.callbacks = {std::make_shared<Stop>(stop)};
    first.fit(data, part);
    save_trainer(first, temp / "checkpoint.keras");
    Trainer second = load_trainer(temp / "checkpoint.keras");
    EXPECT_THROW(Trainer(load_trainer(temp / "checkpoint.keras")).fit(data, {.epochs = 4, .batch_size = 5, .seed = options.seed}), ArgumentError);
    second.fit(data, options);
    expect_equal(whole.model(), second.model());
  }
}

TEST(Checkpoint, WrongOnesAreRefused) {
  const test::TempFolder temp;
  EXPECT_THROW(load_trainer(kFolder + "sequential.keras"), FileError);              // never compiled
  Trainer trainer = load_trainer(kFolder + "compiled_adam.keras");
  EXPECT_THROW(save_trainer(trainer, temp / "c.h5"), ArgumentError);
  save_trainer(trainer, temp / "c.keras");
  const std::vector<char> bytes = contents(temp / "c.keras");
  for (const std::size_t cut : {std::size_t{0}, bytes.size() / 2, bytes.size() - 1}) {
    std::ofstream(temp / "cut.keras", std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(cut));
    EXPECT_THROW(load_trainer(temp / "cut.keras"), FileError) << cut;
  }
}

TEST(Callbacks, CheckpointsAndCsvLogs) {
  const test::TempFolder temp;
  Trainer trainer(load_model(kFolder + "sequential.keras"), optimizers::Adam{}, {"mse"}, {.metrics = {"mae"}});
  const ArrayDataset data = data_for(trainer.model(), 8);
  const auto callbacks = {callbacks::model_checkpoint(temp / "m_{epoch:02d}_{loss:.3f}.keras"), callbacks::csv_logger(temp / "log.csv"),
                          callbacks::model_checkpoint(temp / "best.weights.h5", {.monitor = "loss", .save_best_only = true, .save_weights_only = true})};
  const History history = trainer.fit(data, {.epochs = 2, .batch_size = 4, .callbacks = callbacks});
  char name[64];
  std::snprintf(name, sizeof name, "m_02_%.3f.keras", *find_log(history.logs[1], "loss"));
  EXPECT_EQ(load_trainer(temp / name).position().epoch, 2);
  Model best = load_model(kFolder + "sequential.keras");
  load_weights(best, temp / "best.weights.h5");
  std::ifstream log(temp / "log.csv");
  std::string header, line;
  std::getline(log, header);
  EXPECT_EQ(header, "epoch,loss,mae");
  int lines = 0;
  while (std::getline(log, line)) ++lines;
  EXPECT_EQ(lines, 2);
  EXPECT_THROW(trainer.fit(data, {.callbacks = {callbacks::model_checkpoint(temp / "m_{accuracy}.keras")}}), ArgumentError);
}

}  // namespace
}  // namespace upconv
