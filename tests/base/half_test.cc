// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

#include "upconv/tensor.h"

namespace upconv {
namespace {

/// The nearest representable value of T to `x`, ties to the even pattern, found by search: the specification.
template <class T>
std::uint16_t nearest(double x, const std::vector<double>& positive) {
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  const double m = std::abs(x);
  std::size_t lo = 0, hi = positive.size() - 1;        // positive.back() stands for infinity, one ulp past the largest
  while (hi - lo > 1) (positive[(lo + hi) / 2] <= m ? lo : hi) = (lo + hi) / 2;
  if (m >= positive[hi]) return static_cast<std::uint16_t>(sign | hi);
  const double down = m - positive[lo], up = positive[hi] - m;
  const std::size_t pick = down < up ? lo : up < down ? hi : lo % 2 == 0 ? lo : hi;
  return static_cast<std::uint16_t>(sign | pick);
}

template <class T>
std::vector<double> positive_values(std::uint16_t infinity) {
  std::vector<double> values;
  for (std::uint32_t b = 0; b < infinity; ++b) {
    T t;
    t.bits = static_cast<std::uint16_t>(b);
    values.push_back(static_cast<double>(static_cast<float>(t)));
  }
  values.push_back(2 * values.back() - values[values.size() - 2]);
  return values;
}

template <class T>
void every_pattern_survives(std::uint16_t infinity) {
  for (std::uint32_t b = 0; b < 0x10000; ++b) {
    T t;
    t.bits = static_cast<std::uint16_t>(b);
    const float f = static_cast<float>(t);
    if ((b & 0x7fff) > infinity) {
      EXPECT_TRUE(std::isnan(f)) << b;
      EXPECT_TRUE(std::isnan(static_cast<float>(T(f)))) << b;
    } else {
      EXPECT_EQ(T(f).bits, b);
    }
  }
}

template <class T>
void rounds_to_nearest_even(std::uint16_t infinity) {
  const std::vector<double> positive = positive_values<T>(infinity);
  for (std::uint32_t b = 0; b < infinity; ++b) {
    const double a = positive[b], c = positive[b + 1];
    const float middle = static_cast<float>(a + (c - a) / 2);
    for (const float f : {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY)}) {
      if (!std::isfinite(f)) continue;
      EXPECT_EQ(T(f).bits, (nearest<T>(static_cast<double>(f), positive))) << f;
      EXPECT_EQ(T(-f).bits, (nearest<T>(static_cast<double>(-f), positive))) << f;
    }
  }
}

TEST(Half, EveryPatternSurvivesTheWayThroughFloat) { every_pattern_survives<Half>(0x7c00); }
TEST(Half, RoundsToNearestEven) { rounds_to_nearest_even<Half>(0x7c00); }
TEST(BFloat16, EveryPatternSurvivesTheWayThroughFloat) { every_pattern_survives<BFloat16>(0x7f80); }
TEST(BFloat16, RoundsToNearestEven) { rounds_to_nearest_even<BFloat16>(0x7f80); }

TEST(Convert, FromDoubleRoundsOnce) {
  // Just above the tie between two neighbours: rounding through float first would fall back onto the tie.
  const double x = 1.0 + 0x1p-11 + 0x1p-40;
  const Tensor t = Tensor::of<double>({1}, {x}).cast(DType::float16);
  EXPECT_EQ(t.span<Half>()[0].bits, 0x3c01);
}

}  // namespace
}  // namespace upconv
