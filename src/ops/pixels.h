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

/// Whether so many images are larger than what a cache would keep of them: whole lines then go past the caches, because a line that is
/// overwritten would first be read. 100x14x14x256 -> 256 and 196x196x128 -> 64 k2s2 1.15 x, 62x54x256 -> 128 k4s4 1.09 x; with 9 MB nothing is won.
inline bool passes_caches(const Image& image, std::int64_t images) noexcept {
  return images * image.h * image.w * image.c * static_cast<std::int64_t>(size_of(image.dtype)) > (16 << 20);
}
/// Whether `at`, and all that lies multiples of `step` elements behind it, begin cache lines.
template <class T>
bool begins_lines(const T* at, std::int64_t step) noexcept {
  return (reinterpret_cast<std::uintptr_t>(at) | static_cast<std::uintptr_t>(step) * sizeof(T)) % 64 == 0;
}

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
