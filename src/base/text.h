// SPDX-License-Identifier: Apache-2.0
// Text for messages and files: concatenation, Python's number forms, escaping, near matches.
#pragma once

#include <initializer_list>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace upconv::base {

/// Streams all arguments into one string: cat("kernel_size=", 3).
template <class... Args>
std::string cat(const Args&... args) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  (out << ... << args);
  return out.str();
}

/// The shortest text that reads back as the same double, as Python's repr writes it: 1.0, 1e-07, 0.1, inf, nan.
std::string python_repr(double value);
/// Control characters, quotes and backslashes escaped (\n, \x1b, ...), so that a message is one safe line.
std::string escaped(std::string_view text);
std::string lower(std::string_view text);
std::string join(const std::vector<std::string>& parts, std::string_view separator);
/// " Did you mean 'x'?" for the nearest of `known` within two edits, else "".
std::string did_you_mean(std::string_view given, const std::vector<std::string>& known);

}  // namespace upconv::base
