// SPDX-License-Identifier: Apache-2.0
// As in tiles-inl.h each (rows, vectors) pair is its own function, K unrolled once. Four rows share a pointer, so that twelve
// rows need no more registers than three.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/row_tiles.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/row_tiles.h"
#include "kernels/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

template <class T, int kRows, int kVectors, class V>
HWY_INLINE void StorePieces(const RowTask<T>& t, std::int64_t first, V (&sum)[kRows][kVectors]) {
  const hn::ScalableTag<T> d;
  constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  const RowPiece* piece = t.pieces;
  const RowPiece* const end = piece + t.piece_count;
  UPCONV_UNROLL
  for (int v = 0; v < kVectors; ++v)
    for (; piece != end && piece->vector == v; ++piece) {
      T* c = t.c + first * t.c_stride + piece->offset;
      if (piece->length == kLanes) {
        UPCONV_UNROLL
        for (int m = 0; m < kRows; ++m, c += t.c_stride) hn::StoreU(sum[m][v], d, c);
      } else {
        const auto mask = hn::AndNot(hn::FirstN(d, static_cast<std::size_t>(piece->lane)),
                                     hn::FirstN(d, static_cast<std::size_t>(piece->lane + piece->length)));
        UPCONV_UNROLL
        for (int m = 0; m < kRows; ++m, c += t.c_stride) hn::BlendedStore(sum[m][v], mask, d, c);
      }
    }
}

template <class T, int kRows, int kVectors, class V>
HWY_INLINE void FinishRows(const RowTask<T>& t, std::int64_t first, V (&sum)[kRows][kVectors]) {
  const hn::ScalableTag<T> d;
  constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  UPCONV_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const V bias = hn::LoadU(d, t.bias + v * kLanes);
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) sum[m][v] = hn::Add(sum[m][v], bias);
  }
  if (t.relu) {
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) {
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v)
        sum[m][v] = Relu(sum[m][v]);
    }
  }
  if (t.pieces) return StorePieces<T, kRows, kVectors>(t, first, sum);
  T* c = t.c + first * t.c_stride;
  const bool whole = t.columns == kVectors * kLanes;
  if (whole || (t.spills && first + kRows < t.pixels)) {
    if (whole && t.streams) {
      UPCONV_UNROLL
      for (int m = 0; m < kRows; ++m, c += t.c_stride) {
        UPCONV_UNROLL
        for (int v = 0; v < kVectors; ++v) hn::Stream(sum[m][v], d, c + v * kLanes);
      }
      return;
    }
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m, c += t.c_stride) {
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v) hn::StoreU(sum[m][v], d, c + v * kLanes);
    }
    return;
  }
  UPCONV_UNROLL
  for (int m = 0; m < kRows; ++m, c += t.c_stride) {
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v)
      if (v * kLanes < t.columns)
        hn::BlendedStore(sum[m][v], hn::FirstN(d, static_cast<std::size_t>(t.columns - v * kLanes)), d, c + v * kLanes);
  }
}

/// kFar: the panel lies in L2.
template <class T, int kRows, int kVectors, bool kFar>
HWY_NOINLINE void RunRows(const RowTask<T>& t, std::int64_t first_pixel) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<hn::ScalableTag<T>>;
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  constexpr std::size_t kWidth = kLanes * kVectors;
  constexpr int kGroups = (kRows + 3) / 4;
  HWY_ALIGN T memory[static_cast<std::size_t>(kRows) * kWidth];
  T* const partial = InMemory(memory);
  V sum[kRows][kVectors];
  UPCONV_UNROLL
  for (int m = 0; m < kRows; ++m) {
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::Zero(d);
  }
  bool first = true;
  const TileStep* const end = t.steps + t.step_count;
  const std::int64_t stride = t.stride;
  for (const TileStep* step = t.steps; step != end; ++step) {
    const T* row[kGroups];
    UPCONV_UNROLL
    for (int g = 0; g < kGroups; ++g) row[g] = t.taps[step->tap] + (first_pixel + 4 * g) * stride + step->first;
    const T* ahead = row[0] + kRows * stride;   // the next tile's pixels, as far as they lie side by side
    const T* HWY_RESTRICT b = t.panel + static_cast<std::size_t>(step->position) * kWidth;
    for (const T* const last = b + static_cast<std::size_t>(step->length) * kWidth; b != last; b += kWidth) {
      __builtin_prefetch(ahead);
      ahead += kRows;
      if constexpr (kFar) PrefetchPanel<T, kVectors>(b);
      V column[kVectors];
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        column[v] = hn::Load(d, b + static_cast<std::size_t>(v) * kLanes);
        Pin(column[v]);
      }
      UPCONV_UNROLL
      for (int m = 0; m < kRows; ++m) {
        const V a = hn::Set(d, row[m / 4][m % 4 * stride]);
        UPCONV_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(a, column[v], sum[m][v]);
      }
      UPCONV_UNROLL
      for (int g = 0; g < kGroups; ++g) ++row[g];
    }
    if (step->closes && step + 1 != end) {
      CloseChain<T, kRows, kVectors>(sum, partial, first);
      first = false;
    }
  }
  if (!first) {
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) {
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v)
        sum[m][v] = hn::Add(hn::Load(d, partial + static_cast<std::size_t>(m * kVectors + v) * kLanes), sum[m][v]);
    }
  }
  FinishRows<T, kRows, kVectors>(t, first_pixel, sum);
}

constexpr std::int64_t kNearPanel = 40 << 10;   // bytes that stay in L1 beside a row of pixels; fetching 32 KB cost 5 %

template <class T, int kRows, int kVectors>
void ChooseRows(const RowTask<T>& t, std::int64_t first) {
  const TileStep* const last = t.steps + t.step_count - 1;
  const std::int64_t products = t.step_count > 0 ? last->position + last->length - t.steps->position : 0;
  if (products * kVectors * static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()) * sizeof(T)) > kNearPanel) RunRows<T, kRows, kVectors, true>(t, first);
  else RunRows<T, kRows, kVectors, false>(t, first);
}

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
constexpr int kMostRowsOfRow[tile_max_vectors + 1] = {0, 16, 12, 8, 6};
#else
constexpr int kMostRowsOfRow[tile_max_vectors + 1] = {0, 12, 6, 4, 0};
#endif

template <class T, int kVectors, int kRows>
void RegisterRows(RowTiles<T>& tiles) {
  if constexpr (kRows > 0) {
    tiles.run[kVectors][kRows] = &ChooseRows<T, kRows, kVectors>;
    RegisterRows<T, kVectors, kRows - 1>(tiles);
  } else if constexpr (kVectors < tile_max_vectors) {
    RegisterRows<T, kVectors + 1, kMostRowsOfRow[kVectors + 1]>(tiles);
  }
}

template <class T>
const RowTiles<T>& RowTable() {
  static const RowTiles<T> table = [] {
    RowTiles<T> tiles{};
    std::copy_n(kMostRowsOfRow, tile_max_vectors + 1, tiles.rows);
    RegisterRows<T, 1, kMostRowsOfRow[1]>(tiles);
    return tiles;
  }();
  return table;
}

const RowTiles<float>& RowTilesFloat() { return RowTable<float>(); }
const RowTiles<double>& RowTilesDouble() { return RowTable<double>(); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(RowTilesFloat);
HWY_EXPORT(RowTilesDouble);

template <>
const RowTiles<float>& row_tiles<float>(int isa) noexcept {
  return UPCONV_DISPATCH(RowTilesFloat, isa)();
}
template <>
const RowTiles<double>& row_tiles<double>(int isa) noexcept {
  return UPCONV_DISPATCH(RowTilesDouble, isa)();
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
