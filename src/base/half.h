// SPDX-License-Identifier: Apache-2.0
// The half types' conversions, inline and without branches, so that loops over them become vectors.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "upconv/tensor.h"

namespace upconv::base {

/// condition ? yes : no by masks: a compiler that minds traps makes a branch of the operator and then no vector of the loop.
inline std::uint32_t select(bool condition, std::uint32_t yes, std::uint32_t no) noexcept {
  const std::uint32_t mask = 0u - static_cast<std::uint32_t>(condition);
  return (yes & mask) | (no & ~mask);
}

inline float widened(BFloat16 value) noexcept { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16); }

inline float widened(Half value) noexcept {
  const std::uint32_t bits = value.bits, sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
  const auto small = std::bit_cast<std::uint32_t>(static_cast<float>(static_cast<std::int32_t>(magnitude)) * 0x1p-24f);
  const std::uint32_t normal = (magnitude << 13) + (112u << 23), special = (magnitude << 13) | 0x7f800000u;
  return std::bit_cast<float>(sign | select(magnitude < 0x400u, small, select(magnitude < 0x7c00u, normal, special)));
}

/// Rounded to nearest, ties to even; a NaN keeps its sign and the head of its payload and is quiet.
template <class To>
To narrowed(float value) noexcept {
  const auto u = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = u & 0x7fffffffu;
  To result;
  if constexpr (std::is_same_v<To, BFloat16>) {
    const std::uint32_t nan = (u >> 16) | 0x40u, rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    result.bits = static_cast<std::uint16_t>(select(magnitude > 0x7f800000u, nan, rounded));
  } else {
    const std::uint32_t nan = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
    const std::uint32_t normal = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - (112u << 23)) >> 13;
    // Below 2^-14 the steps are 2^-24: beside 1/2 they are the last bit of a float, which rounds as it is added.
    const std::uint32_t small = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const std::uint32_t finite = select(magnitude < 0x38800000u, small, normal);
    const std::uint32_t half = select(magnitude > 0x7f800000u, nan, select(magnitude >= 0x477ff000u, 0x7c00u, finite));
    result.bits = static_cast<std::uint16_t>(((u >> 16) & 0x8000u) | half);
  }
  return result;
}

/// An element as another type, through float32 where one of them is a half type.
template <class To, class From>
To converted(From value) noexcept {
  if constexpr (std::is_floating_point_v<To> && std::is_floating_point_v<From>) return static_cast<To>(value);
  else if constexpr (std::is_floating_point_v<To>) return static_cast<To>(widened(value));
  else if constexpr (std::is_floating_point_v<From>) return narrowed<To>(static_cast<float>(value));
  else return narrowed<To>(widened(value));
}

}  // namespace upconv::base
