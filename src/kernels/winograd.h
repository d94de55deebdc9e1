// SPDX-License-Identifier: Apache-2.0
// Transforms of winograd convolution, y_i = sum_q g_q d_(i+q), by interpolation on a few points; the products between the
// input and the output transform are a GEMM a point (kernels/tiles.h). Points and matrices: tools/winograd_transforms.py.
#pragma once

#include <cstdint>

namespace upconv::kernels {

inline constexpr int winograd_most_points = 6, winograd_most_taps = 5;
inline constexpr int winograd_most_pixels = winograd_most_points * winograd_most_points;

/// F(outputs, taps) along one axis, on 3 to 6 points; 1 point is the identity, of one tap. With up to 4 points every
/// coefficient is dyadic, so that small integers stay exact.
struct WinogradScheme {
  int points = 1, taps = 1;
  constexpr int outputs() const noexcept { return points - taps + 1; }
  double kernel(int point, int tap) const noexcept;      ///< G
  double output(int output, int point) const noexcept;   ///< A^T
  friend bool operator==(const WinogradScheme&, const WinogradScheme&) = default;
};

/// v[(point_y * x.points + point_x) * point_stride + c] = B^T d B for c < channels, up to a vector more is written; d is
/// y.points x x.points pixels, row-major.
struct WinogradInput {
  WinogradScheme y, x;
  const float* const* pixels;
  std::int64_t channels;
  float* v;
  std::int64_t point_stride;
};

/// Output (i, j) = activation(A^T m A + bias), `columns` values, at to + (i - y0) * row + (j - x0) * column, for y0 <= i < y1 and
/// x0 <= j < x1.
struct WinogradOutput {
  WinogradScheme y, x;
  const float* m;            // [point_y][point_x][n], point_stride apart; readable for a vector behind the last column
  std::int64_t point_stride;
  const float* bias;         // readable likewise
  std::int64_t columns;
  bool relu;
  int y0, y1, x0, x1;
  float* to;
  std::int64_t row, column;
};

void winograd_input(const WinogradInput& task, int isa) noexcept;
/// True if every value stored was finite before the activation.
bool winograd_output(const WinogradOutput& task, int isa) noexcept;

}  // namespace upconv::kernels
