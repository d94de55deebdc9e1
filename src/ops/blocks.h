// SPDX-License-Identifier: Apache-2.0
// How the pixels of all images are cut into blocks whose operands stay in the cache.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/checked.h"

namespace upconv::ops {

/// Images [n0,n1) x rows [y0,y1) x columns [x0,x1).
struct Block {
  std::int64_t n0, n1, y0, y1, x0, x1;
  std::int64_t pixels() const noexcept { return (n1 - n0) * (y1 - y0) * (x1 - x0); }
};

/// Blocks of equal size, each of whole images or of a part of one.
struct Blocking {
  std::int64_t n = 0, height = 0, width = 0;
  std::int64_t first_row = 0, first_column = 0;         // of all blocks
  std::int64_t images = 1, rows = 1, columns = 1;       // of a block, at most
  std::int64_t image_parts = 0, row_parts = 1, column_parts = 1;

  /// Blocks of at most `target` pixels.
  static Blocking make(std::int64_t n, std::int64_t height, std::int64_t width, std::int64_t target) noexcept {
    Blocking b;
    b.n = n, b.height = height, b.width = width;
    const std::int64_t image = height * width;
    if (n == 0 || image == 0) return b;
    if (target >= image) {
      b.image_parts = base::ceil_div(n, target / image);
      b.images = base::ceil_div(n, b.image_parts), b.rows = height, b.columns = width;
      return b;
    }
    b.image_parts = n;
    b.column_parts = base::ceil_div(width, std::min(width, target));
    b.columns = base::ceil_div(width, b.column_parts);
    b.row_parts = base::ceil_div(height, std::max<std::int64_t>(1, target / b.columns));
    b.rows = base::ceil_div(height, b.row_parts);
    return b;
  }

  std::int64_t count() const noexcept { return image_parts * row_parts * column_parts; }
  std::int64_t pixels() const noexcept { return images * rows * columns; }
  Block operator[](std::int64_t index) const noexcept {
    const std::int64_t column = index % column_parts, row = index / column_parts % row_parts, image = index / (column_parts * row_parts);
    const auto part = [](std::int64_t size, std::int64_t step, std::int64_t i) {
      return std::pair{std::min(size, i * step), std::min(size, (i + 1) * step)};
    };
    const auto [n0, n1] = part(n, images, image);
    const auto [y0, y1] = part(height, rows, row);
    const auto [x0, x1] = part(width, columns, column);
    return {n0, n1, first_row + y0, first_row + y1, first_column + x0, first_column + x1};
  }
};

}  // namespace upconv::ops
