// SPDX-License-Identifier: Apache-2.0
// The limits of a load: what they are unless asked, and that each holds for the whole file and not one unit earlier.
#include <gtest/gtest.h>

#include <filesystem>

#include "support/temp_folder.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {
namespace {

TEST(Limits, AreThoseOfTheDocumentation) {
  const LoadLimits limits;
  EXPECT_EQ(limits.tensor_bytes, 2147483648);
  EXPECT_EQ(limits.json_bytes, 16777216);
  EXPECT_EQ(limits.nesting, 64);
  EXPECT_EQ(limits.layers, 10000);
  EXPECT_EQ(limits.hdf5_objects, 100000);
  EXPECT_EQ(limits.zip_members, 1024);
  EXPECT_EQ(limits.inflate_ratio, 100);
}

class LeastLimit : public testing::Test {
 protected:
  /// The least value of a limit with which `load` succeeds, all others as they are by default.
  template <class Number>
  std::int64_t least(Number LoadLimits::* limit) const {
    Number low = -1, high = LoadLimits().*limit;         // fails, succeeds
    EXPECT_TRUE(loads(limit, high));
    while (high - low > 1) {
      const Number middle = low + (high - low) / 2;
      (loads(limit, middle) ? high : low) = middle;
    }
    return high;
  }

  template <class Number>
  bool loads(Number LoadLimits::* limit, Number value) const {
    LoadOptions options;
    options.limits.*limit = value;
    try {
      if (weights_.empty()) {
        load_model(path_, options);
      } else {
        Model model = model_;
        load_weights(model, weights_, options);
      }
      return true;
    } catch (const FileError&) {
      return false;
    }
  }

  static Model three_layers() {
    std::vector<std::shared_ptr<Layer>> layers;
    for (const char* name : {"a", "b", "c"}) layers.push_back(std::make_shared<Conv2DTranspose>(4, 3, Conv2DTransposeOptions{.name = name}));
    return Model(layers, "m", Shape{2, 2, 4});
  }

  const test::TempFolder temp_;
  const Model model_ = three_layers();
  const std::int64_t bytes_ = 3 * (3 * 3 * 4 * 4 + 4) * 4;       // of the weights
  std::string path_, weights_;
};

TEST_F(LeastLimit, OfAnArchive) {
  save_model(model_, path_ = temp_ / "m.keras");
  save_weights(model_, temp_ / "m.weights.h5");
  EXPECT_EQ(least(&LoadLimits::tensor_bytes), static_cast<std::int64_t>(std::filesystem::file_size(temp_ / "m.weights.h5")));      // the member
  EXPECT_EQ(least(&LoadLimits::zip_members), 3);
  EXPECT_EQ(least(&LoadLimits::layers), 4);                      // with the input
}

TEST_F(LeastLimit, OfHdf5) {
  save_model(model_, path_ = temp_ / "m.h5");
  EXPECT_EQ(least(&LoadLimits::tensor_bytes), bytes_);
  // The root, model_weights, top_level_model_weights, and for each layer its group, two groups of the names m/a, two datasets.
  EXPECT_EQ(least(&LoadLimits::hdf5_objects), 3 + 3 * 5);
}

TEST_F(LeastLimit, OfAllShardsTogether) {
  save_weights(model_, weights_ = temp_ / "w.weights.json", {.max_shard_bytes = 700});
  EXPECT_TRUE(std::filesystem::exists(temp_ / "w_00002.weights.h5"));
  EXPECT_EQ(least(&LoadLimits::tensor_bytes), bytes_);
}

}  // namespace
}  // namespace upconv
