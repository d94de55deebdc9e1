// SPDX-License-Identifier: Apache-2.0
// What a layer's kernel looks like to the register tiles: one GEMM for each pair of a row phase and a group of column
// phases, its steps in canonical order, its panels and where they lie packed. Depends on the geometry of one sample only.
#pragma once

#include <string>
#include <vector>

#include "kernels/strips.h"
#include "kernels/tiles.h"
#include "ops/phases.h"

namespace upconv::ops {

struct TilePanel {
  std::int64_t first = 0;      // first column of the GEMM
  std::int64_t columns = 0;    // columns in use
  int vectors = 1;
  std::int64_t packed = 0;     // element offset in the packed kernel: [taps * ci][vectors * lanes]
  std::int64_t bias = 0;       // element offset in the padded bias
};

/// Neighbouring phases with equal taps can be columns of one GEMM: those of a row, or of both axes.
enum class Merge { none, columns, both };

/// Blocks of a sample, at most, whose panels are read tap by tap.
inline constexpr std::int64_t most_pixels_by_taps = 128;

/// Columns n = (py * px_phases + px) * co + f of the groups' phases py and px, filter f; depth taps_y * taps_x * ci, taps row-major.
struct TileUnit {
  std::size_t y = 0, x = 0;    // places in TileLayout::rows and columns
  std::int64_t taps = 0, steps_a_tap = 0;
  std::vector<kernels::TileStep> steps;
  std::vector<TilePanel> panels;
};

template <class T>
struct TileLayout {
  /// row_heights: the most rows of tiles that stay inside an image row, by vectors.
  TileLayout(const Geometry& geometry, const kernels::TileKernels<T>& kernels, const int* row_heights, Merge merge);

  /// Packs panel number `panel`, counted over all units, of kernel (kh,kw,co,ci).
  void pack(const kernels::StripKernels<T>& kernels, const void* kernel, DType dtype, std::int64_t panel, T* packed) const noexcept;
  /// padded[bias_elements] = the bias of every packed column; null means zeros.
  void spread_bias(const void* bias, DType dtype, T* padded) const noexcept;
  /// Two layouts with equal keys read the same packed kernel.
  std::string key() const;
  /// Multiply-adds of one sample that the tiles do, padding columns and cut blocks included.
  double work() const noexcept;

  Geometry g;
  std::int64_t lanes;
  Merge merge;
  std::vector<PhaseGroup> rows, columns;
  std::vector<TileUnit> units;
  std::vector<std::int64_t> bias_phases;   // the padded bias: stretches of so many times the bias
  bool by_taps = false;                    // few pixels: a panel is read tap by tap, and only pixels that the tap meets are multiplied
  bool in_rows = false;                    // else tiles may stay inside image rows, and taps above and below the image cost nothing
  std::int64_t packed_elements = 0, bias_elements = 0, panel_count = 0, most_taps = 0;

 private:
  bool taps_pay() const;
  bool rows_pay(const kernels::TileKernels<T>& kernels, const int* row_heights) const;
};

}  // namespace upconv::ops
