// SPDX-License-Identifier: Apache-2.0
// A 6 x 2-vector register tile: twelve accumulators, two loads of the packed panel and six broadcasts a pixel. Fewer rows
// are separate functions (templates on the number of rows, never inlined into each other), so that no accumulator spills.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/outer.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/outer.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int64_t kLongestChain = 256;

template <class T> using Tag = hn::ScalableTag<T>;

std::int64_t PanelWidthFloat() { return static_cast<std::int64_t>(2 * hn::Lanes(Tag<float>())); }
std::int64_t PanelWidthDouble() { return static_cast<std::int64_t>(2 * hn::Lanes(Tag<double>())); }

/// One rectangle of at most kLongestChain pixels, summed in registers, stored to tile[rows][width].
template <int kRows, class T>
HWY_NOINLINE void Tile(const OuterRectangle<T>& r, T* HWY_RESTRICT tile) {
  const Tag<T> d;
  const std::size_t lanes = hn::Lanes(d);
  using V = hn::Vec<Tag<T>>;
  V c00 = hn::Zero(d), c01 = c00, c10 = c00, c11 = c00, c20 = c00, c21 = c00;
  V c30 = c00, c31 = c00, c40 = c00, c41 = c00, c50 = c00, c51 = c00;
  for (std::int64_t i = 0; i < r.rows; ++i) {
    const T* HWY_RESTRICT a = r.a + i * r.a_row;
    const T* HWY_RESTRICT b = r.b + i * r.b_row * static_cast<std::int64_t>(2 * lanes);
    for (std::int64_t j = 0; j < r.columns; ++j) {
      const V b0 = hn::LoadU(d, b), b1 = hn::LoadU(d, b + lanes);
      V v = hn::Set(d, a[0]);
      c00 = hn::MulAdd(v, b0, c00), c01 = hn::MulAdd(v, b1, c01);
      if constexpr (kRows > 1) v = hn::Set(d, a[1]), c10 = hn::MulAdd(v, b0, c10), c11 = hn::MulAdd(v, b1, c11);
      if constexpr (kRows > 2) v = hn::Set(d, a[2]), c20 = hn::MulAdd(v, b0, c20), c21 = hn::MulAdd(v, b1, c21);
      if constexpr (kRows > 3) v = hn::Set(d, a[3]), c30 = hn::MulAdd(v, b0, c30), c31 = hn::MulAdd(v, b1, c31);
      if constexpr (kRows > 4) v = hn::Set(d, a[4]), c40 = hn::MulAdd(v, b0, c40), c41 = hn::MulAdd(v, b1, c41);
      if constexpr (kRows > 5) v = hn::Set(d, a[5]), c50 = hn::MulAdd(v, b0, c50), c51 = hn::MulAdd(v, b1, c51);
      a += r.a_col;
      b += 2 * lanes;
    }
  }
  const auto store = [&](int m, V lo, V hi) HWY_ATTR {
    hn::StoreU(lo, d, tile + static_cast<std::size_t>(m) * 2 * lanes);
    hn::StoreU(hi, d, tile + static_cast<std::size_t>(m) * 2 * lanes + lanes);
  };
  store(0, c00, c01);
  if constexpr (kRows > 1) store(1, c10, c11);
  if constexpr (kRows > 2) store(2, c20, c21);
  if constexpr (kRows > 3) store(3, c30, c31);
  if constexpr (kRows > 4) store(4, c40, c41);
  if constexpr (kRows > 5) store(5, c50, c51);
}

template <class T>
void RunTile(const OuterRectangle<T>& r, std::int64_t rows, T* tile) {
  switch (rows) {
    case 1: return Tile<1>(r, tile);
    case 2: return Tile<2>(r, tile);
    case 3: return Tile<3>(r, tile);
    case 4: return Tile<4>(r, tile);
    case 5: return Tile<5>(r, tile);
    default: return Tile<6>(r, tile);
  }
}

template <class T>
void Accumulate(const OuterRectangle<T>& r, std::int64_t tile_rows, std::int64_t columns_used, double* sum, std::int64_t ld) {
  const auto width = static_cast<std::int64_t>(2 * hn::Lanes(Tag<T>()));
  HWY_ALIGN T tile[6 * 2 * hn::MaxLanes(Tag<T>())];
  // Whole rows while they fit a chain, else pieces of one row.
  const std::int64_t columns = std::min(r.columns, kLongestChain);
  const std::int64_t rows = std::max<std::int64_t>(1, kLongestChain / std::max<std::int64_t>(1, r.columns));
  for (std::int64_t i = 0; i < r.rows; i += rows)
    for (std::int64_t j = 0; j < r.columns; j += columns) {
      OuterRectangle<T> piece = r;
      piece.a += i * r.a_row + j * r.a_col;
      piece.b += (i * r.b_row + j) * width;
      piece.rows = std::min(rows, r.rows - i);
      piece.columns = std::min(columns, r.columns - j);
      RunTile(piece, tile_rows, tile);
      for (std::int64_t m = 0; m < tile_rows; ++m)
        for (std::int64_t n = 0; n < columns_used; ++n) sum[m * ld + n] += static_cast<double>(tile[m * width + n]);
    }
}

void AccumulateFloat(const OuterRectangle<float>& r, std::int64_t rows, std::int64_t used, double* sum, std::int64_t ld) {
  Accumulate(r, rows, used, sum, ld);
}
void AccumulateDouble(const OuterRectangle<double>& r, std::int64_t rows, std::int64_t used, double* sum, std::int64_t ld) {
  Accumulate(r, rows, used, sum, ld);
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(PanelWidthFloat);
HWY_EXPORT(PanelWidthDouble);
HWY_EXPORT(AccumulateFloat);
HWY_EXPORT(AccumulateDouble);

std::int64_t outer_panel_width(int isa, std::size_t bytes) noexcept {
  return bytes == 4 ? UPCONV_DISPATCH(PanelWidthFloat, isa)() : UPCONV_DISPATCH(PanelWidthDouble, isa)();
}

void outer_accumulate(const OuterRectangle<float>& r, std::int64_t tile_rows, std::int64_t columns_used, double* sum,
                      std::int64_t ld, int isa) noexcept {
  UPCONV_DISPATCH(AccumulateFloat, isa)(r, tile_rows, columns_used, sum, ld);
}

void outer_accumulate(const OuterRectangle<double>& r, std::int64_t tile_rows, std::int64_t columns_used, double* sum,
                      std::int64_t ld, int isa) noexcept {
  UPCONV_DISPATCH(AccumulateDouble, isa)(r, tile_rows, columns_used, sum, ld);
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
