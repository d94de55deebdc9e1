// SPDX-License-Identifier: Apache-2.0
// Reads the test data: uncompressed .npz files (a ZIP of stored .npy members), little-endian, C order.
#pragma once

#include <map>
#include <string>

#include "upconv/tensor.h"

namespace upconv::test {

/// The members by name, without ".npy". 16-bit unsigned integers are the bits of bfloat16 there; other integers become
/// float64. Throws std::runtime_error.
std::map<std::string, Tensor> read_npz(const std::string& path);

}  // namespace upconv::test
