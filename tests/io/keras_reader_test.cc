// SPDX-License-Identifier: Apache-2.0
// Every file that real Keras wrote, against what Keras computed from it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/element.h"
#include "support/npz.h"
#include "upconv/custom.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {
namespace {

const std::string kFolder = std::string(UPCONV_SOURCE_DIR) + "/tests/data/keras-files/";

/// A file, and the architecture it belongs to where it holds weights alone.
struct Case {
  const char* file;
  const char* architecture = nullptr;
};

const Case kRunnable[] = {
    {"sequential.keras"}, {"sequential.h5"}, {"deflated.keras"}, {"unzipped"}, {"nested.keras"}, {"nested.h5"},
    {"every_argument.keras"}, {"every_argument.h5"}, {"output_padding.keras"}, {"dilated.keras"}, {"channels_first.keras"},
    {"free_size.keras"}, {"activation_objects.keras"}, {"names.keras"}, {"unicode_names.keras"}, {"unicode_names.h5"}, {"frozen.keras"},
    {"float16.keras"}, {"bfloat16.keras"}, {"mixed_float16.keras"}, {"mixed_bfloat16.keras"}, {"float64.keras"}, {"float64.h5"},
    {"compiled_adam.h5"}, {"compiled_adam.keras"}, {"compiled_adam_amsgrad.keras"}, {"compiled_sgd_momentum.keras"},
    {"compiled_rmsprop_centered.keras"}, {"compiled_adamw_schedule.keras"}, {"compiled_adam_ema_accumulate.keras"},
    {"compiled_nadam.keras"}, {"compiled_ftrl.keras"}, {"compiled_mixed_float16.keras"}, {"bare_layer.keras"}, {"v2_sequential.h5"},
    {"v2_sequential.keras"}, {"v2_mixed_float16.h5"}, {"v2_all_args.h5"}, {"v2_nested.h5"}, {"v2_nested.keras"},
    {"sequential.weights.h5", "sequential.keras"}, {"sharded.weights.json", "sequential.keras"},
    {"weights_only_legacy.h5", "sequential.keras"}, {"nested.weights.h5", "nested.keras"}, {"float16.weights.h5", "float16.keras"},
    {"bfloat16.weights.h5", "bfloat16.keras"}, {"mixed_float16.weights.h5", "mixed_float16.keras"},
    {"mixed_bfloat16.weights.h5", "mixed_bfloat16.keras"}, {"float64.weights.h5", "float64.keras"},
    {"compiled_adam.weights.h5", "compiled_adam.keras"}, {"v2_weights_only.h5", "v2_sequential.h5"},
    {"v2_sequential.weights.h5", "v2_sequential.h5"}};

/// Files with layers that are described, not run; one Conv2DTranspose of each is taken out.
const Case kDescribed[] = {{"functional.keras"}, {"functional.h5"}, {"gan_generator.keras"}, {"gan_generator.h5"}, {"unet.keras"}, {"shared_layer.keras"},
                           {"v2_functional_adam.h5"}, {"v2_functional_adam.keras"}};

class KerasFile : public testing::TestWithParam<Case> {};

double tolerance(DType dtype) {
  switch (dtype) {
    case DType::float64: return 1e-13;
    case DType::float16: return 4e-3;
    case DType::bfloat16: return 3e-2;
    default: return 1e-5;
  }
}

TEST_P(KerasFile, ComputesWhatKerasComputed) {
  const Case& c = GetParam();
  LoadOptions options;
  if (c.architecture) options.weights = kFolder + c.file;
  const Model model = load_model(kFolder + (c.architecture ? c.architecture : c.file), options);
  // A weights file is named apart from an archive's own .npz.
  const auto arrays = test::read_npz(kFolder + c.file + ".npz");
  const Tensor& expected = arrays.at("y");
  const Tensor y = model(arrays.at("x"));
  ASSERT_EQ(y.shape(), expected.shape());
  ASSERT_EQ(y.dtype(), expected.dtype());
  double largest = 1e-6, difference = 0;
  for (std::int64_t i = 0; i < y.elements(); ++i) {
    largest = std::max(largest, std::abs(base::read_element(expected, i)));
    difference = std::max(difference, std::abs(base::read_element(expected, i) - base::read_element(y, i)));
  }
  EXPECT_LE(difference, tolerance(y.dtype()) * largest);
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.file;
  std::replace_if(name.begin(), name.end(), [](char ch) { return !std::isalnum(static_cast<unsigned char>(ch)); }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, KerasFile, testing::ValuesIn(kRunnable), case_name);

class DescribedFile : public testing::TestWithParam<Case> {};

TEST_P(DescribedFile, IsDescribedAndRefusedByNameAndGivesItsLayers) {
  const std::string path = kFolder + GetParam().file;
  const ModelDescription description = describe_model(path);
  EXPECT_FALSE(description.runnable);
  std::string refusal;
  try {
    load_model(path);
  } catch (const FileError& e) {
    refusal = e.what();
  }
  int taken = 0;
  for (const ModelDescription::LayerInfo& layer : description.layers) {
    if (!layer.runnable) {
      EXPECT_NE(refusal.find(layer.name + " (" + layer.class_name + ")"), std::string::npos) << refusal;
    }
    if (layer.class_name != "Conv2DTranspose") continue;
    const auto conv = load_layer(path, layer.name);
    EXPECT_EQ(conv->count_params(), layer.parameters);
    ++taken;
  }
  EXPECT_GT(taken, 0);
}

INSTANTIATE_TEST_SUITE_P(All, DescribedFile, testing::ValuesIn(kDescribed), case_name);

TEST(KerasFiles, EveryFileIsTested) {
  EXPECT_THROW(load_model(kFolder + "refuse_lambda.keras"), FileError);
  EXPECT_THROW(load_model(kFolder + "refuse_custom_activation.keras"), FileError);
  EXPECT_THROW(describe_model(kFolder + "refuse_lambda.keras"), FileError);
  EXPECT_THROW(describe_model(kFolder + "refuse_custom_activation.keras"), FileError);
}

TEST(KerasFiles, TheBundledModelAgreesWithKeras) {
  const std::string models = std::string(UPCONV_SOURCE_DIR) + "/models/";
  for (const char* name : {"superres.keras", "superres.h5"}) {
    const Model model = load_model(models + name);
    EXPECT_EQ(model.count_params(), 13777) << name;
  }
}

TEST(KerasFiles, WeightsThatTheFileHoldsAreNotDrawnFirst) {
  int drawn = 0;
  register_custom<Initializer>("GlorotUniform", [&](const Config&) {
    return Initializer([&](const Shape& shape, DType dtype) { return ++drawn, Tensor(shape, dtype); });
  });
  for (const char* name : {"sequential.keras", "nested.h5"}) load_model(kFolder + name), describe_model(kFolder + name);
  EXPECT_EQ(drawn, 0);
  load_architecture(kFolder + "sequential.keras");
  register_custom<Initializer>("GlorotUniform", {});
  EXPECT_GT(drawn, 0);
}

TEST(KerasFiles, ACompiledFileIsATrainer) {
  EXPECT_TRUE(std::holds_alternative<Trainer>(load_compiled(kFolder + "compiled_adam.keras")));
  EXPECT_TRUE(std::holds_alternative<Model>(load_compiled(kFolder + "sequential.keras")));
  EXPECT_TRUE(std::holds_alternative<Model>(load_compiled(kFolder + "compiled_adam.keras", {.weights = kFolder + "compiled_adam.weights.h5"})));
}

TEST(KerasFiles, ErrorsNamePathPlaceAndReason) {
  const auto message = [](const std::string& path) {
    try {
      load_model(path);
    } catch (const FileError& e) {
      return std::string(e.what());
    }
    return std::string("no error");
  };
  EXPECT_NE(message("/no/such/file.keras").find("No such file"), std::string::npos);
  EXPECT_NE(message("/dev/null").find("not a regular file"), std::string::npos);
  EXPECT_NE(message(kFolder + "sequential.weights.h5").find("without an architecture"), std::string::npos);
}

}  // namespace
}  // namespace upconv
