// SPDX-License-Identifier: Apache-2.0
// dY as the input pixels see it, for both big gradients. Under a kernel row, the taps of one input pixel read kw * co
// contiguous values of dY unless the taps are dilated; so a pixel has one pointer a kernel row (dilated: one a tap). A window
// that the border of dY cuts is copied beside zeros, one outside points at zeros. Half types and channels_first are
// converted a block at a time.
#pragma once

#include <vector>

#include "ops/blocks.h"
#include "ops/geometry.h"
#include "ops/rows.h"

namespace upconv::ops {

template <class T>
class Windows {
 public:
  Windows(const Geometry& g, DType dtype, const void* dy, const Blocking& blocking);

  std::int64_t run;          ///< taps under one pointer
  std::int64_t taps;         ///< pointers of a pixel, kernel rows first
  std::int64_t values;       ///< values under a pointer: run * co

  struct Scratch {
    std::vector<T> staged, cut;
    std::vector<const T*> table;   ///< [tap][pixel of the block]
  };
  Scratch scratch() const;

  /// Rows of dY that stage() converts for a block; 0 where dY is read in place.
  std::int64_t staged_rows(const Block& block) const noexcept;
  void stage(const Block& block, std::int64_t first_row, std::int64_t last_row, Scratch& scratch) const noexcept;
  void fill_table(const Block& block, Scratch& scratch) const noexcept;

  /// Kernel rows [first, last) that meet dY from input row i.
  struct KernelRows {
    std::int64_t first, last;
  };
  KernelRows kernel_rows(std::int64_t i) const noexcept;

 private:
  /// Pixel (n, i, j) at base + n*image + i*row + j*co.
  struct View {
    const T* base;
    std::int64_t image, row;
  };
  struct Range {
    std::int64_t first, last;
    std::int64_t size() const noexcept { return last - first; }
  };
  static Range under(const Axis& axis, std::int64_t first, std::int64_t last) noexcept;
  View view(const Block& block, const Scratch& scratch) const noexcept;
  T* cut_window(const T* row, std::int64_t column, T* to) const noexcept;
  std::int64_t dy_row(std::int64_t i, std::int64_t a) const noexcept { return i * g_.y.s + a * g_.y.d - g_.y.crop; }

  const Geometry& g_;
  Image image_;
  const void* dy_;
  Blocking blocking_;
  std::int64_t stage_row_, stage_image_;   // elements
  std::vector<T> zeros_;
};

}  // namespace upconv::ops
