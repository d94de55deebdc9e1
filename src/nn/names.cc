// SPDX-License-Identifier: Apache-2.0
#include "nn/names.h"

#include <map>
#include <mutex>

#include "base/text.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv {

namespace {
std::mutex counters_mutex;
std::map<std::string, int, std::less<>> counters;
}  // namespace

namespace nn {

UPCONV_EXPORT std::string next_name(std::string_view prefix) {
  const std::lock_guard lock(counters_mutex);
  const int count = counters[std::string(prefix)]++;
  return count == 0 ? std::string(prefix) : base::cat(prefix, "_", count);
}

void check_name(const std::string& name) {
  if (name.find('/') != std::string::npos)
    throw ArgumentError("name", base::cat("Argument `name` must be a string and cannot contain character `/`. Received: name=",
                                          base::escaped(name), " (of type <class 'str'>)"));
}

UPCONV_EXPORT std::string snake_case(std::string_view class_name) {
  std::string out;
  const auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto small = [](char c) { return c >= 'a' && c <= 'z'; };
  for (std::size_t i = 0; i < class_name.size(); ++i) {
    const char c = class_name[i];
    // Keras's two rules: before a capital that a lower-case letter follows, and between a lower-case letter and a capital.
    const bool starts_word = i + 1 < class_name.size() && small(class_name[i + 1]);
    if (i > 0 && upper(c) && (starts_word || small(class_name[i - 1]))) out += '_';
    out += static_cast<char>(upper(c) ? c - 'A' + 'a' : c);
  }
  return out;
}

}  // namespace nn

void clear_session() {
  const std::lock_guard lock(counters_mutex);
  counters.clear();
}

}  // namespace upconv
