// SPDX-License-Identifier: Apache-2.0
// Transforms of winograd convolution, y_i = sum_q g_q d_(i+q), by interpolation on a few points; the products between the
// input and the output transform are a GEMM a point (kernels/tiles.h).
#pragma once

#include <cstdint>

namespace upconv::kernels {

/// F(m, r) along one axis. The four-point ones use {0, 1, -1, inf} and stay exact on small integers; the six-point ones
/// use {0, +-2/3, +-3/2, inf}, whose error is several times below that of {0, +-1, +-2, inf}.
enum class Winograd : std::uint8_t { f11, f32, f23, f52, f43 };

struct WinogradScheme {
  int points, outputs, taps;
  double kernel[6][3];   // G: [point][tap]
};
const WinogradScheme& winograd_scheme(Winograd scheme) noexcept;

/// v[point_y * points_x + point_x][c] = B^T d B for c < channels; d is points_y x points_x pixels, row-major.
struct WinogradInput {
  const float* const* pixels;
  std::int64_t channels;
  float* v;
  std::int64_t point_stride;
};

/// *y[i * outputs_x + j] = A^T m A + bias for `columns` filters; a null y is skipped.
struct WinogradOutput {
  const float* m;            // readable for a vector behind the last column
  std::int64_t point_stride;
  const float* bias;         // readable likewise
  std::int64_t columns;
  float* const* y;
  bool relu;
};

/// Both axes' schemes are equal, or one of them is f11.
void winograd_input(Winograd y, Winograd x, const WinogradInput& task, int isa) noexcept;
/// True if every value stored was finite before the activation.
bool winograd_output(Winograd y, Winograd x, const WinogradOutput& task, int isa) noexcept;

}  // namespace upconv::kernels
