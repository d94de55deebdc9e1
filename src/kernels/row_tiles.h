// SPDX-License-Identifier: Apache-2.0
// Register tiles over a whole row of pixels that lie evenly spaced on both sides: no row pointers to fetch and no call a
// tile, and tiles as high as the registers allow. The sums are those of tiles.h, bit for bit.
#pragma once

#include "kernels/tiles.h"

namespace upconv::kernels {

/// Columns [lane, lane + length) of a vector of a tile go to c[m * c_stride + offset + lane ...].
struct RowPiece {
  int vector;
  std::int64_t lane, length, offset;
};

/// c[m * c_stride + n] = activation(bias[n] + sum over steps, over k of a step, of
/// taps[tap][m * stride + first + k] * panel[position + k][n]) for m < pixels, n < columns.
template <class T>
struct RowTask {
  const T* const* taps;        // taps[tap]: channel 0 of the first pixel under a tap
  std::int64_t stride;
  const TileStep* steps;
  std::int64_t step_count;     // 0: the sum is empty and c = activation(bias)
  const T* panel;              // [position][vectors * lanes], 64-byte aligned
  const T* bias;               // vectors * lanes values
  T* c;
  std::int64_t c_stride;
  std::int64_t pixels;
  std::int64_t columns;        // to store: 1 .. vectors * lanes
  bool spills;                 // whole vectors may be stored, whatever lies behind `columns`, except in the last pixel
  bool relu;                   // negative results become 0, NaN stays
  bool streams = false;        // whole vectors go past the caches; c and c_stride are multiples of cache lines
  // Where columns of several output rows are computed at once: where each goes, by ascending vector. Null: as above.
  const RowPiece* pieces = nullptr;
  std::int64_t piece_count = 0;
};

inline constexpr int row_tile_max_rows = 16;

template <class T>
struct RowTiles {
  using Run = void (*)(const RowTask<T>&, std::int64_t first);
  int rows[tile_max_vectors + 1];                           // most rows by vectors of the panel
  Run run[tile_max_vectors + 1][row_tile_max_rows + 1];     // by vectors, rows: the tile whose first pixel is `first`
};

/// `isa` is an index into isas(); T is float or double.
template <class T>
const RowTiles<T>& row_tiles(int isa) noexcept;
template <>
const RowTiles<float>& row_tiles<float>(int isa) noexcept;
template <>
const RowTiles<double>& row_tiles<double>(int isa) noexcept;

/// The whole row, in tiles of balanced height.
template <class T>
void run_row(const RowTiles<T>& tiles, int vectors, const RowTask<T>& task) noexcept {
  const std::int64_t count = (task.pixels + tiles.rows[vectors] - 1) / tiles.rows[vectors];
  for (std::int64_t i = 0, first = 0; i < count; ++i) {
    const std::int64_t next = task.pixels * (i + 1) / count;
    tiles.run[vectors][next - first](task, first);
    first = next;
  }
}

}  // namespace upconv::kernels
