// SPDX-License-Identifier: Apache-2.0
#include <bit>

#include "upconv/tensor.h"

namespace upconv {

BFloat16::BFloat16(float value) noexcept {
  const auto u = std::bit_cast<std::uint32_t>(value);
  if ((u & 0x7fffffffu) > 0x7f800000u) {          // NaN: keep the sign and payload head, force quiet
    bits = static_cast<std::uint16_t>((u >> 16) | 0x40u);
    return;
  }
  bits = static_cast<std::uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

BFloat16::operator float() const noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16); }

Half::Half(float value) noexcept {
  const auto u = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (u >> 16) & 0x8000u;
  const std::uint32_t magnitude = u & 0x7fffffffu;
  std::uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u | ((magnitude >> 13) & 0x3ffu);                       // NaN, made quiet
  } else if (magnitude >= 0x477ff000u) {
    half = 0x7c00u;                                                      // 65520 and more round to infinity
  } else if (magnitude >= 0x38800000u) {                                 // normal: rebias 127 -> 15, round to even
    const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
    half = (rounded - (112u << 23)) >> 13;
  } else if (magnitude >= 0x33000000u) {                                 // subnormal: add 2^-1 ulp tricks by integer
    const int shift = 126 - static_cast<int>(magnitude >> 23);           // 14..24
    const std::uint32_t significand = (magnitude & 0x7fffffu) | 0x800000u;
    const std::uint32_t kept = significand >> shift;
    const std::uint32_t rest = significand & ((1u << shift) - 1u);
    const std::uint32_t tie = 1u << (shift - 1);
    half = kept + (rest > tie || (rest == tie && (kept & 1u)) ? 1u : 0u);
  } else {
    half = 0;                                                            // below half of the smallest subnormal
  }
  bits = static_cast<std::uint16_t>(sign | half);
}

Half::operator float() const noexcept {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1fu;
  const std::uint32_t fraction = bits & 0x3ffu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | (fraction << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112u) << 23) | (fraction << 13));
  const float magnitude = static_cast<float>(fraction) * 0x1p-24f;       // zero and subnormals are exact
  return sign ? -magnitude : magnitude;
}

}  // namespace upconv
