// SPDX-License-Identifier: Apache-2.0
// Pixels along the lanes, for layers of few filters: there the columns of a GEMM would fill a few lanes of a vector, pixels
// fill them all. A strip is `lanes` neighbouring pixels, channel by channel: [channel][lanes]. Products of strips with
// broadcast weights are rows of pixels; taps that lie side by side add such rows at shifted places, and the phases of a
// row, each a row of its own, are woven into the output at the end.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/tiles.h"

namespace upconv::kernels {

/// c[n * c_stride + i] = sum over steps, over k of a step, of strips[tap][first + k][i] * panel[position + k][n], i running
/// over the pixels of neighbouring strips, strip_stride elements apart. Chains close as in tiles.h.
template <class T>
struct StripTask {
  const T* const* strips;      // strips[tap]: the strips of a row under a tap
  std::int64_t strip_stride;
  std::int64_t first_strip;    // of this tile
  const TileStep* steps;
  std::int64_t step_count;     // 0: the sums are 0
  const T* panel;              // [position][columns of the tile]
  T* c;
  std::int64_t c_stride;
  const void* fetch = nullptr; // memory to bring into L2 on the way, a cache line for each product
};

/// For each phase r and filter f: to[(r * filters + f) * to_stride + i] = activation(bias[f] + sum over the phase's taps t of
/// from[taps[t] + f * from_stride + i]) for i < count; up to a vector more is read and written.
template <class T>
struct RowSums {
  const T* from;
  std::int64_t from_stride;
  const std::int64_t* taps;    // of phase 0, of phase 1, ...
  const std::int64_t* ends;    // ends[r]: the end of phase r's taps
  std::int64_t phases, filters;
  const T* bias;               // filters of them
  bool relu;                   // negative results become 0, NaN stays
  T* to;
  std::int64_t to_stride, count;
};

/// to[i * rows + r] = from[r * stride + i] for i < count; reads up to a vector behind a row.
template <class T>
struct Weave {
  const T* from;
  std::int64_t stride, rows, count;
  T* to;
};

inline constexpr int strip_max_columns = 12;
inline constexpr int strip_max_strips = 8;

/// The kernels of one instruction set and element type.
template <class T>
struct StripKernels {
  using Run = void (*)(const StripTask<T>&);
  std::int64_t lanes;
  int strips[strip_max_columns + 1];                             // most strips by columns of the panel; 0: no such panel
  Run run[strip_max_columns + 1][strip_max_strips + 1];          // by columns, strips
  /// to[c * stride + i] = pixels[i][c] for c < channels, i < lanes.
  void (*load_pixels)(const T* const* pixels, std::int64_t channels, T* to, std::int64_t stride);
  /// Strips of pixels that follow each other, `stride` elements apart in `to`; fetches the elements `ahead`
  /// of them into the cache.
  void (*load_row)(const T* pixels, std::int64_t channels, std::int64_t strips, std::int64_t stride, std::int64_t ahead, T* to);
  void (*sum)(const RowSums<T>&);
  void (*weave)(const Weave<T>&);
};

/// `isa` is an index into isas(); T is float or double.
template <class T>
const StripKernels<T>& strip_kernels(int isa) noexcept;
template <>
const StripKernels<float>& strip_kernels<float>(int isa) noexcept;
template <>
const StripKernels<double>& strip_kernels<double>(int isa) noexcept;

/// Panels of strip tiles and what a column of one strip costs, in products.
struct StripPanels {
  std::vector<int> columns;    // of each panel, widest first
  double cost;                 // of all columns, for one strip, a product of the depth
};
/// Cuts `columns` into panels that cost least for rows of `strips` strips.
template <class T>
StripPanels strip_panels(const StripKernels<T>& kernels, std::int64_t columns, std::int64_t strips);

}  // namespace upconv::kernels
