// SPDX-License-Identifier: Apache-2.0
#include "support/npz.h"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string_view>
#include <vector>

namespace upconv::test {

namespace {

template <class T>
T read(std::string_view bytes, std::size_t at) {
  T value;
  if (at + sizeof value > bytes.size()) throw std::runtime_error("the file ends too early");
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <class T>
Tensor widened(std::string_view data, const Shape& shape) {
  Tensor out(shape, DType::float64);
  for (std::size_t i = 0; i < out.span<double>().size(); ++i) out.data<double>()[i] = static_cast<double>(read<T>(data, i * sizeof(T)));
  return out;
}

Tensor stored(std::string_view data, const Shape& shape, DType dtype) {
  Tensor out(shape, dtype);
  if (data.size() != out.byte_size()) throw std::runtime_error("an array's size is not that of its shape");
  if (!data.empty()) std::memcpy(out.bytes(), data.data(), data.size());
  return out;
}

Shape parse_shape(std::string_view header) {
  const std::size_t begin = header.find("'shape': (") + 10;
  std::vector<std::int64_t> dims;
  for (std::size_t at = begin; header[at] != ')';) {
    if (header[at] < '0' || header[at] > '9') { ++at; continue; }
    dims.push_back(0);
    for (; header[at] >= '0' && header[at] <= '9'; ++at) dims.back() = dims.back() * 10 + (header[at] - '0');
  }
  return Shape(dims);
}

Tensor parse_npy(std::string_view npy) {
  if (npy.substr(0, 8) != std::string_view("\x93NUMPY\x01\x00", 8)) throw std::runtime_error("a member is no .npy of version 1");
  const std::size_t length = read<std::uint16_t>(npy, 8);
  const std::string_view header = npy.substr(10, length), data = npy.substr(10 + length);
  if (header.find("'fortran_order': False") == std::string_view::npos) throw std::runtime_error("an array is not in C order");
  const std::string_view type = header.substr(header.find("'descr': '") + 10, 3);
  const Shape shape = parse_shape(header);
  if (type == "<f4") return stored(data, shape, DType::float32);
  if (type == "<f8") return stored(data, shape, DType::float64);
  if (type == "<f2") return stored(data, shape, DType::float16);
  if (type == "<u2") return stored(data, shape, DType::bfloat16);
  if (type == "<i4") return widened<std::int32_t>(data, shape);
  if (type == "<i8") return widened<std::int64_t>(data, shape);
  throw std::runtime_error("unknown element type " + std::string(type));
}

}  // namespace

std::map<std::string, Tensor> read_npz(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string content(std::istreambuf_iterator<char>(file), {});
  const std::string_view bytes = content;
  const std::size_t end = bytes.rfind("PK\x05\x06");
  if (end == std::string_view::npos) throw std::runtime_error(path + " is no ZIP file");
  std::map<std::string, Tensor> members;
  std::size_t entry = read<std::uint32_t>(bytes, end + 16);
  for (int left = read<std::uint16_t>(bytes, end + 10); left > 0; --left) {
    if (read<std::uint16_t>(bytes, entry + 10) != 0) throw std::runtime_error(path + " is compressed");
    const std::size_t size = read<std::uint32_t>(bytes, entry + 20), name = read<std::uint16_t>(bytes, entry + 28);
    const std::size_t local = read<std::uint32_t>(bytes, entry + 42);
    const std::size_t data = local + 30 + read<std::uint16_t>(bytes, local + 26) + read<std::uint16_t>(bytes, local + 28);
    members.emplace(bytes.substr(entry + 46, name - 4), parse_npy(bytes.substr(data, size)));
    entry += 46 + name + read<std::uint16_t>(bytes, entry + 30) + read<std::uint16_t>(bytes, entry + 32);
  }
  return members;
}

}  // namespace upconv::test
