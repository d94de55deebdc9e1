// SPDX-License-Identifier: Apache-2.0
#include "base/half.h"

namespace upconv {

BFloat16::BFloat16(float value) noexcept : bits(base::narrowed<BFloat16>(value).bits) {}
BFloat16::operator float() const noexcept { return base::widened(*this); }

Half::Half(float value) noexcept : bits(base::narrowed<Half>(value).bits) {}
Half::operator float() const noexcept { return base::widened(*this); }

}  // namespace upconv
