// SPDX-License-Identifier: Apache-2.0
// Keras's settings file, keras.json: read, never written.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace upconv::nn {

/// The three keys this library knows; one that is absent, or not valid in Keras, is empty.
struct KerasJson {
  std::optional<std::string> floatx;             ///< "float16", "float32" or "float64"
  std::optional<double> epsilon;
  std::optional<std::string> image_data_format;  ///< "channels_last" or "channels_first"
};

/// A text that is no JSON object gives no settings at all, as in Keras.
KerasJson parse_keras_json(std::string_view text);

/// From KERAS_HOME, else .keras in the home folder; read at the first call.
const KerasJson& keras_json();

}  // namespace upconv::nn
