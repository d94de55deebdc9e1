// SPDX-License-Identifier: Apache-2.0
// Counter-based random numbers: Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as
// 1, 2, 3" (SC 2011). A number is a function of (seed, index, attempt) alone, so no thread and no order changes it.
#pragma once

#include <array>
#include <cstdint>

namespace upconv::nn {

/// The four words of one counter under one key.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) noexcept;

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : seed_(seed) {}

  /// 64 random bits of `index`; `attempt` gives further ones for the same index.
  std::uint64_t bits(std::uint64_t index, std::uint32_t attempt = 0) const noexcept;
  double uniform(std::uint64_t index, std::uint32_t attempt = 0) const noexcept;    ///< [0, 1), 53 bits
  double normal(std::uint64_t index, std::uint32_t attempt = 0) const noexcept;     ///< mean 0, deviation 1
  double truncated_normal(std::uint64_t index) const noexcept;                      ///< normal, redrawn until within +-2
  std::uint64_t below(std::uint64_t limit, std::uint64_t index) const noexcept;     ///< uniform in [0, limit), limit > 0

 private:
  std::uint64_t seed_;
};

/// A seed from the system.
std::uint64_t fresh_seed();

}  // namespace upconv::nn
