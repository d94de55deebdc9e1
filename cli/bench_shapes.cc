// SPDX-License-Identifier: Apache-2.0
#include "bench_shapes.h"

#include <charconv>
#include <sstream>

#include "base/text.h"
#include "io/bytes.h"
#include "upconv/error.h"

namespace upconv::cli {
namespace {

constexpr const char* kHeader = "name,n,h,w,c,f,kh,kw,sh,sw,padding,activation";
constexpr const char* kDefaults =
    "name,n,h,w,c,f,kh,kw,sh,sw,padding,activation\n"
    "page_example,4,10,8,128,32,2,2,2,2,valid,relu\n"
    "dcgan,1,16,16,256,128,4,4,2,2,same,relu\n"
    "unet,1,64,64,128,64,2,2,2,2,valid,linear\n"
    "decoder,1,64,48,256,256,4,4,2,2,same,relu\n"
    "rgb_output,1,64,64,64,3,4,4,2,2,same,tanh\n"
    "superres,1,128,128,56,1,9,9,2,2,same,linear\n";

std::vector<std::string> split(const std::string& line) {
  std::vector<std::string> cells;
  std::istringstream in(line);
  for (std::string cell; std::getline(in, cell, ',');) cells.push_back(cell);
  return cells;
}

std::vector<BenchShape> parse(const std::string& text, const std::string& path) {
  std::istringstream in(text);
  std::vector<BenchShape> shapes;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const auto fail = [&](const std::string& why) { throw FileError(path, base::cat("line ", number), why); };
    if (number == 1) {
      if (line != kHeader) fail(base::cat("the first line must be ", kHeader));
      continue;
    }
    if (line.empty()) continue;
    const std::vector<std::string> cells = split(line);
    if (cells.size() != 12) fail(base::cat("holds ", cells.size(), " columns; 12 are needed"));
    std::int64_t v[9];
    for (std::size_t i = 0; i < 9; ++i) {
      const char* const end = cells[i + 1].data() + cells[i + 1].size();
      const auto [next, error] = std::from_chars(cells[i + 1].data(), end, v[i]);
      if (error != std::errc() || next != end || v[i] < 1) fail(base::cat("'", base::escaped(cells[i + 1]), "' is no size > 0"));
    }
    shapes.push_back({cells[0], {v[0], v[1], v[2], v[3]}, v[4], {v[5], v[6]}, {v[7], v[8]}, cells[10], cells[11]});
    try {
      shapes.back().layer("float32");
    } catch (const ArgumentError& error) {
      fail(error.what());
    }
  }
  return shapes;
}

}  // namespace

Conv2DTranspose BenchShape::layer(const std::string& dtype) const {
  return Conv2DTranspose(filters, kernel_size, {.strides = strides, .padding = padding, .data_format = "channels_last",
                                                .activation = Activation(activation), .name = name, .dtype = dtype});
}

double BenchShape::operations() const {
  return 2.0 * static_cast<double>(input.elements()) * static_cast<double>(kernel_size.h * kernel_size.w * filters);
}

std::string BenchShape::text() const {
  const auto pair = [](Size2 s) { return s.h == s.w ? std::to_string(s.h) : base::cat(s.h, "x", s.w); };
  return base::cat(input[0] > 1 ? base::cat(input[0], "x") : "", input[1], "x", input[2], "x", input[3], " -> ", filters, ", k",
                   pair(kernel_size), "s", pair(strides), " ", padding);
}

std::vector<BenchShape> read_shapes(const std::string& path) {
  const std::vector<std::byte> bytes = io::Bytes::open(path).all(1 << 20);
  return parse(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), path);
}

std::vector<BenchShape> default_shapes() { return parse(kDefaults, "built-in shapes"); }

}  // namespace upconv::cli
