// SPDX-License-Identifier: Apache-2.0
// The micro-kernel of the kernel gradient: sums of outer products over a rectangle of pixels.
#pragma once

#include <cstdint>

namespace upconv::kernels {

/// Columns of a packed panel for an element type of `bytes` bytes: two vectors of the instruction set.
std::int64_t outer_panel_width(int isa, std::size_t bytes) noexcept;
inline constexpr std::int64_t outer_tile_rows = 6;

/// A rectangle of pixels under one tap: element m of pixel (i, j) is a[i*a_row + j*a_col + m]; the packed panel holds
/// panel-width columns a pixel: b[(i*b_row + j) * width + n].
template <class T>
struct OuterRectangle {
  const T* a;            // dy[oh][ow][co], moved to the tap, first pixel and first filter of the tile
  const T* b;            // x packed [pixel][width], moved to the first pixel
  std::int64_t rows, columns;
  std::int64_t a_row, a_col, b_row;
};

/// sum[m*ld + n] += sum over the rectangle of a[m] * b[n], for m < tile_rows (1..6) and n < columns_used (1..width).
/// Chains of at most 256 products are summed in T and added to the double sums: the error bound of Math::exact.
void outer_accumulate(const OuterRectangle<float>& r, std::int64_t tile_rows, std::int64_t columns_used, double* sum,
                      std::int64_t ld, int isa) noexcept;
void outer_accumulate(const OuterRectangle<double>& r, std::int64_t tile_rows, std::int64_t columns_used, double* sum,
                      std::int64_t ld, int isa) noexcept;

}  // namespace upconv::kernels
