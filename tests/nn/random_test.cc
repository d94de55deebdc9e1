// SPDX-License-Identifier: Apache-2.0
#include "nn/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace upconv::nn {
namespace {

using Words = std::array<std::uint32_t, 4>;

/// The vectors of the authors' own library, Random123 (kat_vectors, philox4x32 10).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}), (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, EveryPartOfSeedIndexAndAttemptCounts) {
  std::set<std::uint64_t> seen;
  for (const std::uint64_t seed : {0ull, 1ull, 1ull << 32})
    for (const std::uint64_t index : {0ull, 1ull, 1ull << 32})
      for (const std::uint32_t attempt : {0u, 1u}) seen.insert(Random(seed).bits(index, attempt));
  EXPECT_EQ(seen.size(), 18u);
  EXPECT_EQ(Random(9).bits(4), Random(9).bits(4));
}

TEST(Random, BelowIsUniform) {
  const Random random(11);
  std::vector<int> counts(7);
  for (std::uint64_t i = 0; i < 70000; ++i) ++counts.at(random.below(7, i));
  double chi_square = 0;
  for (const int count : counts) chi_square += (count - 10000.0) * (count - 10000.0) / 10000.0;
  EXPECT_LT(chi_square, 22.46);                                 // one in a thousand exceeds it, with 6 degrees of freedom
  EXPECT_EQ(random.below(1, 5), 0u);
}

/// Independent draws: the correlation of neighbours, of squares and of two seeds stays within 4 deviations of 0.
TEST(Random, NormalDrawsAreUncorrelated) {
  const Random a(1), b(2);
  constexpr std::uint64_t n = 100000;
  double neighbours = 0, squares = 0, seeds = 0, third = 0, fourth = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const double x = a.normal(i), next = a.normal(i + 1);
    neighbours += x * next, seeds += x * b.normal(i), third += x * x * x, fourth += x * x * x * x;
    squares += (x * x - 1) * (next * next - 1) / 2;
  }
  const double sigma = 4 * std::sqrt(static_cast<double>(n));
  EXPECT_LT(std::abs(neighbours), sigma);
  EXPECT_LT(std::abs(seeds), sigma);
  EXPECT_LT(std::abs(squares), sigma);
  EXPECT_LT(std::abs(third), sigma * std::sqrt(15.0));
  EXPECT_LT(std::abs(fourth - 3 * static_cast<double>(n)), sigma * std::sqrt(96.0));
}

}  // namespace
}  // namespace upconv::nn
