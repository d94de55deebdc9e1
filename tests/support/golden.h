// SPDX-License-Identifier: Apache-2.0
// The golden set: what real Keras computed (tests/data/golden/README.md).
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv::test {

using Json = nlohmann::ordered_json;

const Json& golden_index();
/// An array of a file of the set.
const Tensor& golden_array(const std::string& file, const std::string& key);
/// The array that a layer case names, or nullptr.
const Tensor* golden_array_of(const Json& layer_case, const char* name);

/// An array written in JSON, {"shape", "values"}; null is NaN.
Tensor golden_tensor(const Json& array);

/// The same tree; order and number kinds are kept.
Config to_config(const Json& json);

/// Largest |a - b|, in double; infinity when shapes differ, or where one is NaN or an infinity and the other is not that.
double largest_difference(ConstTensorView a, ConstTensorView b);
double largest_magnitude(ConstTensorView a);
/// Equal in shape, dtype and every bit.
bool same_bits(ConstTensorView a, ConstTensorView b);

}  // namespace upconv::test
