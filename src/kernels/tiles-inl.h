// SPDX-License-Identifier: Apache-2.0
// The register tiles of tiles.h for one element type; included once a target by tiles_float.cc and tiles_double.cc.
//
// Every (rows, vectors) pair is its own function, never inlined into another, with K unrolled once: GCC then keeps all
// accumulators in registers (with 16 registers 6x2 and 4x3, with 32 also 8x3 and 6x4). Deeper unrolling or several
// variants in one function spill. The loop is bound by the multiply-add units as long as there are at least 8 accumulators.
#if defined(UPCONV_KERNELS_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UPCONV_KERNELS_TILES_INL_H_
#undef UPCONV_KERNELS_TILES_INL_H_
#else
#define UPCONV_KERNELS_TILES_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/relu-inl.h"
#include "kernels/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

#define UPCONV_UNROLL _Pragma("GCC unroll 16")

/// Keeps a loaded vector in its register: GCC otherwise loads it again for each multiply-add, which costs a load a product
/// and up to a half of the speed.
template <class V>
HWY_INLINE void Pin(V& v) {
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  asm("" : "+v"(v.raw));
#else
  (void)v;
#endif
}

/// Brings what a panel holds eight products ahead from L2 into L1, later than which the hardware is: tiles of 6x4 with panels of 1 MB
/// 0.80 -> 0.97 of the peak, 8x3 0.93 -> 0.96 (Sapphire Rapids; 4 and 16 products ahead are no better).
template <class T, int kVectors>
HWY_INLINE void PrefetchPanel(const T* b) {
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>()), kWidth = kLanes * kVectors, kLine = 64 / sizeof(T);
  UPCONV_UNROLL
  for (std::size_t i = 0; i < kWidth; i += std::max(kLine, kLanes)) __builtin_prefetch(b + 8 * kWidth + i);
}

/// Memory that stays memory: GCC otherwise keeps the partial sums of small tiles in registers, and the loop's vectors on the stack.
template <class T>
HWY_INLINE T* InMemory(T* p) {
#if HWY_COMPILER_GCC || HWY_COMPILER_CLANG
  asm("" : "+r"(p) : : "memory");
#endif
  return p;
}

/// sum += what waits in `carry`, or in `partial`, or the first chain: it waits there; then the accumulators start again at zero.
template <class T, int kRows, int kVectors, class V>
HWY_INLINE void CloseChain(V (&sum)[kRows][kVectors], T* partial, bool first, T* const* carry = nullptr) {
  const hn::ScalableTag<T> d;
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  UPCONV_UNROLL
  for (int m = 0; m < kRows; ++m) {
    T* const row = carry ? carry[m] : partial + static_cast<std::size_t>(m * kVectors) * kLanes;
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      T* HWY_RESTRICT at = row + static_cast<std::size_t>(v) * kLanes;
      hn::Store(first ? sum[m][v] : hn::Add(hn::Load(d, at), sum[m][v]), d, at);
      sum[m][v] = hn::Zero(d);
    }
  }
}

template <class T, int kRows, int kVectors, class V>
HWY_INLINE void StoreTile(const TileTask<T>& t, V (&sum)[kRows][kVectors]) {
  const hn::ScalableTag<T> d;
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  if (t.bias) {
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      const V bias = hn::LoadU(d, t.bias + static_cast<std::size_t>(v) * kLanes);
      UPCONV_UNROLL
      for (int m = 0; m < kRows; ++m) sum[m][v] = hn::Add(sum[m][v], bias);
    }
  }
  if (t.relu) {
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) {
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v)
        sum[m][v] = Relu(sum[m][v]);
    }
  }
  const auto columns = static_cast<std::size_t>(t.columns);
  if (columns == kVectors * kLanes) {
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) {
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v)
        hn::StoreU(sum[m][v], d, t.c[m] + t.c_offset + static_cast<std::size_t>(v) * kLanes);
    }
    return;
  }
  UPCONV_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t begin = static_cast<std::size_t>(v) * kLanes;
    if (begin >= columns) continue;
    const auto mask = hn::FirstN(d, columns - begin);
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) hn::BlendedStore(sum[m][v], mask, d, t.c[m] + t.c_offset + begin);
  }
}

/// kFetches: the task brings in memory for later; the others spare the instructions, 2-3 % of their time.
template <class T, int kRows, int kVectors, bool kFetches>
HWY_NOINLINE void RunTile(const TileTask<T>& t) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<hn::ScalableTag<T>>;
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  constexpr std::size_t kWidth = kLanes * kVectors;
  HWY_ALIGN T memory[static_cast<std::size_t>(kRows) * kWidth];
  T* const partial = InMemory(memory);
  V sum[kRows][kVectors];
  UPCONV_UNROLL
  for (int m = 0; m < kRows; ++m) {
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::Zero(d);
  }
  bool first = !t.resumes;
  const char* fetch = static_cast<const char*>(t.fetch ? t.fetch : t.panel);
  const std::int64_t line = t.fetch ? 64 : 0;
  const TileStep* const end = t.steps + t.step_count;
  for (const TileStep* step = t.steps; step != end; ++step) {
    const T* row[kRows];
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) row[m] = t.rows[step->tap * t.tap_stride + m] + step->first;
    const T* ahead = kFetches && t.more ? t.rows[step->tap * t.tap_stride + kRows] + step->first : row[0];
    const T* HWY_RESTRICT b = t.panel + static_cast<std::size_t>(step->position) * kWidth;
    const std::int64_t length = step->length;
    for (std::int64_t k = 0; k < length; ++k) {
      if constexpr (kFetches) {
        __builtin_prefetch(fetch, 0, 2);
        fetch += line;
        __builtin_prefetch(ahead);
        ahead += kRows;
      }
      PrefetchPanel<T, kVectors>(b);
      V column[kVectors];
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v) {
        column[v] = hn::Load(d, b + static_cast<std::size_t>(v) * kLanes);
        Pin(column[v]);
      }
      UPCONV_UNROLL
      for (int m = 0; m < kRows; ++m) {
        const V a = hn::Set(d, row[m][k]);
        UPCONV_UNROLL
        for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(a, column[v], sum[m][v]);
      }
      b += kWidth;
    }
    if (step->closes && (t.pauses || step + 1 != end)) {
      CloseChain<T, kRows, kVectors>(sum, partial, first, t.carry);
      first = false;
    }
  }
  if (t.pauses) return;
  if (!first) {
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const T* const row = t.carry ? t.carry[m] : partial + static_cast<std::size_t>(m) * kWidth;
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::Add(hn::Load(d, row + static_cast<std::size_t>(v) * kLanes), sum[m][v]);
    }
  }
  StoreTile<T, kRows, kVectors>(t, sum);
}

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
constexpr int kMostRows[tile_max_vectors + 1] = {0, 8, 8, 8, 6};
constexpr int kMostVectors = 4;
#else
constexpr int kMostRows[tile_max_vectors + 1] = {0, 8, 6, 4, 0};
constexpr int kMostVectors = 3;
#endif

template <class T, int kRows, int kVectors>
void ChooseTile(const TileTask<T>& t) {
  if (t.fetch || t.more) RunTile<T, kRows, kVectors, true>(t);
  else RunTile<T, kRows, kVectors, false>(t);
}

template <class T, int kVectors, int kRows>
void Register(TileKernels<T>& kernels) {
  if constexpr (kRows > 0) {
    kernels.run[kVectors][kRows] = &ChooseTile<T, kRows, kVectors>;
    Register<T, kVectors, kRows - 1>(kernels);
  }
}

template <class T>
TileKernels<T> Kernels() {
  TileKernels<T> kernels{};
  kernels.lanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  kernels.vectors = kMostVectors;
  for (int v = 1; v <= kMostVectors; ++v) kernels.rows[v] = kMostRows[v];
  Register<T, 1, kMostRows[1]>(kernels);
  Register<T, 2, kMostRows[2]>(kernels);
  Register<T, 3, kMostRows[3]>(kernels);
  Register<T, 4, kMostRows[4]>(kernels);
  return kernels;
}

template <class T>
const TileKernels<T>& Table() {
  static const TileKernels<T> kernels = Kernels<T>();
  return kernels;
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard by target
