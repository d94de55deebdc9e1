// SPDX-License-Identifier: Apache-2.0
// What the writers of ZIP, HDF5 and .npz make is what the readers give back, and the same bytes each time.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>

#include "io/hdf5.h"
#include "io/hdf5_writer.h"
#include "io/npz.h"
#include "io/zip.h"
#include "io/zip_writer.h"
#include "upconv/error.h"

namespace upconv::io {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

Tensor counting(const Shape& shape, DType dtype) {
  Tensor t(shape);
  std::iota(t.data<float>(), t.data<float>() + t.elements(), -3.5f);
  return t.cast(dtype);
}

void expect_same(const Tensor& a, const Tensor& b) {
  EXPECT_EQ(a.shape(), b.shape());
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.byte_size(), b.byte_size());
  EXPECT_EQ(std::memcmp(a.bytes(), b.bytes(), a.byte_size()), 0);
}

TEST(ZipWriter, ReadsBack) {
  const std::string text = "{}", odd("a\0b", 3);
  const std::vector<ZipMember> members{{"config.json", bytes_of(text)}, {"assets/\xc3\xa4.bin", bytes_of(odd)}, {"empty", {}}};
  const std::vector<std::byte> archive = zip_bytes(members);
  EXPECT_EQ(archive, zip_bytes(members));
  const Bytes file = Bytes::view(archive, "a.zip");
  const ZipReader reader(file, {});
  EXPECT_EQ(reader.names().size(), 3u);
  for (const ZipMember& m : members) {
    const std::vector<std::byte> got = reader.read(m.name);
    EXPECT_TRUE(std::equal(got.begin(), got.end(), m.bytes.begin(), m.bytes.end())) << m.name;
  }
}

TEST(ZipWriter, HasKerassHeaders) {
  const std::string text = "{}";
  const std::vector<std::byte> archive = zip_bytes({{"metadata.json", bytes_of(text)}});
  const auto u16 = [&](std::size_t at) { return static_cast<unsigned>(archive[at]) | static_cast<unsigned>(archive[at + 1]) << 8; };
  EXPECT_EQ(u16(8), 0u);                              // stored
  EXPECT_EQ(u16(12), 0x21u);                          // 1980-01-01
  const std::size_t central = 30 + 13 + 2;
  EXPECT_EQ(u16(central), 0x4b50u);
  EXPECT_EQ(u16(central + 40), 0100600u);             // the mode, in the upper half of the external attributes
}

TEST(ZipWriter, RefusesBadNames) {
  const auto write = [](const std::vector<std::string>& names) {
    std::vector<ZipMember> members;
    for (const std::string& name : names) members.push_back({name, {}});
    zip_bytes(members);
  };
  EXPECT_THROW(write({"a", "a"}), ArgumentError);
  EXPECT_THROW(write({""}), ArgumentError);
  EXPECT_THROW(write({std::string(70'000, 'n')}), ArgumentError);
  EXPECT_THROW(write(std::vector<std::string>(65'535, "n")), ArgumentError);
}

TEST(Npz, ReadsBackEveryFloat) {
  const Tensor x = counting({2, 3}, DType::float32), y = counting({}, DType::float64), z = counting({0, 4}, DType::float16);
  const std::vector<std::byte> archive = npz_bytes({{"x", x}, {"y", y}, {"z", z}});
  EXPECT_EQ(archive, npz_bytes({{"x", x}, {"y", y}, {"z", z}}));
  const auto arrays = read_npz(Bytes::view(archive, "a.npz"));
  ASSERT_EQ(arrays.size(), 3u);
  EXPECT_EQ(arrays[0].first, "x");
  expect_same(arrays[0].second, x);
  expect_same(arrays[1].second, y);
  expect_same(arrays[2].second, z);
}

TEST(Npz, RefusesOtherMembers) {
  for (const char* name : {"x.txt", ".npy", "x.npy"}) {
    const std::string text = "not an array";
    const std::vector<std::byte> archive = zip_bytes({{name, bytes_of(text)}});
    EXPECT_THROW(read_npz(Bytes::view(archive, "a.npz")), FileError) << name;
  }
}

Hdf5Node read_back(const std::vector<std::byte>& bytes) { return read_hdf5(Bytes::view(bytes, "a.h5"), {}); }

TEST(Hdf5Writer, DatasetsOfEveryDtypeReadBack) {
  const auto write = [] {
    Hdf5Writer writer;
    for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16})
      writer.dataset("layers/up/vars/" + std::string(name_of(dtype)), counting({3, 2, 5}, dtype));
    writer.dataset("scalar", counting({}, DType::float32));
    writer.dataset("nothing", counting({0, 3}, DType::float32));
    writer.counter("optimizer/vars/0", std::int64_t{1} << 40);
    writer.group("vars");
    writer.group("layers/up");
    return writer.finish();
  };
  const std::vector<std::byte> bytes = write();
  EXPECT_EQ(bytes, write());
  const Hdf5Node root = read_back(bytes);
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16}) {
    const Hdf5Node* node = root.find("layers/up/vars/" + std::string(name_of(dtype)));
    ASSERT_NE(node, nullptr) << name_of(dtype);
    expect_same(node->data, counting({3, 2, 5}, dtype));
  }
  expect_same(root.find("scalar")->data, counting({}, DType::float32));
  EXPECT_EQ(root.find("nothing")->shape, (Shape{0, 3}));
  EXPECT_EQ(root.find("optimizer/vars/0")->integers, std::vector<std::int64_t>{std::int64_t{1} << 40});
  ASSERT_NE(root.find("vars"), nullptr);
  EXPECT_TRUE(root.find("vars")->children.empty());
}

TEST(Hdf5Writer, AttributesReadBack) {
  Hdf5Writer writer;
  writer.group("layers/up/vars");
  writer.attribute("", "keras_version", "3.15.0");
  writer.attribute("", "model_config", std::string(60'000, 'j'));
  writer.attribute("layers/up/vars", "name", "gr\xc3\xbc\xc3\x9f" "e");
  writer.attribute("layers", "layer_names", Config::list({"a", "bcd", ""}));
  writer.attribute("layers", "weight_names", Config::list({}));
  writer.attribute("layers", "count", 7);
  writer.attribute("layers", "rate", 0.1);
  EXPECT_THROW(writer.attribute("layers", "flag", true), ArgumentError);
  const Hdf5Node root = read_back(writer.finish());
  EXPECT_EQ(*root.attribute("keras_version"), Config("3.15.0"));
  EXPECT_EQ(root.attribute("model_config")->as_string().size(), 60'000u);
  EXPECT_EQ(*root.find("layers/up/vars")->attribute("name"), Config("gr\xc3\xbc\xc3\x9f" "e"));
  const Hdf5Node& layers = *root.find("layers");
  EXPECT_EQ(*layers.attribute("layer_names"), Config::list({"a", "bcd", ""}));
  EXPECT_EQ(*layers.attribute("weight_names"), Config::list({}));
  EXPECT_EQ(*layers.attribute("count"), Config(7));
  EXPECT_EQ(*layers.attribute("rate"), Config(0.1));
}

TEST(Hdf5Writer, SplitsLongListsAsKerasDoes) {
  Config::List names;
  for (int i = 0; i < 2000; ++i) names.push_back("conv2d_transpose_with_a_long_name_" + std::to_string(10'000 + i));
  Hdf5Writer writer;
  writer.attribute("", "layer_names", names);         // 39 bytes each: two pieces
  const Hdf5Node root = read_back(writer.finish());
  EXPECT_EQ(root.attribute("layer_names"), nullptr);
  ASSERT_NE(root.attribute("layer_names1"), nullptr);
  EXPECT_EQ(root.attribute("layer_names2"), nullptr);
  Config::List joined = root.attribute("layer_names0")->as_list();
  const Config::List& rest = root.attribute("layer_names1")->as_list();
  joined.insert(joined.end(), rest.begin(), rest.end());
  EXPECT_EQ(Config(joined), Config(names));
}

TEST(Hdf5Writer, RefusesAPathTwiceAndTwoWritersLiveSideBySide) {
  Hdf5Writer first, second;
  first.dataset("a/b", counting({2}, DType::float32));
  second.dataset("a/b", counting({3}, DType::float32));
  EXPECT_THROW(first.dataset("a/b", counting({2}, DType::float32)), ArgumentError);
  EXPECT_THROW(first.dataset("a/b/c", counting({2}, DType::float32)), StateError);
  EXPECT_EQ(read_back(first.finish()).find("a/b")->shape, (Shape{2}));
  EXPECT_EQ(read_back(second.finish()).find("a/b")->shape, (Shape{3}));
}

}  // namespace
}  // namespace upconv::io
