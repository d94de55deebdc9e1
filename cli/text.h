// SPDX-License-Identifier: Apache-2.0
// Text of the command line: sizes as people type them, numbers as people read them, tables, output files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "upconv/conv_transpose.h"

namespace upconv::cli {

/// "10x8x128", "10,8,128" or "10 8 128" -> {10, 8, 128}. Throws ArgumentError that names `option`.
std::vector<std::int64_t> parse_sizes(std::string_view text, const std::string& option);
/// One size for both axes, or height and width: "2", "2x3".
Size2 parse_size2(std::string_view text, const std::string& option);

/// 13777 -> "13,777".
std::string grouped(std::int64_t value);
/// 1234567.0 -> "1.23 million"; below ten thousand the number itself.
std::string readable(double value);
/// 85584 -> "83.6 KiB".
std::string bytes_text(double bytes);
/// `digits` places after the point.
std::string fixed(double value, int digits);

/// Rows of cells under a header, columns padded to their widest cell. Columns named in `right` ("0110") are right-aligned.
class Table {
 public:
  explicit Table(std::vector<std::string> header, std::string right = "");
  void add(std::vector<std::string> cells);
  std::string str() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  std::string right_;
};

}  // namespace upconv::cli
