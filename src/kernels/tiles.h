// SPDX-License-Identifier: Apache-2.0
// The micro-kernel contract all algorithms share: one register tile of an implicit GEMM,
//   c[m][n] = activation(bias[n] + sum over steps, over k of a step, of rows[tap][m][first + k] * panel[position + k][n]).
// Rows of the left side are pointers into the input (no column buffer, ever); the right side is packed in panels of
// `vectors` SIMD vectors; sums run in step order and then channel order, in chains that close at most every
// longest_chain products and are added up in order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace upconv::kernels {

/// No chain of additions is longer: the error bound of Math::exact.
inline constexpr std::int64_t longest_chain = 256;

/// A stretch of the sum: `length` channels of one tap.
struct TileStep {
  std::int64_t tap;        // which set of row pointers
  std::int64_t first;      // first channel
  std::int64_t length;
  std::int64_t position;   // first row of the packed panel
  bool closes;             // the chain ends here
};

/// The steps of `taps` taps of `channels` channels in canonical order (taps ascending, channels ascending). Every tap has
/// the same number of steps, so the steps of consecutive taps are a contiguous range.
std::vector<TileStep> tile_steps(std::int64_t taps, std::int64_t channels);

template <class T>
struct TileTask {
  const T* const* rows;        // rows[tap * tap_stride + m]: channel 0 of pixel m under a tap
  std::int64_t tap_stride;
  const TileStep* steps;
  std::int64_t step_count;     // 0: the sum is empty and c = activation(bias)
  const T* panel;              // [position][vectors * lanes], 64-byte aligned
  const T* bias;               // vectors * lanes values, or null
  T* const* c;                 // c[m] + c_offset: column 0 of pixel m
  std::int64_t c_offset;
  std::int64_t columns;        // columns to store: 1 .. vectors * lanes
  bool relu;                   // negative results become 0, NaN stays
  bool more = false;           // rows[...][m] is there for the next tile's first pixel too, and what it points to soon needed
  const void* fetch = nullptr; // memory to bring into L2 on the way, a cache line for each product
  // A sum in several calls, so that a stretch of the panel serves all tiles before the next is read: all but the last call
  // pause, and end where a chain closes; all but the first resume. The sums so far wait at carry[pixel][vectors * lanes], aligned.
  T* const* carry = nullptr;
  bool resumes = false, pauses = false;
};

inline constexpr int tile_max_rows = 8;
inline constexpr int tile_max_vectors = 4;
/// Elements that hold any tile of any instruction set.
inline constexpr std::size_t tile_max_tile = tile_max_rows * tile_max_vectors * 16;

/// The tiles of one instruction set and element type.
template <class T>
struct TileKernels {
  using Run = void (*)(const TileTask<T>&);
  std::int64_t lanes;                              // elements of a vector
  int vectors;                                     // widest panel
  int rows[tile_max_vectors + 1];                  // most rows by vectors of the panel
  Run run[tile_max_vectors + 1][tile_max_rows + 1];  // by vectors, rows; null beyond the most
};

/// `isa` is an index into isas(); T is float or double.
template <class T>
const TileKernels<T>& tile_kernels(int isa) noexcept;
template <>
const TileKernels<float>& tile_kernels<float>(int isa) noexcept;
template <>
const TileKernels<double>& tile_kernels<double>(int isa) noexcept;

/// Panels of register tiles and what they cost.
struct TilePanels {
  std::vector<int> vectors;    // of each panel, widest first
  double cost;                 // cycles of all columns, a pixel and product of the depth
};
/// Cuts `columns` into panels that cost least for sums of `depth` products on tiles of at most heights[vectors] rows, where `run`
/// pixels in a row are cut into tiles; 0: a tile is always full. No panel is wider than most_vectors.
template <class T>
TilePanels tile_panels(const TileKernels<T>& kernels, const int* heights, std::int64_t columns, std::int64_t depth, std::int64_t run = 0,
                       int most_vectors = tile_max_vectors);

}  // namespace upconv::kernels
