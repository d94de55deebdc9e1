// SPDX-License-Identifier: Apache-2.0
// Moves small rectangles of pixels between a stored tensor and the (pixels, channels) float32 or float64 that the tiles
// compute in, so that channels_first and the half types never cost a whole converted tensor.
#pragma once

#include <cstdint>

#include "ops/rows.h"

namespace upconv::ops {

/// to[j - first][c] = pixels (n, row, j), first <= j < last, of `tensor`.
template <class T>
void load_pixels(const Image& image, const void* tensor, std::int64_t n, std::int64_t row, std::int64_t first, std::int64_t last,
                 T* to) noexcept;

/// Where a tile's columns p * co + f go.
struct Columns {
  std::int64_t first, count;   // columns of the tile
  std::int64_t phases;         // of the whole GEMM: p < phases
};

/// A pixel of a tile: element of phase 0, filter 0 (even where that lies outside the row), and its output column.
struct Place {
  std::int64_t element, column;
};

/// Stores results from[m * width + i] of `count` pixels, rounded once; phases outside the output row are dropped.
template <class T>
void store_tile(const Image& image, void* tensor, const T* from, std::int64_t width, const Columns& columns, const Place* places,
                std::int64_t count) noexcept;

}  // namespace upconv::ops
