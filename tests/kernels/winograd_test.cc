// SPDX-License-Identifier: Apache-2.0
// Every pair of schemes on every target: transforms and products give the plain correlation, exactly on integers with up to
// four points.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/isa.h"
#include "kernels/winograd.h"

namespace upconv {
namespace {

using kernels::WinogradScheme;

constexpr int kColumns = 37, kGuard = 64;
constexpr float kUntouched = 1e30f;

std::vector<WinogradScheme> schemes() {
  std::vector<WinogradScheme> all = {{1, 1}};
  for (int points = 3; points <= kernels::winograd_most_points; ++points)
    for (int taps = 2; points - taps + 1 >= 2 && taps <= kernels::winograd_most_taps; ++taps) all.push_back({points, taps});
  return all;
}

/// One channel a column: y = correlation of d and g, both of small integers, through the transforms.
void check(const WinogradScheme& sy, const WinogradScheme& sx, int isa, std::mt19937& random) {
  const auto draw = [&] { return static_cast<float>(static_cast<int>(random() % 9) - 4); };
  const int points = sy.points * sx.points, ny = sy.outputs(), nx = sx.outputs();
  const auto size = [](int n) { return static_cast<std::size_t>(n); };
  std::vector<std::vector<float>> d(size(points), std::vector<float>(size(kColumns)));
  std::vector<std::array<float, 25>> g(size(kColumns));
  std::vector<const float*> pixels;
  for (auto& pixel : d) {
    for (float& v : pixel) v = draw();
    pixels.push_back(pixel.data());
  }
  for (auto& taps : g)
    for (float& v : taps) v = draw();
  const std::int64_t stride = kColumns + kGuard;
  std::vector<float> v(size(points) * static_cast<std::size_t>(stride)), bias(size(kColumns + kGuard));
  for (float& b : bias) b = draw();
  kernels::winograd_input({sy, sx, pixels.data(), kColumns, v.data(), stride}, isa);
  for (int p = 0; p < points; ++p)
    for (int c = 0; c < kColumns; ++c) {
      double u = 0;
      for (int a = 0; a < sy.taps; ++a)
        for (int b = 0; b < sx.taps; ++b)
          u += sy.kernel(p / sx.points, a) * sx.kernel(p % sx.points, b) * static_cast<double>(g[size(c)][size(a * sx.taps + b)]);
      v[static_cast<std::size_t>(p * stride + c)] *= static_cast<float>(u);
    }
  // Of the outputs, all but the first row and column are wanted where there are more; gaps stay as they are.
  const int y0 = ny > 1 ? 1 : 0, x0 = nx > 1 ? 1 : 0;
  const std::int64_t column = kColumns + 3, row = nx * column;
  std::vector<float> y(size(ny) * static_cast<std::size_t>(row), kUntouched);
  EXPECT_TRUE(kernels::winograd_output({sy, sx, v.data(), stride, bias.data(), kColumns, false, y0, ny, x0, nx, y.data(), row, column}, isa));
  const double tolerance = sy.points <= 4 && sx.points <= 4 ? 0 : 2e-3;
  for (int i = y0; i < ny; ++i)
    for (int j = x0; j < nx; ++j)
      for (int c = 0; c < column; ++c) {
        const double got = static_cast<double>(y[static_cast<std::size_t>((i - y0) * row + (j - x0) * column + c)]);
        if (c >= kColumns) {
          ASSERT_EQ(got, static_cast<double>(kUntouched));
          continue;
        }
        double want = static_cast<double>(bias[size(c)]);
        for (int a = 0; a < sy.taps; ++a)
          for (int b = 0; b < sx.taps; ++b)
            want += static_cast<double>(g[size(c)][size(a * sx.taps + b)]) * static_cast<double>(d[size((i + a) * sx.points + j + b)][size(c)]);
        ASSERT_NEAR(got, want, tolerance) << sy.points << " points, " << sy.taps << " taps and " << sx.points << ", " << sx.taps;
      }
}

TEST(WinogradTransforms, GiveTheCorrelation) {
  std::mt19937 random(4);
  for (int isa = 0; isa < static_cast<int>(kernels::isas().size()); ++isa)
    for (const WinogradScheme& y : schemes())
      for (const WinogradScheme& x : schemes()) check(y, x, isa, random);
}

TEST(WinogradTransforms, SeeWhatIsNotFinite) {
  const WinogradScheme s{4, 2};
  std::vector<float> m(16 * 64, 1.0f), bias(64), y(9 * 20);
  for (int isa = 0; isa < static_cast<int>(kernels::isas().size()); ++isa)
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
      for (const int column : {0, 19, 20}) {      // 20: behind the last one
        m[static_cast<std::size_t>(5 * 64 + column)] = bad;
        EXPECT_EQ(kernels::winograd_output({s, s, m.data(), 64, bias.data(), 20, true, 0, 3, 0, 3, y.data(), 60, 20}, isa), column == 20);
        m[static_cast<std::size_t>(5 * 64 + column)] = 1;
      }
}

}  // namespace
}  // namespace upconv
