// SPDX-License-Identifier: Apache-2.0
// A 6 x 2-vector register tile, unrolled by one along the depth: twelve accumulators, two loads and six broadcasts a step.
// Longer unrolling spills or lands on slow orders with GCC 12; tails are their own functions, never inlined into another,
// because several variants in one function spill their accumulators.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm.cc"
#include <hwy/foreach_target.h>
#include <hwy/cache_control.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/gemm.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class T> using Tag = hn::ScalableTag<T>;

std::int64_t WidthFloat() { return static_cast<std::int64_t>(2 * hn::Lanes(Tag<float>())); }
std::int64_t WidthDouble() { return static_cast<std::int64_t>(2 * hn::Lanes(Tag<double>())); }

// Panels stream from L2 or L3: 64 steps ahead costs nothing when they lie in L2 and wins up to a quarter when they do not.
constexpr std::size_t kPrefetchSteps = 64;

template <int kRows, int kVectors, class T>
HWY_NOINLINE void Tile(const GemmTile<T>& t) {
  const Tag<T> d;
  using V = hn::Vec<Tag<T>>;
  const std::size_t lanes = hn::Lanes(d);
  const std::size_t width = 2 * lanes;
  HWY_ALIGN T sum[static_cast<std::size_t>(kRows * kVectors) * hn::MaxLanes(Tag<T>())];
  V acc[kRows][kVectors];
  bool summed = false;
  std::int64_t chain = 0;
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) acc[m][v] = hn::Zero(d);

  for (std::int64_t tap = 0; tap < t.taps; ++tap) {
    const T* HWY_RESTRICT a[kRows];
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) a[m] = t.rows[tap * kRows + m];
    const T* HWY_RESTRICT b = t.panels[tap];
    for (std::int64_t first = 0; first < t.depth;) {
      const std::int64_t last = std::min(t.depth, first + gemm_block - chain);
      for (std::int64_t k = first; k < last; ++k) {
        hwy::Prefetch(b + kPrefetchSteps * width);
        V w[kVectors];
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) w[v] = hn::LoadU(d, b + static_cast<std::size_t>(v) * lanes);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          const V x = hn::Set(d, a[m][k]);
#pragma GCC unroll 2
          for (int v = 0; v < kVectors; ++v) acc[m][v] = hn::MulAdd(x, w[v], acc[m][v]);
        }
        b += width;
      }
      chain += last - first;
      first = last;
      if (chain < gemm_block) continue;
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 2
        for (int v = 0; v < kVectors; ++v) {
          T* HWY_RESTRICT s = sum + static_cast<std::size_t>(m * kVectors + v) * lanes;
          hn::Store(summed ? hn::Add(hn::Load(d, s), acc[m][v]) : acc[m][v], d, s);
          acc[m][v] = hn::Zero(d);
        }
      summed = true;
      chain = 0;
    }
  }

  const V zero = hn::Zero(d);
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      V y = acc[m][v];
      if (summed) y = hn::Add(hn::Load(d, sum + static_cast<std::size_t>(m * kVectors + v) * lanes), y);
      if (t.bias) y = hn::Add(y, hn::LoadU(d, t.bias + static_cast<std::size_t>(v) * lanes));
      if (t.relu) y = hn::Add(hn::IfThenElse(hn::Lt(y, zero), zero, y), zero);   // + 0 turns -0 into 0, as max(x, 0) does
      acc[m][v] = y;
    }
  const auto columns = static_cast<std::size_t>(t.columns);
  if (columns == static_cast<std::size_t>(kVectors) * lanes) {
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m)
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) hn::StoreU(acc[m][v], d, t.out[m] + static_cast<std::size_t>(v) * lanes);
    return;
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) hn::Store(acc[m][v], d, sum + static_cast<std::size_t>(v) * lanes);
    std::copy_n(sum, columns, t.out[m]);
  }
}

template <int kRows, class T>
void Narrowest(const GemmTile<T>& t) {
  if (t.columns <= static_cast<std::int64_t>(hn::Lanes(Tag<T>()))) return Tile<kRows, 1>(t);
  Tile<kRows, 2>(t);
}

template <class T>
void Gemm(const GemmTile<T>& t, std::int64_t rows) {
  switch (rows) {
    case 1: return Narrowest<1>(t);
    case 2: return Narrowest<2>(t);
    case 3: return Narrowest<3>(t);
    case 4: return Narrowest<4>(t);
    case 5: return Narrowest<5>(t);
    default: return Narrowest<6>(t);
  }
}

void GemmFloat(const GemmTile<float>& t, std::int64_t rows) { Gemm(t, rows); }
void GemmDouble(const GemmTile<double>& t, std::int64_t rows) { Gemm(t, rows); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(WidthFloat);
HWY_EXPORT(WidthDouble);
HWY_EXPORT(GemmFloat);
HWY_EXPORT(GemmDouble);

std::int64_t gemm_panel_width(int isa, std::size_t bytes) noexcept {
  return bytes == 8 ? UPCONV_DISPATCH(WidthDouble, isa)() : UPCONV_DISPATCH(WidthFloat, isa)();
}
void gemm(const GemmTile<float>& tile, std::int64_t tile_rows, int isa) noexcept {
  UPCONV_DISPATCH(GemmFloat, isa)(tile, tile_rows);
}
void gemm(const GemmTile<double>& tile, std::int64_t tile_rows, int isa) noexcept {
  UPCONV_DISPATCH(GemmDouble, isa)(tile, tile_rows);
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
