// SPDX-License-Identifier: Apache-2.0
// The register tile of the kernel gradient: a sum of outer products,
//   c[m * ld + n] (+)= sum over k of a[k * a_step + m] * b[k][n],
// one tile for every tile of tiles.h (the same lanes, vectors and rows).
#pragma once

#include "kernels/tiles.h"

namespace upconv::kernels {

template <class T>
struct OuterTask {
  const T* a;
  std::int64_t a_step;     // few lines: from steps of a page the tile runs at 88 % of the peak, from ones of 192 bytes at 96 %
  const T* b;              // [count][vectors * lanes], 64-byte aligned
  std::int64_t count;      // of products; longest_chain at most, for the bound of Math::exact
  T* c;
  std::int64_t ld;
  std::int64_t columns;    // columns to store: 1 .. vectors * lanes
  bool add;                // to what c holds; else c is written
  const T* const* fetch = nullptr;   // [count] memory to bring into L2 on the way, fetch_offset behind each pointer
  std::int64_t fetch_offset = 0;
};

template <class T>
struct OuterKernels {
  using Run = void (*)(const OuterTask<T>&);
  /// to[k * step + m] = from[k][offset + m] for k < count, m < width <= step.
  using Gather = void (*)(const T* const* from, std::int64_t offset, std::int64_t count, std::int64_t width, T* to, std::int64_t step);
  Run run[tile_max_vectors + 1][tile_max_rows + 1];   // by vectors, rows; null where tiles.h has none
  Gather gather;
};

/// `isa` is an index into isas(); T is float or double.
template <class T>
const OuterKernels<T>& outer_kernels(int isa) noexcept;
template <>
const OuterKernels<float>& outer_kernels<float>(int isa) noexcept;
template <>
const OuterKernels<double>& outer_kernels<double>(int isa) noexcept;

}  // namespace upconv::kernels
