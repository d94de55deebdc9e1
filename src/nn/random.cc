// SPDX-License-Identifier: Apache-2.0
#include "nn/random.h"

#include <cmath>
#include <numbers>
#include <random>

namespace upconv::nn {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> key) noexcept {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c[0], p1 = std::uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
}

static std::array<std::uint32_t, 4> words(std::uint64_t seed, std::uint64_t index, std::uint32_t attempt) noexcept {
  return philox({static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32), attempt, 0},
                {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)});
}

static double unit(std::uint32_t high, std::uint32_t low) noexcept {
  return static_cast<double>(((std::uint64_t{high} << 32) | low) >> 11) * 0x1p-53;
}

std::uint64_t Random::bits(std::uint64_t index, std::uint32_t attempt) const noexcept {
  const auto w = words(seed_, index, attempt);
  return (std::uint64_t{w[0]} << 32) | w[1];
}

double Random::uniform(std::uint64_t index, std::uint32_t attempt) const noexcept {
  const auto w = words(seed_, index, attempt);
  return unit(w[0], w[1]);
}

double Random::normal(std::uint64_t index, std::uint32_t attempt) const noexcept {
  const auto w = words(seed_, index, attempt);                 // Box and Muller, from two 53-bit numbers
  return std::sqrt(-2 * std::log(1 - unit(w[0], w[1]))) * std::cos(2 * std::numbers::pi * unit(w[2], w[3]));
}

double Random::truncated_normal(std::uint64_t index) const noexcept {
  for (std::uint32_t attempt = 0;; ++attempt)
    if (const double z = normal(index, attempt); std::abs(z) <= 2) return z;
}

std::uint64_t Random::below(std::uint64_t limit, std::uint64_t index) const noexcept {
  const std::uint64_t fair = ~std::uint64_t{0} - ~std::uint64_t{0} % limit;     // a multiple of limit
  for (std::uint32_t attempt = 0;; ++attempt)
    if (const std::uint64_t value = bits(index, attempt); value < fair) return value % limit;
}

std::uint64_t fresh_seed() {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}

}  // namespace upconv::nn
