// SPDX-License-Identifier: Apache-2.0
// JSON text into a Config: strict, except for the NaN and Infinity tokens that Python writes. Config::json() writes it.
#pragma once

#include <string>
#include <string_view>

#include "upconv/config.h"
#include "upconv/io.h"

namespace upconv::io {

/// Throws FileError (path, where) for anything that is not one JSON value within the limits; a repeated key is an error.
Config parse_json(std::string_view text, const std::string& path, const std::string& where, const LoadLimits& limits);

}  // namespace upconv::io
