// SPDX-License-Identifier: Apache-2.0
#include "text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::cli {

std::vector<std::int64_t> parse_sizes(std::string_view text, const std::string& option) {
  std::vector<std::int64_t> sizes;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (true) {
    std::int64_t value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    if (error != std::errc() || (next != end && std::string_view("x,X ").find(*next) == std::string_view::npos))
      throw ArgumentError(option, base::cat("--", option, " takes whole numbers such as 2, 3x2 or 10x8x128. Received: ",
                                            base::escaped(text)));
    sizes.push_back(value);
    if (next == end) return sizes;
    at = next + 1;
  }
}

Size2 parse_size2(std::string_view text, const std::string& option) {
  const std::vector<std::int64_t> sizes = parse_sizes(text, option);
  if (sizes.size() > 2)
    throw ArgumentError(option, base::cat("--", option, " takes one number, or height x width. Received: ", base::escaped(text)));
  return {sizes.front(), sizes.back()};
}

std::string grouped(std::int64_t value) {
  std::string digits = std::to_string(value);
  const std::ptrdiff_t first = value < 0 ? 1 : 0;
  for (std::ptrdiff_t at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > first; at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

std::string fixed(double value, int digits) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

std::string readable(double value) {
  if (value < 1e4) return fixed(value, 0);
  static constexpr std::pair<double, const char*> units[] = {{1e12, " trillion"}, {1e9, " billion"}, {1e6, " million"}, {1e3, " thousand"}};
  for (const auto& [unit, name] : units)
    if (value >= unit) return fixed(value / unit, value < 10 * unit ? 2 : 1) + name;
  return {};
}

std::string bytes_text(double bytes) {
  static constexpr std::pair<double, const char*> units[] = {{0x1p30, " GiB"}, {0x1p20, " MiB"}, {0x1p10, " KiB"}};
  for (const auto& [unit, name] : units)
    if (bytes >= unit) return fixed(bytes / unit, 1) + name;
  return fixed(bytes, 0) + " bytes";
}

Table::Table(std::vector<std::string> header, std::string right) : rows_{std::move(header)}, right_(std::move(right)) {}

void Table::add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }

/// Characters as a terminal counts them: UTF-8 continuation bytes take no room.
static std::size_t width(const std::string& cell) {
  return static_cast<std::size_t>(std::count_if(cell.begin(), cell.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Table::str() const {
  std::vector<std::size_t> widths(rows_.front().size());
  for (const auto& row : rows_)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], width(row[c]));
  std::string out;
  for (std::size_t r = 0; r < rows_.size(); ++r) {
    std::string line;
    for (std::size_t c = 0; c < rows_[r].size(); ++c) {
      const std::string blank(widths[c] - width(rows_[r][c]), ' ');
      line += c < right_.size() && right_[c] == '1' ? blank + rows_[r][c] : rows_[r][c] + blank;
      line += "  ";
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
    if (r > 0 || rows_[0].empty()) continue;
    std::size_t total = 0;
    for (const std::size_t w : widths) total += w + 2;
    out += std::string(total - 2, '-') + "\n";
  }
  return out;
}

}  // namespace upconv::cli
