// SPDX-License-Identifier: Apache-2.0
// Layer names as Keras makes and checks them.
#pragma once

#include <string>
#include <string_view>

namespace upconv::nn {

/// prefix, prefix_1, prefix_2, ...: one counter a prefix and process, restarted by clear_session().
std::string next_name(std::string_view prefix);

/// "Conv2DTranspose" -> "conv2d_transpose", "ReLU" -> "re_lu", "LeakyReLU" -> "leaky_re_lu".
std::string snake_case(std::string_view class_name);

/// Throws ArgumentError in Keras's words when `name` has a '/'.
void check_name(const std::string& name);

}  // namespace upconv::nn
