// SPDX-License-Identifier: Apache-2.0
// The transforms of the gradients: y = A^T [(G g G^T) . (B^T d B)] A, an image of m x m outputs y, r x r taps g and a window d,
// is linear in g and in d, so
//   the gradient of d's side is one more such correlation: winograd_kernel, winograd.h's input and output;
//   the gradient of g is G^T [sum over tiles of (B^T d B) . (A dy A^T)] G: winograd_outputs, then winograd_taps.
// Vectors run along channels.
#pragma once

#include "kernels/winograd.h"

namespace upconv::kernels {

/// One axis' scheme with its matrices.
struct WinogradAxis {
  explicit WinogradAxis(WinogradScheme scheme) noexcept;

  WinogradScheme scheme;
  int points, outputs, taps;
  float kernel[6][3];      // G: [point][tap]
  float output[5][6];      // A^T: [output][point]
};

/// u[point * point_stride + f * width + n] = G g G^T for f < count and n < width; zeros from `columns` on. Only the points of rows
/// y0 <= point_y < y1, of which the first is point 0.
struct WinogradKernel {
  const WinogradAxis &y, &x;
  int y0, y1;
  const float* const* taps;      // [tap_y][tap_x] -> [count] rows, `step` apart, of `columns` values; null for zeros
  std::int64_t count, step;
  std::int64_t columns, width;   // width: a multiple of the lanes
  float* u;
  std::int64_t point_stride;
};

/// a[point * point_stride + n] = A y A^T for n < width; zeros from `columns` on. A null pixel counts as zeros.
struct WinogradOutputs {
  const WinogradAxis &y, &x;
  const float* const* pixels;    // [output_y][output_x] -> `columns` values
  std::int64_t columns, width;
  float* a;
  std::int64_t point_stride;
};

/// taps[i][n] (+)= G^T s G for n < columns; a null tap is skipped.
struct WinogradTaps {
  const WinogradAxis &y, &x;
  const float* s;                // readable in whole vectors
  std::int64_t point_stride;
  float* const* taps;            // [tap_y][tap_x]
  std::int64_t columns;
  bool add;
};

/// Both axes have the same scheme, or one of them one point.
void winograd_kernel(const WinogradKernel& task, int isa) noexcept;
void winograd_outputs(const WinogradOutputs& task, int isa) noexcept;
/// True if every value of s was finite.
bool winograd_taps(const WinogradTaps& task, int isa) noexcept;

}  // namespace upconv::kernels
