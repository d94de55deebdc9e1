// SPDX-License-Identifier: Apache-2.0
// Six small files cut at every byte and with every single bit turned: an error, or an equal model. Two exceptions, each held to its
// place: a bit of a stored element of .h5 and .npy changes that element alone, and a bit of the configuration's text in a legacy .h5,
// which has no check sum, may give another sound configuration with the same weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <optional>

#include "io/isolation.h"
#include "io/keras_reader.h"
#include "io/npy.h"
#include "io/npz.h"
#include "support/temp_folder.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {
namespace {

using Bytes = std::vector<std::byte>;

const std::string kFolder = std::string(UPCONV_SOURCE_DIR) + "/tests/data/keras-files/";

Bytes contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> text{std::istreambuf_iterator<char>(file), {}};
  Bytes bytes(text.size());
  if (!text.empty()) std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

Bytes turned(Bytes bytes, std::size_t at, int bit) {
  bytes[at] ^= static_cast<std::byte>(1 << bit);
  return bytes;
}

/// What a file gave: everything but the elements as text, and the elements.
struct Decoded {
  std::string text;
  std::vector<Bytes> elements;

  void add(const std::string& name, const Tensor& tensor) {
    text += "\n" + name + " " + tensor.shape().str() + " " + std::string(name_of(tensor.dtype()));
    const auto* first = static_cast<const std::byte*>(tensor.bytes());
    elements.emplace_back(first, first + tensor.byte_size());
  }
  bool operator==(const Decoded&) const = default;
};

Decoded decoded(const Model& model) {
  Decoded out{model.name() + model.get_config().json(), {}};
  for (const auto& layer : model.layers()) out.text += "\n" + layer->serialize().json();
  for (const ModelInput& input : model.inputs()) out.text += "\n" + input.shape.str();
  for (const Model::WeightRef& weight : model.weights()) out.add(weight.layer->name(), weight.variable().value);
  return out;
}

Model small() {
  Model model({std::make_shared<Conv2DTranspose>(2, 2, Conv2DTransposeOptions{.kernel_initializer = "zeros", .name = "up"})}, "small", Shape{2, 2, 1});
  model.build();
  float value = 0.3F;
  for (const Model::WeightRef& weight : model.weights()) {
    Tensor tensor(weight.variable().value.shape());
    for (std::int64_t i = 0; i < tensor.elements(); ++i) tensor.data<float>()[i] = value *= -1.13F;
    weight.layer->assign(weight.index, tensor);
  }
  return model;
}

/// Weights alone, given to the architecture of `whole`.
Decoded with_architecture(const io::KerasParts& whole, const Bytes& bytes) {
  io::KerasParts file = io::read_keras_bytes(io::Bytes::view(bytes, "memory"), {});
  if (!file.weights) throw FileError("memory", "", "holds no weights");
  io::KerasParts parts;
  parts.path = "memory", parts.layout = whole.layout, parts.keras_version = whole.keras_version, parts.config = whole.config;
  parts.weights = std::move(file.weights);
  return decoded(io::model_of(parts, {}));
}

struct Case {
  const char* file;                          // of tests/data, or written here
  const char* architecture = "";             // of tests/data, where the file holds weights alone
  std::size_t step = 1;                      // every so-many-th bit is turned
};

class BrokenFile : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const std::string name = GetParam().file, given = kFolder + name;
    std::string path = given;
    if (!std::ifstream(given)) write(path = temp_ / name);
    bytes_ = contents(path);
    const std::string architecture = GetParam().architecture;
    if (name.ends_with(".npy")) {
      load_ = [](const Bytes& bytes) {
        Decoded out;
        out.add("", io::read_npy(io::Bytes::view(bytes, "memory"), {}));
        return out;
      };
    } else if (name.ends_with(".npz")) {
      load_ = [](const Bytes& bytes) {
        Decoded out;
        for (const auto& [array, tensor] : io::read_npz(io::Bytes::view(bytes, "memory"), {})) out.add(array, tensor);
        return out;
      };
    } else if (name.ends_with(".weights.h5")) {
      whole_ = io::read_keras_file(architecture.empty() ? temp_ / "whole.keras" : kFolder + architecture, {});
      load_ = [this](const Bytes& bytes) { return with_architecture(*whole_, bytes); };
    } else {
      load_ = [](const Bytes& bytes) { return decoded(load_model(bytes)); };
    }
    good_ = load_(bytes_);
  }

  void write(const std::string& path) const {
    const Model model = small();
    if (path.ends_with(".npy")) {
      const Bytes bytes = io::npy_bytes(model.weights().front().variable().value);
      std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    } else if (path.ends_with(".npz") || path.ends_with(".weights.h5")) {
      save_weights(model, path);
      save_model(model, temp_ / "whole.keras");
    } else {
      save_model(model, path);
    }
  }

  /// "" where `found` is allowed of a file with that bit turned.
  std::string complaint(const Decoded& found, std::size_t at, int bit) {
    if (found == good_) return "";
    if (found.text != good_.text) {
      if (found.elements != good_.elements || !in_text(at)) return "another configuration";
      ++other_configurations_;
      return "";
    }
    int changed = 0;
    for (std::size_t i = 0; i < good_.elements.size(); ++i)
      for (std::size_t k = 0; k < good_.elements[i].size(); ++k) {
        const std::byte difference = good_.elements[i][k] ^ found.elements[i][k];
        if (difference == std::byte{0}) continue;
        if (difference != std::byte(1 << bit) || good_.elements[i][k] != bytes_[at] || ++changed > 1) return "another element than the one that the bit belongs to";
      }
    ++other_elements_;
    return "";
  }

  /// Whether a place lies in the text of a legacy file's configuration.
  bool in_text(std::size_t at) const {
    const std::string_view file(reinterpret_cast<const char*>(bytes_.data()), bytes_.size()), start = "{\"class_name\"";
    const std::size_t first = file.find(start);
    return std::string_view(GetParam().file).find(".keras") == std::string_view::npos && first != std::string_view::npos && at >= first && at < file.find('\0', first);
  }

  test::TempFolder temp_;
  Bytes bytes_;
  std::optional<io::KerasParts> whole_;
  std::function<Decoded(const Bytes&)> load_;
  Decoded good_;
  std::size_t other_elements_ = 0, other_configurations_ = 0;
};

TEST_P(BrokenFile, CutAtEveryByte) {
  for (std::size_t size = 0; size < bytes_.size(); size += std::min(GetParam().step, std::size_t{3})) {
    try {
      ASSERT_TRUE(load_(Bytes(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(size))) == good_) << "cut to " << size << " of " << bytes_.size() << " bytes";
    } catch (const FileError&) {
    }
  }
}

/// A sample of the turned bits once more, decoded in a process of its own.
TEST_P(BrokenFile, GivesTheSameThroughTheHelper) {
  const std::string name = GetParam().file;
  if (io::helper_path().empty() || name.starts_with("small.n") || name.ends_with(".weights.h5")) GTEST_SKIP();
  const std::string path = temp_ / ("turned" + name.substr(name.rfind('.')));
  const auto outcome = [](const auto& load) -> std::optional<Decoded> {
    try {
      return load();
    } catch (const FileError&) {
      return std::nullopt;
    }
  };
  for (std::size_t i = 0; i < bytes_.size() * 8; i += bytes_.size() * 8 / 50 + 1) {
    const Bytes bytes = turned(bytes_, i / 8, static_cast<int>(i % 8));
    std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    const auto isolated = outcome([&] { return decoded(load_model(path, {.isolation = Isolation::process})); });
    const auto here = outcome([&] { return load_(bytes); });
    ASSERT_EQ(isolated.has_value(), here.has_value()) << "bit " << i;
    if (!here) continue;
    ASSERT_EQ(isolated->elements, here->elements) << "bit " << i;
    ASSERT_TRUE(isolated->text == here->text || in_text(i / 8)) << "bit " << i;           // there a layer may lose its name, and is given a new one
  }
}

TEST_P(BrokenFile, TurnedAtEveryBit) {
  std::size_t refused = 0, stored = 0;
  for (std::size_t i = 0; i < bytes_.size() * 8; i += GetParam().step) {
    const std::size_t at = i / 8;
    const int bit = static_cast<int>(i % 8);
    try {
      ASSERT_EQ(complaint(load_(turned(bytes_, at, bit)), at, bit), "") << "byte " << at << " of " << bytes_.size() << ", bit " << bit;
    } catch (const FileError&) {
      ++refused;
    }
  }
  for (const Bytes& tensor : good_.elements) stored += tensor.size() * 8;
  EXPECT_GT(refused, 0u);
  EXPECT_LE(other_elements_, stored);
  std::cout << GetParam().file << ": " << bytes_.size() * 8 / GetParam().step << " bits, " << refused << " refused, " << other_elements_ << " of " << stored
            << " stored bits change their element, " << other_configurations_ << " in the text of the configuration change it\n";
}

INSTANTIATE_TEST_SUITE_P(All, BrokenFile,
                         testing::Values(Case{"small.keras"}, Case{"deflated.keras"}, Case{"small.weights.h5"}, Case{"small.h5"}, Case{"small.npy"}, Case{"small.npz"},
                                         Case{"sequential.weights.h5", "sequential.keras", 11}, Case{"sequential.h5", "", 13}, Case{"compiled_adam.h5", "", 19},
                                         Case{"bfloat16.weights.h5", "bfloat16.keras", 17}, Case{"unicode_names.h5", "", 19}),
                         [](const auto& info) {
                           std::string name = info.param.file;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

/// A legacy file of small(), edited; the message of its refusal.
std::string refusal(const std::function<void(Bytes&)>& edit) {
  const test::TempFolder temp;
  const std::string path = temp / "m.h5";
  save_model(small(), path);
  Bytes bytes = contents(path);
  edit(bytes);
  try {
    load_model(bytes);
    return "loaded";
  } catch (const FileError& error) {
    return error.what();
  }
}

std::size_t place_of(const Bytes& bytes, std::string_view text) {
  const auto* first = reinterpret_cast<const std::byte*>(text.data());
  return static_cast<std::size_t>(std::search(bytes.begin(), bytes.end(), first, first + text.size()) - bytes.begin());
}

constexpr std::string_view kLocalHeap("HEAP\0\0\0\0", 8);

std::uint64_t number(const Bytes& bytes, std::size_t at) {
  std::uint64_t value;
  std::memcpy(&value, &bytes.at(at), sizeof value);
  return value;
}

/// libhdf5 takes as much memory as a local heap's size says.
TEST(BrokenHdf5, ALocalHeapLargerThanTheFileIsRefused) {
  EXPECT_NE(refusal([](Bytes& bytes) { bytes.at(place_of(bytes, kLocalHeap) + 8 + 4) = std::byte{16}; }).find("local heap"), std::string::npos);      // 64 GiB more
}

/// libhdf5 follows the list of free blocks until memory is gone.
TEST(BrokenHdf5, FreeBlocksInACircleAreRefused) {
  const std::string message = refusal([](Bytes& bytes) {
    const std::size_t heap = place_of(bytes, kLocalHeap), free = number(bytes, heap + 16), names = number(bytes, heap + 24);
    std::memcpy(&bytes.at(names + free), &free, sizeof free);
  });
  EXPECT_NE(message.find("circle"), std::string::npos) << message;
}

/// A link that libhdf5 1.10 cannot decode makes it free what was never made. Links with names beyond ASCII lie in object headers.
TEST(BrokenHdf5, ALinkWithUnknownFlagsIsRefused) {
  Bytes bytes = contents(kFolder + "unicode_names.h5");
  bytes.at(place_of(bytes, "\x01\x10\x01\x0f" "d\xc3\xa9" "conv") + 1) ^= std::byte{32};
  try {
    load_model(bytes);
    FAIL() << "loaded";
  } catch (const FileError& error) {
    EXPECT_NE(std::string(error.what()).find("link"), std::string::npos) << error.what();
  }
}

/// A 3 that becomes a 2 would give hard_sigmoid its older meaning.
TEST(BrokenHdf5, TwoVersionsOfKerasAreRefused) {
  const std::string message = refusal([](Bytes& bytes) { bytes.at(place_of(bytes, "3.15.1")) = std::byte{'2'}; });
  EXPECT_NE(message.find("two versions of Keras"), std::string::npos) << message;
}

/// A header that claims one message more than it holds.
TEST(BrokenHdf5, ErrorsNameTheObjectTheFaultAndTheByte) {
  const std::string message = refusal([](Bytes& bytes) { bytes.at(number(bytes, 64) + 2) ^= std::byte{16}; });
  EXPECT_NE(message.find("/: has"), std::string::npos) << message;
  EXPECT_NE(message.find("messages in an object header that claims"), std::string::npos) << message;
  EXPECT_NE(message.find("(byte 96)"), std::string::npos) << message;
}

}  // namespace
}  // namespace upconv
