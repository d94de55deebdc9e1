// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace upconv::io {

/// Whether Keras 3.15 has a layer of this class that holds no code of the caller.
bool is_keras_layer(std::string_view class_name);

}  // namespace upconv::io
