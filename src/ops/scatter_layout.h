// SPDX-License-Identifier: Apache-2.0
// How scatter_gemm cuts a layer of few filters: its GEMMs, its panels, the way their weights lie packed, and the bands and
// blocks of the image. Depends on the geometry of one sample only.
#pragma once

#include <string>
#include <vector>

#include "kernels/strips.h"
#include "ops/phases.h"

namespace upconv::ops {

struct ScatterPanel {
  std::int64_t first = 0;      // first column
  int columns = 1;
  std::int64_t packed = 0;     // element offset in the packed kernel: [taps * ci][columns]
};

/// One GEMM: columns (p * kw + b) * co + f of row phase first_phase + p, horizontal tap b, filter f, summed over the
/// vertical taps of the phase and the channels.
struct ScatterUnit {
  std::size_t y = 0;           // place in ScatterLayout::rows
  std::int64_t columns = 0;
  std::vector<kernels::TileStep> steps;
  std::vector<ScatterPanel> panels;
};

template <class T>
struct ScatterLayout {
  ScatterLayout(const Geometry& geometry, int isa);

  void pack(const void* kernel, DType dtype, T* packed) const noexcept;
  /// Two layouts with equal keys read the same packed kernel.
  std::string key() const;
  /// What one sample costs, in multiply-adds at full speed.
  double work() const noexcept { return work_; }

  Geometry g;
  std::int64_t lanes;
  std::vector<PhaseGroup> rows;
  std::vector<ScatterUnit> units;
  std::int64_t y_first = 0, y_last = 0, y_reach = 0;          // blocks of the output, and how far back its taps read
  std::int64_t x_first = 0, x_last = 0, x_reach = 0;
  std::int64_t parts = 1, part_rows = 0;                      // an image is cut into parts of so many rows of blocks,
  std::int64_t bands = 1;                                     // a part into bands that lie side by side,
  std::int64_t blocks = 1, block_columns = 0;                 // or rows into blocks of columns
  std::int64_t band_rows = 0, band_pixels = 0, strips = 0;    // pixels of a band with the gap behind it, strips of all
  std::int64_t most_columns = 0, most_taps = 0, packed_elements = 0;

 private:
  std::int64_t most_pixels() const noexcept;
  std::int64_t pixel_bytes() const noexcept;
  void cut(int isa);
  double cost(int isa, std::int64_t band_count) const;
  std::int64_t strips_of(std::int64_t band_count) const noexcept;
  std::int64_t gap() const noexcept;
  double work_ = 0;
};

}  // namespace upconv::ops
