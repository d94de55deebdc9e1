// SPDX-License-Identifier: Apache-2.0
// Decoding in a sandboxed process: the same parts as in this one, and a FileError for whatever such a process may do wrong.
#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "io/frames.h"
#include "io/isolation.h"
#include "support/temp_folder.h"
#include "upconv/error.h"

namespace upconv::io {
namespace {

namespace fs = std::filesystem;

const std::string kFolder = std::string(UPCONV_SOURCE_DIR) + "/tests/data/keras-files/";
const LoadOptions kProcess{.isolation = Isolation::process};

void expect_equal(const Hdf5Node& a, const Hdf5Node& b, const std::string& where) {
  SCOPED_TRACE(where + "/" + a.name);
  EXPECT_EQ(a.name, b.name);
  EXPECT_EQ(a.is_group, b.is_group);
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.integers, b.integers);
  ASSERT_EQ(a.attributes.size(), b.attributes.size());
  for (std::size_t i = 0; i < a.attributes.size(); ++i) {
    EXPECT_EQ(a.attributes[i].first, b.attributes[i].first);
    EXPECT_EQ(a.attributes[i].second.json(), b.attributes[i].second.json());
  }
  EXPECT_EQ(a.data.dtype(), b.data.dtype());
  ASSERT_EQ(a.data.byte_size(), b.data.byte_size());
  EXPECT_TRUE(a.data.byte_size() == 0 || std::memcmp(a.data.bytes(), b.data.bytes(), a.data.byte_size()) == 0);
  ASSERT_EQ(a.children.size(), b.children.size());
  for (std::size_t i = 0; i < a.children.size(); ++i) expect_equal(a.children[i], b.children[i], where + "/" + a.name);
}

void expect_equal(const KerasParts& a, const KerasParts& b) {
  EXPECT_EQ(a.path, b.path);
  EXPECT_EQ(a.layout, b.layout);
  EXPECT_EQ(a.keras_version, b.keras_version);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.has_optimizer_state, b.has_optimizer_state);
  EXPECT_EQ(a.metadata.json(), b.metadata.json());
  EXPECT_EQ(a.config.json(), b.config.json());
  ASSERT_EQ(a.weights.has_value(), b.weights.has_value());
  if (a.weights) expect_equal(*a.weights, *b.weights, "");
}

class Isolated : public testing::Test {
 protected:
  void SetUp() override {
    if (helper_path().empty()) GTEST_SKIP() << "built without libseccomp, so there is no upconv-decode";
  }

  /// A program in the helper's place.
  std::string script(const std::string& text) const {
    const std::string path = folder_ / "helper";
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    fs::permissions(path, fs::perms::owner_all);
    return path;
  }

  std::string error_of(const std::string& program, LoadOptions options = kProcess) const {
    try {
      decode_isolated(Bytes::open(kFolder + "sequential.keras"), options, program);
    } catch (const FileError& e) {
      EXPECT_EQ(e.path(), kFolder + "sequential.keras");
      return e.reason();
    }
    return "no error";
  }

  test::TempFolder folder_;
};

TEST_F(Isolated, EveryFileDecodesToTheSameParts) {
  int files = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(kFolder)) {
    const std::string path = entry.path();
    if (!entry.is_directory() && !path.ends_with(".keras") && !path.ends_with(".h5") && !path.ends_with(".json")) continue;
    SCOPED_TRACE(path);
    expect_equal(read_keras_file(path, {}), read_keras_file(path, kProcess));
    ++files;
  }
  EXPECT_GE(files, 60);
}

TEST_F(Isolated, BytesInMemoryDecodeToo) {
  std::ifstream file(kFolder + "deflated.keras", std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto bytes = std::as_bytes(std::span(text));
  expect_equal(read_keras_bytes(Bytes::view(bytes, "memory"), {}), read_keras_bytes(Bytes::view(bytes, "memory"), kProcess));
}

TEST_F(Isolated, AFilesFaultIsTheSameError) {
  const std::string path = folder_ / "broken.keras";
  std::ofstream(path, std::ios::binary) << "PK\x03\x04 and nothing more";
  std::string messages[2];
  for (const Isolation isolation : {Isolation::none, Isolation::process}) {
    try {
      load_model(path, {.isolation = isolation});
    } catch (const FileError& e) {
      messages[isolation == Isolation::process] = e.what();
    }
  }
  EXPECT_NE(messages[0], "");
  EXPECT_EQ(messages[0], messages[1]);
}

TEST_F(Isolated, LimitsHoldInTheProcess) {
  LoadOptions options = kProcess;
  options.limits.tensor_bytes = 100;
  EXPECT_THROW(read_keras_file(kFolder + "sequential.keras", options), FileError);
}

TEST_F(Isolated, AHelperThatCrashesIsAFileError) {
  EXPECT_NE(error_of(script("kill -SEGV $$")).find("stopped by signal 11"), std::string::npos);
  EXPECT_NE(error_of(script("printf '\\002'; kill -KILL $$")).find("stopped by signal 9"), std::string::npos);
  EXPECT_NE(error_of(script("exit 7")).find("ended too early, with exit code 7"), std::string::npos);
  EXPECT_NE(error_of(script("printf '\\002\\001'")).find("ended too early"), std::string::npos);
}

TEST_F(Isolated, AHelperThatIsSilentIsStopped) {
  LoadOptions options = kProcess;
  options.limits.seconds = 1;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_NE(error_of(script("exec sleep 100"), options).find("silent for 1 seconds"), std::string::npos);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));
}

TEST_F(Isolated, AHelperThatTalksNonsenseIsAFileError) {
  EXPECT_NE(error_of(script("printf hello")).find("broke the protocol"), std::string::npos);
  EXPECT_NE(error_of(script("printf '\\002zzzzzzzzzzzz'")).find("broke the protocol"), std::string::npos);
  EXPECT_NE(error_of(script("printf '\\002\\001\\377\\377\\377\\377\\377\\377\\377\\377'")).find("broke the protocol"), std::string::npos);
}

TEST_F(Isolated, WithoutASandboxProcessRefusesAndAutomaticTells) {
  for (const std::string& program : {std::string(), script("printf '\\001'")}) {
    EXPECT_NE(error_of(program).find("cannot be decoded in a sandbox"), std::string::npos);
    std::string note;
    const LoadOptions automatic{.on_note = [&](const std::string& text) { note = text; }, .isolation = Isolation::automatic};
    EXPECT_FALSE(decode_isolated(Bytes::open(kFolder + "sequential.keras"), automatic, program).has_value());
    EXPECT_NE(note.find("without a sandbox"), std::string::npos);
  }
}

class Frames : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, Frames, testing::Values("deflated.keras", "sequential.keras"));      // tensors sent, and left where they lie

TEST_P(Frames, AnyBitMayFlip) {
  const Bytes file = Bytes::open(kFolder + GetParam());
  std::string frames;
  write_frames(decode_keras_bytes(file, {}, Tensors::left_in_file), [&](std::span<const std::byte> bytes) { frames.append(reinterpret_cast<const char*>(bytes.data()), bytes.size()); });
  const auto read = [&](const std::string& text) {
    std::size_t at = 0;
    return read_frames(file, {.tensor_bytes = 1 << 20}, [&](std::span<std::byte> to) {
      if (to.size() > text.size() - at) throw FileError("flipped", "", "ends");
      std::memcpy(to.data(), text.data() + at, to.size());
      at += to.size();
    });
  };
  expect_equal(read(frames), decode_keras_bytes(file, {}));
  int errors = 0;
  // Every bit of the first 4 KiB (names, JSON, shapes), then every 101st.
  for (std::size_t bit = 0; bit < frames.size() * 8; bit += bit < 4096 * 8 ? 1 : 101) {
    std::string flipped = frames;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    try {
      read(flipped);
    } catch (const FileError&) {
      ++errors;
    }
  }
  EXPECT_GT(errors, 1000);
  for (std::size_t length = 0; length < frames.size(); length += length < 4096 ? 1 : 997) EXPECT_THROW(read(frames.substr(0, length)), FileError);
}

TEST(Isolation, IsReadByName) {
  EXPECT_EQ(parse_isolation("none"), Isolation::none);
  EXPECT_EQ(parse_isolation("automatic"), Isolation::automatic);
  EXPECT_EQ(parse_isolation("process"), Isolation::process);
  EXPECT_THROW(parse_isolation("sandbox"), ArgumentError);
}

}  // namespace
}  // namespace upconv::io
