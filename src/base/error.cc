// SPDX-License-Identifier: Apache-2.0
#include "upconv/error.h"

#include "base/text.h"

namespace upconv {

ArgumentError::ArgumentError(std::string argument, const std::string& message)
    : std::invalid_argument(message), argument_(std::move(argument)) {}
ArgumentError::~ArgumentError() = default;

static std::string file_message(const std::string& path, const std::string& where, const std::string& message) {
  std::vector<std::string> parts;
  for (const std::string* part : {&path, &where, &message})
    if (!part->empty()) parts.push_back(base::escaped(*part));
  return base::join(parts, ": ");
}

FileError::FileError(std::string path, std::string where, const std::string& message, Kind kind)
    : std::runtime_error(file_message(path, where, message)),
      path_(std::move(path)), where_(std::move(where)), reason_(message), kind_(kind) {}
FileError::~FileError() = default;

StateError::StateError(const std::string& message, Kind kind) : std::runtime_error(message), kind_(kind) {}
StateError::~StateError() = default;

}  // namespace upconv
