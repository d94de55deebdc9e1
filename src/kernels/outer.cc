// SPDX-License-Identifier: Apache-2.0
// Like the tiles of tiles-inl.h: every (rows, vectors) pair a function of its own, K unrolled once, vectors of b pinned.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/outer.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/outer.h"
#include "kernels/partial-inl.h"
#include "kernels/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

template <class T, int kRows, int kVectors, bool kFetches>
HWY_NOINLINE void RunOuter(const OuterTask<T>& t) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<hn::ScalableTag<T>>;
  constexpr std::size_t kLanes = hn::MaxLanes(hn::ScalableTag<T>());
  V sum[kRows][kVectors];
  UPCONV_UNROLL
  for (int m = 0; m < kRows; ++m) {
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::Zero(d);
  }
  // The memory of the sums comes while they are made.
  UPCONV_UNROLL
  for (int m = 0; m < kRows; ++m)
    for (std::size_t n = 0; n < kVectors * kLanes; n += std::max(kLanes, 64 / sizeof(T))) __builtin_prefetch(t.c + m * t.ld + n, 1);
  const T* HWY_RESTRICT a = t.a;
  const T* HWY_RESTRICT b = t.b;
  const std::int64_t count = t.count, step = t.a_step;
  for (std::int64_t k = 0; k < count; ++k, a += step, b += kVectors * kLanes) {
    if constexpr (kFetches) __builtin_prefetch(t.fetch[k] + t.fetch_offset, 0, 2);
    PrefetchPanel<T, kVectors>(b);
    __builtin_prefetch(a + 8 * step);
    V column[kVectors];
    UPCONV_UNROLL
    for (int v = 0; v < kVectors; ++v) {
      column[v] = hn::Load(d, b + static_cast<std::size_t>(v) * kLanes);
      Pin(column[v]);
    }
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) {
      const V row = hn::Set(d, a[m]);
      UPCONV_UNROLL
      for (int v = 0; v < kVectors; ++v) sum[m][v] = hn::MulAdd(row, column[v], sum[m][v]);
    }
  }
  const auto columns = static_cast<std::size_t>(t.columns);
  UPCONV_UNROLL
  for (int v = 0; v < kVectors; ++v) {
    const std::size_t begin = static_cast<std::size_t>(v) * kLanes;
    if (begin >= columns) continue;
    UPCONV_UNROLL
    for (int m = 0; m < kRows; ++m) StoreFirst(sum[m][v], t.c + m * t.ld + begin, columns - begin, t.add);
  }
}

template <class T, int kRows, int kVectors>
void ChooseOuter(const OuterTask<T>& t) {
  if (t.fetch) RunOuter<T, kRows, kVectors, true>(t);
  else RunOuter<T, kRows, kVectors, false>(t);
}

template <class T>
void Gather(const T* const* from, std::int64_t offset, std::int64_t count, std::int64_t width, T* to, std::int64_t step) {
  const hn::ScalableTag<T> d;
  constexpr auto kLanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  const std::int64_t whole = width / kLanes * kLanes;
  for (std::int64_t k = 0; k < count; ++k, to += step) {
    const T* row = from[k] + offset;
    for (std::int64_t m = 0; m < whole; m += kLanes) hn::StoreU(hn::LoadU(d, row + m), d, to + m);
    if (whole < width) StoreFirst(LoadFirst(row + whole, static_cast<std::size_t>(width - whole)), to + whole, static_cast<std::size_t>(width - whole), false);
  }
}

template <class T, int kVectors, int kRows>
void RegisterOuter(OuterKernels<T>& kernels) {
  if constexpr (kRows > 0) {
    kernels.run[kVectors][kRows] = &ChooseOuter<T, kRows, kVectors>;
    RegisterOuter<T, kVectors, kRows - 1>(kernels);
  }
}

template <class T>
const OuterKernels<T>& OuterTable() {
  static const OuterKernels<T> kernels = [] {
    OuterKernels<T> all{};
    RegisterOuter<T, 1, kMostRows[1]>(all);
    RegisterOuter<T, 2, kMostRows[2]>(all);
    RegisterOuter<T, 3, kMostRows[3]>(all);
    RegisterOuter<T, 4, kMostRows[4]>(all);
    all.gather = &Gather<T>;
    return all;
  }();
  return kernels;
}

const OuterKernels<float>& OuterFloat() { return OuterTable<float>(); }
const OuterKernels<double>& OuterDouble() { return OuterTable<double>(); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(OuterFloat);
HWY_EXPORT(OuterDouble);

template <>
const OuterKernels<float>& outer_kernels<float>(int isa) noexcept {
  return UPCONV_DISPATCH(OuterFloat, isa)();
}
template <>
const OuterKernels<double>& outer_kernels<double>(int isa) noexcept {
  return UPCONV_DISPATCH(OuterDouble, isa)();
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
