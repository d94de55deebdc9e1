// SPDX-License-Identifier: Apache-2.0
// The micro-kernel contract: an implicit GEMM whose rows of A are pointers into the input. There is no column buffer.
//
// A tile computes up to gemm_tile_rows pixels times one panel of filters. For every tap it is given one pointer a pixel
// (`depth` contiguous channels; a border tap points at zeros) and the packed weights of that tap, [depth][width].
// Products are added in the canonical order: taps as listed, channels ascending, every gemm_block products summed in
// registers and added to the tile. So the bits of a result depend on neither the tile's shape nor the split of the work.
#pragma once

#include <cstddef>
#include <cstdint>

namespace upconv::kernels {

inline constexpr std::int64_t gemm_tile_rows = 6;
/// Longest chain of additions, which bounds the error of Math::exact (docs/performance.md).
inline constexpr std::int64_t gemm_block = 256;

/// Columns of a packed panel: two vectors of the instruction set for elements of `bytes` bytes.
std::int64_t gemm_panel_width(int isa, std::size_t bytes) noexcept;

template <class T>
struct GemmTile {
  const T* const* rows;     // [taps][tile_rows] -> depth channels of one pixel
  const T* const* panels;   // [taps] -> packed weights [depth][width]
  std::int64_t taps, depth;
  const T* bias;            // [width], padded with zeros; null for none
  T* const* out;            // [tile_rows] -> `columns` results of one pixel
  std::int64_t columns;     // 1..width
  bool relu;                // y = max(y, 0), NaN kept
};

/// tile_rows: 1..gemm_tile_rows.
void gemm(const GemmTile<float>& tile, std::int64_t tile_rows, int isa) noexcept;
void gemm(const GemmTile<double>& tile, std::int64_t tile_rows, int isa) noexcept;

}  // namespace upconv::kernels
