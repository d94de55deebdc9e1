// SPDX-License-Identifier: Apache-2.0
// The reading side of upconv/custom.h.
#pragma once

#include <optional>

#include "upconv/config.h"

namespace upconv::nn {

/// What was registered under the identifier's registered_name, its class_name, a function's name or the bare name.
template <class Handle>
std::optional<Handle> registered(const Config& identifier);

}  // namespace upconv::nn
