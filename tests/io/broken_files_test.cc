// SPDX-License-Identifier: Apache-2.0
// Small files cut at every byte: an error, or an equal model. A .keras archive, whose members have check sums, with every single bit
// flipped too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include "base/element.h"
#include "support/temp_folder.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {
namespace {

using Bytes = std::vector<std::byte>;

Model tiny() {
  return Model({std::make_shared<Conv2DTranspose>(1, 2, Conv2DTransposeOptions{.kernel_initializer = "ones", .name = "up"})}, "tiny", Shape{2, 2, 1});
}

Bytes contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

/// How many elements of the weights differ from `good`; -1 when the file is refused.
int differences(const Model& good, const std::function<Model()>& load) {
  try {
    const Model model = load();
    const auto a = good.weights(), b = model.weights();
    EXPECT_EQ(a.size(), b.size());
    EXPECT_EQ(good.layers().size(), model.layers().size());
    EXPECT_EQ(good.layer("up").get_config().json(), model.layer("up").get_config().json());
    int count = 0;
    for (std::size_t i = 0; i < a.size() && i < b.size(); ++i) {
      const Tensor &x = a[i].variable().value, &y = b[i].variable().value;
      EXPECT_EQ(x.shape(), y.shape());
      for (std::int64_t k = 0; k < x.elements(); ++k) count += std::memcmp(x.data<float>() + k, y.data<float>() + k, sizeof(float)) != 0;
    }
    return count;
  } catch (const FileError&) {
    return -1;
  }
}

struct Case {
  const char* name;
  bool whole;                                // a model by itself; else weights for the architecture
};

class BrokenFiles : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    path_ = temp_ / GetParam().name;
    if (GetParam().whole) save_model(good_, path_);
    else save_weights(good_, path_);
    bytes_ = contents(path_);
  }
  int differences_of(const Bytes& bytes) {
    if (GetParam().whole) return differences(good_, [&] { return load_model(bytes); });
    std::ofstream(path_, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return differences(good_, [&] {
      Model model = tiny();
      load_weights(model, path_);
      return model;
    });
  }
  test::TempFolder temp_;
  const Model good_ = tiny();
  std::string path_;
  Bytes bytes_;
};

TEST_P(BrokenFiles, CutAtEveryByte) {
  EXPECT_EQ(differences_of(bytes_), 0);
  for (std::size_t size = 0; size < bytes_.size(); ++size) {
    const int found = differences_of(Bytes(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(size)));
    ASSERT_LE(found, 0) << "cut to " << size << " of " << bytes_.size() << " bytes";
  }
}

TEST(BrokenArchive, EveryBitFlipped) {
  const Model good = tiny();
  const Bytes bytes = save_model(good);
  for (std::size_t at = 0; at < bytes.size(); ++at)
    for (int bit = 0; bit < 8; ++bit) {
      Bytes flipped = bytes;
      flipped[at] ^= static_cast<std::byte>(1 << bit);
      ASSERT_LE(differences(good, [&] { return load_model(flipped); }), 0) << "byte " << at << " of " << bytes.size() << ", bit " << bit;
    }
}

/// libhdf5 takes as much memory as a local heap's size says.
TEST(BrokenHdf5, ALocalHeapLargerThanTheFileIsRefused) {
  const test::TempFolder temp;
  const std::string path = temp / "m.h5";
  save_model(tiny(), path);
  Bytes bytes = contents(path);
  const std::string_view signature("HEAP\0\0\0\0", 8);
  const auto heap = std::search(bytes.begin(), bytes.end(), reinterpret_cast<const std::byte*>(signature.data()),
                                reinterpret_cast<const std::byte*>(signature.data()) + signature.size());
  ASSERT_NE(heap, bytes.end());
  heap[8 + 4] = std::byte{16};               // 64 GiB more
  try {
    load_model(bytes);
    FAIL() << "loaded";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("local heap"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(All, BrokenFiles,
                         testing::Values(Case{"m.keras", true}, Case{"m.h5", true}, Case{"m.weights.h5", false}, Case{"w.npz", false}),
                         [](const auto& info) {
                           std::string name = info.param.name;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace upconv
