// SPDX-License-Identifier: Apache-2.0
// kernel_size, strides, dilation_rate and output_padding: Keras's check of a tuple of two integers.
#pragma once

#include <string>

#include "upconv/conv_transpose.h"

namespace upconv::nn {

/// Throws ArgumentError in Keras's words when a value is below `least` (0 or 1); `shown`: the argument as it was given.
void check_tuple(const char* name, Size2 value, std::int64_t least, const std::string& shown);

}  // namespace upconv::nn
