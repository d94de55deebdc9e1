// SPDX-License-Identifier: Apache-2.0
// Size arithmetic in 64 bits that throws instead of wrapping. Every product of sizes in the library goes through here.
#pragma once

#include <cstdint>
#include <span>

namespace upconv::base {

/// a * b, a + b, a - b; throws ArgumentError naming `what` and the values when the result leaves std::int64_t.
std::int64_t checked_mul(std::int64_t a, std::int64_t b, const char* what = "size");
std::int64_t checked_add(std::int64_t a, std::int64_t b, const char* what = "size");

/// ceil(a / b) and a rounded up to a multiple of b, for a >= 0, b > 0.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) noexcept { return (a + b - 1) / b; }
constexpr std::int64_t round_up(std::int64_t a, std::int64_t b) noexcept { return ceil_div(a, b) * b; }

}  // namespace upconv::base
