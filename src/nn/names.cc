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

std::string next_name(std::string_view prefix) {
  const std::lock_guard lock(counters_mutex);
  const int count = counters[std::string(prefix)]++;
  return count == 0 ? std::string(prefix) : base::cat(prefix, "_", count);
}

void check_name(const std::string& name) {
  if (name.find('/') != std::string::npos)
    throw ArgumentError("name", base::cat("Argument `name` must be a string and cannot contain character `/`. Received: name=",
                                          base::escaped(name), " (of type <class 'str'>)"));
}

}  // namespace nn

void clear_session() {
  const std::lock_guard lock(counters_mutex);
  counters.clear();
}

}  // namespace upconv
