// SPDX-License-Identifier: Apache-2.0
// Random geometries and exact data for the grids: small integers, so that every order of summation gives the same bits
// and the tolerance is zero. The seed is fixed and a failure prints the geometry.
#pragma once

#include <cstdint>
#include <ostream>
#include <random>
#include <vector>

#include "ops/geometry.h"

namespace upconv::test {

using Random = std::mt19937_64;

inline std::int64_t draw(Random& random, std::int64_t low, std::int64_t high) {
  return low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(high - low + 1));
}

inline ops::Axis random_axis(Random& random, bool dilated, Padding padding, bool padded_output) {
  const std::int64_t k = draw(random, 1, 7), s = dilated ? 1 : draw(random, 1, 4), d = dilated ? draw(random, 1, 3) : 1;
  std::optional<std::int64_t> output_padding;
  if (padded_output) output_padding = draw(random, 0, s - 1);
  return ops::make_axis(draw(random, 1, 9), k, s, padding, output_padding, d);
}

/// A quarter of the cases is dilated, a third has an output_padding, half is channels_first; axes are drawn apart.
inline ops::Geometry random_geometry(Random& random) {
  static constexpr std::int64_t kChannels[] = {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 33};
  const auto channels = [&] { return kChannels[static_cast<std::size_t>(draw(random, 0, 11))]; };
  const bool dilated = draw(random, 0, 3) == 0, padded_output = draw(random, 0, 2) == 0;
  const Padding padding = draw(random, 0, 1) ? Padding::same : Padding::valid;
  ops::Geometry g;
  g.n = draw(random, 1, 3), g.ci = channels(), g.co = channels();
  g.data_format = draw(random, 0, 1) ? DataFormat::channels_first : DataFormat::channels_last;
  g.y = random_axis(random, dilated, padding, padded_output);
  g.x = random_axis(random, dilated, padding, padded_output);
  return g;
}

/// Integers in [-4, 4]: a product of two has 5 bits, so sums of 2^19 of them are exact in float32.
template <class T>
std::vector<T> integers(Random& random, std::int64_t count) {
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(static_cast<float>(draw(random, -4, 4)));
  return values;
}

inline std::vector<double> doubles(const auto& values) {
  std::vector<double> out;
  for (const auto& value : values) out.push_back(static_cast<double>(static_cast<float>(value)));
  return out;
}

/// (n, c, pixels) -> (n, pixels, c), or back with the roles of c and pixels exchanged.
template <class T>
std::vector<T> transposed(const std::vector<T>& from, std::int64_t n, std::int64_t rows, std::int64_t columns) {
  std::vector<T> to(from.size());
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t r = 0; r < rows; ++r)
      for (std::int64_t c = 0; c < columns; ++c)
        to[static_cast<std::size_t>((i * columns + c) * rows + r)] = from[static_cast<std::size_t>((i * rows + r) * columns + c)];
  return to;
}

inline std::string describe(const ops::Geometry& g) {
  const auto axis = [](const ops::Axis& a) {
    return "n=" + std::to_string(a.n) + " k=" + std::to_string(a.k) + " s=" + std::to_string(a.s) + " d=" +
           std::to_string(a.d) + " o=" + std::to_string(a.o) + " crop=" + std::to_string(a.crop);
  };
  return "batch " + std::to_string(g.n) + " ci " + std::to_string(g.ci) + " co " + std::to_string(g.co) + ", y: " + axis(g.y) +
         ", x: " + axis(g.x) + ", " + std::string(name_of(g.data_format));
}

}  // namespace upconv::test
