// SPDX-License-Identifier: Apache-2.0
// The register tile of the kernel gradient: a sum of outer products,
//   c[m * ld + n] (+)= sum over k of a[k][m] * b[k * step + n],
// one tile for every tile of tiles.h (the same lanes, vectors and rows).
#pragma once

#include "kernels/tiles.h"

namespace upconv::kernels {

template <class T>
struct OuterTask {
  const T* const* a;       // [count] pointers; row 0 of the tile is a_offset beyond
  std::int64_t a_offset;
  const T* b;              // readable in whole vectors
  std::int64_t step;       // elements from b of k to b of k + 1
  std::int64_t count;      // of products; longest_chain at most, for the bound of Math::exact
  T* c;
  std::int64_t ld;
  std::int64_t columns;    // columns to store: 1 .. vectors * lanes
  bool add;                // to what c holds; else c is written
};

template <class T>
struct OuterKernels {
  using Run = void (*)(const OuterTask<T>&);
  Run run[tile_max_vectors + 1][tile_max_rows + 1];   // by vectors, rows; null where tiles.h has none
};

/// `isa` is an index into isas(); T is float or double.
template <class T>
const OuterKernels<T>& outer_kernels(int isa) noexcept;
template <>
const OuterKernels<float>& outer_kernels<float>(int isa) noexcept;
template <>
const OuterKernels<double>& outer_kernels<double>(int isa) noexcept;

}  // namespace upconv::kernels
