// SPDX-License-Identifier: Apache-2.0
// The header is a Python dictionary {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }: read by a small strict
// scanner, never evaluated.
#include "io/npy.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/text.h"
#include "io/byte_order.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr std::int64_t kLongestHeader = 10'000;         // NumPy's own limit

struct Header {
  std::string descr;
  bool fortran_order = false;
  Shape shape;
};

class HeaderParser {
 public:
  HeaderParser(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Header parse() {
    Header header;
    int seen = 0;
    expect('{');
    while (!take('}')) {
      const std::string key = string();
      expect(':');
      if (key == "descr" && !(seen & 1)) header.descr = string(), seen |= 1;
      else if (key == "fortran_order" && !(seen & 2)) header.fortran_order = boolean(), seen |= 2;
      else if (key == "shape" && !(seen & 4)) header.shape = shape(), seen |= 4;
      else fail("has an unknown or repeated key");
      if (!take(',')) {
        expect('}');
        break;
      }
    }
    skip();
    if (seen != 7 || at_ != text_.size()) fail("is not {'descr': ..., 'fortran_order': ..., 'shape': ...}");
    return header;
  }

 private:
  [[noreturn]] void fail(const char* why) const { throw FileError(path_, base::cat("byte ", at_ + 10), base::cat("the .npy header ", why)); }
  void skip() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\t')) ++at_;
  }
  bool take(char c) {
    skip();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!take(c)) fail("is no Python dictionary of three entries");
  }
  std::string string() {
    skip();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail("holds something else than a plain dtype (arrays of objects or fields are refused)");
    const std::size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("has an open string");
    std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip();
    for (const auto& [word, value] : {std::pair{"True", true}, std::pair{"False", false}})
      if (text_.substr(at_, std::strlen(word)) == word) {
        at_ += std::strlen(word);
        return value;
      }
    fail("has a fortran_order that is neither True nor False");
  }
  Shape shape() {
    Shape shape;
    expect('(');
    while (!take(')')) {
      skip();
      std::int64_t value = 0;
      const std::size_t start = at_;
      for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9' && at_ - start < 18; ++at_) value = value * 10 + (text_[at_] - '0');
      if (at_ == start) fail("has a shape that is no tuple of whole numbers");
      if (shape.rank() == Shape::max_rank) fail("has more than 8 dimensions");
      shape.push_back(value);
      if (!take(',')) {
        expect(')');
        break;
      }
    }
    return shape;
  }

  std::string_view text_;
  const std::string& path_;
  std::size_t at_ = 0;
};

/// The header and the place where the elements start.
std::pair<Header, std::int64_t> read_header(const Bytes& file) {
  if (!file.starts_with("\x93NUMPY")) throw FileError(file.path(), "", "is not a .npy file");
  unsigned char version[2];
  file.read(6, std::as_writable_bytes(std::span(version)));
  if (version[0] < 1 || version[0] > 3) throw FileError(file.path(), "byte 6", base::cat("is .npy version ", int{version[0]}, "; 1 to 3 are read"));
  const std::size_t width = version[0] == 1 ? 2 : 4;
  unsigned char length[4] = {};
  file.read(8, std::as_writable_bytes(std::span(length, width)));
  const std::int64_t bytes = length[0] | length[1] << 8 | length[2] << 16 | std::int64_t{length[3]} << 24;
  if (bytes > kLongestHeader) throw FileError(file.path(), "byte 8", base::cat("the .npy header claims ", bytes, " bytes; at most ", kLongestHeader, " are read"));
  std::string text(static_cast<std::size_t>(bytes), '\0');
  const auto start = static_cast<std::int64_t>(8 + width);
  file.read(start, std::as_writable_bytes(std::span(text)));
  return {HeaderParser(text, file.path()).parse(), start + bytes};
}

DType dtype_of_descr(const std::string& descr, const std::string& path) {
  if (descr.size() == 3 && (descr[0] == '<' || descr[0] == '>' || descr[0] == '=') && descr[1] == 'f') {
    if (descr[2] == '2') return DType::float16;
    if (descr[2] == '4') return DType::float32;
    if (descr[2] == '8') return DType::float64;
  }
  throw FileError(path, "", base::cat("holds elements of dtype '", descr, "'; float16, float32 and float64 are read (x.astype(\"float32\"))"));
}

void swap_bytes(std::byte* data, std::int64_t count, std::size_t size) {
  for (std::int64_t i = 0; i < count; ++i, data += size) std::reverse(data, data + size);
}

/// Elements of a Fortran-ordered array put in C order.
Tensor from_fortran(const Tensor& t) {
  Tensor out = Tensor::uninitialized(t.shape(), t.dtype());
  const std::size_t size = size_of(t.dtype()), rank = t.shape().rank();
  const auto* from = static_cast<const std::byte*>(t.bytes());
  auto* to = static_cast<std::byte*>(out.bytes());
  std::int64_t index[Shape::max_rank] = {};
  for (std::int64_t i = 0; i < t.elements(); ++i) {
    std::int64_t offset = 0, stride = 1;
    for (std::size_t axis = 0; axis < rank; ++axis) offset += index[axis] * stride, stride *= t.shape()[axis];
    std::memcpy(to + static_cast<std::size_t>(i) * size, from + static_cast<std::size_t>(offset) * size, size);
    for (std::size_t axis = rank; axis-- > 0;) {
      if (++index[axis] < t.shape()[axis]) break;
      index[axis] = 0;
    }
  }
  return out;
}

}  // namespace

Tensor read_npy(const Bytes& file, const LoadLimits& limits) {
  const auto [header, start] = read_header(file);
  const DType dtype = dtype_of_descr(header.descr, file.path());
  std::int64_t bytes = 0;
  try {
    bytes = base::checked_mul(header.shape.elements(), static_cast<std::int64_t>(size_of(dtype)), "array size");
  } catch (const ArgumentError& e) {
    throw FileError(file.path(), "", e.what());
  }
  if (bytes != file.size() - start)
    throw FileError(file.path(), "", base::cat("the shape ", header.shape.str(), " needs ", bytes, " bytes, the file holds ", file.size() - start));
  if (bytes > limits.tensor_bytes) throw FileError(file.path(), "", base::cat("holds ", bytes, " bytes; at most ", limits.tensor_bytes, " are read"));
  Tensor t = Tensor::uninitialized(header.shape, dtype);
  if (bytes == 0) return t;
  file.read(start, {static_cast<std::byte*>(t.bytes()), t.byte_size()});
  if (header.descr[0] == '>') {
    swap_bytes(static_cast<std::byte*>(t.bytes()), t.elements(), size_of(dtype));
    if (usual_sizes(t).absurd()) throw FileError(file.path(), "descr", "holds numbers of absurd size, and of a usual one in the other byte order");
  }
  return header.fortran_order ? from_fortran(t) : std::move(t);
}

std::vector<std::byte> npy_bytes(ConstTensorView tensor) {
  const char* descr = tensor.dtype == DType::float32 ? "<f4" : tensor.dtype == DType::float64 ? "<f8" : tensor.dtype == DType::float16 ? "<f2" : "<u2";
  std::string header = base::cat("{'descr': '", descr, "', 'fortran_order': False, 'shape': ", tensor.shape.str(), ", }");
  header.append(63 - (10 + header.size()) % 64, ' ');
  header += '\n';
  std::string head = "\x93NUMPY\x01";
  head += '\0';
  head += static_cast<char>(header.size() & 255);
  head += static_cast<char>(header.size() >> 8);
  head += header;
  std::vector<std::byte> out(head.size() + tensor.byte_size());
  std::memcpy(out.data(), head.data(), head.size());
  if (tensor.byte_size()) std::memcpy(out.data() + head.size(), tensor.bytes, tensor.byte_size());
  return out;
}

}  // namespace upconv::io
