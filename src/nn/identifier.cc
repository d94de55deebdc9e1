// SPDX-License-Identifier: Apache-2.0
#include "nn/identifier.h"

#include <algorithm>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::nn {

void unknown_identifier(std::string_view role, const std::string& shown, const std::vector<std::string>& known) {
  throw ArgumentError(std::string(role), base::cat("Could not interpret ", role, " identifier: ", base::escaped(shown),
                                                   base::did_you_mean(shown, known)));
}

Identifier parse_identifier(const Config& identifier, std::string_view role) {
  if (identifier.is_string()) return {identifier.as_string(), Config(Config::Dict{})};
  const Config* class_name = identifier.find("class_name");
  const Config* config = identifier.find("config");
  if (!class_name || !class_name->is_string() || (config && !config->is_dict() && !config->is_null()))
    unknown_identifier(role, identifier.json(), {});
  // A class of somebody's own package may bear the name of one of Keras's.
  const Config* registered = identifier.find("registered_name");
  if (registered && !registered->is_null() && *registered != *class_name && *registered != "upconv>" + class_name->as_string())
    unknown_identifier(role, registered->json(), {});
  return {class_name->as_string(), config && config->is_dict() ? *config : Config(Config::Dict{})};
}

void check_keys(const Identifier& id, std::initializer_list<std::string_view> keys) {
  for (const auto& [key, value] : id.config.as_dict())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      throw ArgumentError(key, base::cat(id.class_name, " got an unexpected argument '", base::escaped(key), "' in its config: ",
                                         id.config.json()));
}

double number_or(const Config& config, std::string_view key, double missing) {
  const Config* value = config.find(key);
  return value ? value->as_double() : missing;
}

Config keras_object(std::string_view module, std::string_view class_name, Config config) {
  return Config::dict({{"module", "keras." + std::string(module)}, {"class_name", class_name}, {"config", std::move(config)},
                       {"registered_name", {}}});
}

}  // namespace upconv::nn
