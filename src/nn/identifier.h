// SPDX-License-Identifier: Apache-2.0
// What initialisers, regularisers and constraints share when they come from a Keras identifier.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "upconv/config.h"

namespace upconv::nn {

/// A Keras object dictionary taken apart: {"class_name": ..., "config": {...}}; a name alone has an empty config.
struct Identifier {
  std::string class_name;
  Config config;
};

/// `role`: "initializer", ... for the message "Could not interpret initializer identifier: ..." of an ArgumentError.
Identifier parse_identifier(const Config& identifier, std::string_view role);
[[noreturn]] void unknown_identifier(std::string_view role, const std::string& shown, const std::vector<std::string>& known);

/// Throws ArgumentError when `config` has a key outside `keys`.
void check_keys(const Identifier& id, std::initializer_list<std::string_view> keys);
/// config[key], or `missing` where the key is absent.
double number_or(const Config& config, std::string_view key, double missing);

/// {"module": "keras.<module>", "class_name", "config", "registered_name": null}
Config keras_object(std::string_view module, std::string_view class_name, Config config);

}  // namespace upconv::nn
