// SPDX-License-Identifier: Apache-2.0
#include "upconv/runtime.h"

namespace upconv {
std::string_view version() noexcept { return UPCONV_VERSION; }
}  // namespace upconv
