// SPDX-License-Identifier: Apache-2.0
// The register tiles of strips.h, on the terms of tiles-inl.h: each (columns, strips) pair its own function, K unrolled
// once. Whichever of the two is fewer stays in registers within a step, the other comes from memory: 24 or more
// accumulators, weights broadcast, on 32 registers, and 12 on 16.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/strips.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "base/checked.h"
#include "kernels/dispatch.h"
#include "kernels/strips-inl.h"
#include "kernels/strips.h"
#include "kernels/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

/// sum[n][s] += strip s * weight n at one position.
template <int kColumns, int kStrips, class T, class V>
HWY_INLINE void AddProducts(const T* const* strip, std::int64_t k, const T* HWY_RESTRICT weights, V (&sum)[kColumns][kStrips]) {
  const hn::ScalableTag<T> d;
  if constexpr (kColumns < kStrips) {
    V w[kColumns];
    UPCONV_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      w[n] = hn::Set(d, weights[n]);
      Pin(w[n]);
    }
    UPCONV_UNROLL
    for (int s = 0; s < kStrips; ++s) {
      V pixels = hn::LoadU(d, strip[s] + k);
      if constexpr (kColumns > 1) Pin(pixels);
      UPCONV_UNROLL
      for (int n = 0; n < kColumns; ++n) sum[n][s] = hn::MulAdd(w[n], pixels, sum[n][s]);
    }
  } else {
    V pixels[kStrips];
    UPCONV_UNROLL
    for (int s = 0; s < kStrips; ++s) {
      pixels[s] = hn::LoadU(d, strip[s] + k);
      Pin(pixels[s]);
    }
    UPCONV_UNROLL
    for (int n = 0; n < kColumns; ++n) {
      V w = hn::Set(d, weights[n]);
      if constexpr (kStrips > 1) Pin(w);
      UPCONV_UNROLL
      for (int s = 0; s < kStrips; ++s) sum[n][s] = hn::MulAdd(w, pixels[s], sum[n][s]);
    }
  }
}

template <class T, int kColumns, int kStrips>
HWY_NOINLINE void RunStrips(const StripTask<T>& t) {
  const hn::ScalableTag<T> d;
  using V = hn::Vec<hn::ScalableTag<T>>;
  constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
  HWY_ALIGN T memory[static_cast<std::size_t>(kColumns * kStrips * kLanes)];
  T* const partial = InMemory(memory);
  V sum[kColumns][kStrips];
  UPCONV_UNROLL
  for (int n = 0; n < kColumns; ++n) {
    UPCONV_UNROLL
    for (int s = 0; s < kStrips; ++s) sum[n][s] = hn::Zero(d);
  }
  bool first = true;
  const char* fetch = static_cast<const char*>(t.fetch ? t.fetch : t.panel);
  const std::int64_t line = t.fetch ? 64 : 0;
  const TileStep* const end = t.steps + t.step_count;
  for (const TileStep* step = t.steps; step != end; ++step) {
    const T* strip[kStrips];
    UPCONV_UNROLL
    for (int s = 0; s < kStrips; ++s) strip[s] = t.strips[step->tap] + (t.first_strip + s) * t.strip_stride + step->first * kLanes;
    const T* HWY_RESTRICT weights = t.panel + step->position * kColumns;
    const std::int64_t length = step->length * kLanes;
    for (std::int64_t k = 0; k < length; k += kLanes, weights += kColumns, fetch += line) {
      __builtin_prefetch(fetch, 0, 2);
      AddProducts(strip, k, weights, sum);
    }
    if (step->closes && step + 1 != end) {
      CloseChain<T, kColumns, kStrips>(sum, partial, first);
      first = false;
    }
  }
  UPCONV_UNROLL
  for (int n = 0; n < kColumns; ++n) {
    UPCONV_UNROLL
    for (int s = 0; s < kStrips; ++s) {
      const V last = first ? sum[n][s] : hn::Add(hn::Load(d, partial + (n * kStrips + s) * kLanes), sum[n][s]);
      hn::StoreU(last, d, t.c + n * t.c_stride + s * kLanes);
    }
  }
}

#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
constexpr int kMostStrips[strip_max_columns + 1] = {0, 8, 8, 8, 6, 5, 4, 0, 0, 3, 0, 0, 2};
#else
constexpr int kMostStrips[strip_max_columns + 1] = {0, 8, 6, 4, 3, 0, 2, 0, 0, 0, 0, 0, 0};
#endif

template <class T, int kColumns, int kStrips>
void RegisterStrips(StripKernels<T>& kernels) {
  if constexpr (kStrips > 0) {
    kernels.run[kColumns][kStrips] = &RunStrips<T, kColumns, kStrips>;
    RegisterStrips<T, kColumns, kStrips - 1>(kernels);
  } else if constexpr (kColumns < strip_max_columns) {
    RegisterStrips<T, kColumns + 1, kMostStrips[kColumns + 1]>(kernels);
  }
}

template <class T>
const StripKernels<T>& StripTable() {
  static const StripKernels<T> table = [] {
    StripKernels<T> kernels{};
    kernels.lanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
    std::copy_n(kMostStrips, strip_max_columns + 1, kernels.strips);
    RegisterStrips<T, 1, kMostStrips[1]>(kernels);
    kernels.load_pixels = &LoadPixels<T>, kernels.load_row = &LoadRow<T>, kernels.sum = &SumRows<T>, kernels.weave = &WeaveRows<T>;
    return kernels;
  }();
  return table;
}

const StripKernels<float>& StripsFloat() { return StripTable<float>(); }
const StripKernels<double>& StripsDouble() { return StripTable<double>(); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(StripsFloat);
HWY_EXPORT(StripsDouble);

template <>
const StripKernels<float>& strip_kernels<float>(int isa) noexcept {
  return UPCONV_DISPATCH(StripsFloat, isa)();
}
template <>
const StripKernels<double>& strip_kernels<double>(int isa) noexcept {
  return UPCONV_DISPATCH(StripsDouble, isa)();
}

template <class T>
StripPanels strip_panels(const StripKernels<T>& kernels, std::int64_t columns, std::int64_t strips) {
  // A step of a tile is bound by its multiply-adds, its loads, or the wait for the accumulators (4 deep on 2 units); strips
  // come from L2 (half a multiply-add a cache line).
  const double reading = static_cast<double>(kernels.lanes) * static_cast<double>(sizeof(T)) / 128;
  const auto column_cost = [&](int n) {
    const std::int64_t tiles = base::ceil_div(std::max<std::int64_t>(strips, 1), std::int64_t{kernels.strips[n]});
    const double across = static_cast<double>(strips) / static_cast<double>(tiles);
    return std::max({n * across, n + across, 8.0}) / across + reading;
  };
  std::vector<double> cost(static_cast<std::size_t>(columns) + 1, 0.0);
  std::vector<int> choice(static_cast<std::size_t>(columns) + 1, 0);
  for (std::size_t i = 1; i <= static_cast<std::size_t>(columns); ++i)
    for (int n = 1; n <= strip_max_columns && static_cast<std::size_t>(n) <= i; ++n) {
      if (kernels.strips[n] == 0) continue;
      const double with = cost[i - static_cast<std::size_t>(n)] + column_cost(n);
      if (choice[i] == 0 || with < cost[i]) cost[i] = with, choice[i] = n;
    }
  StripPanels panels{.columns = {}, .cost = cost.back()};
  for (std::size_t i = static_cast<std::size_t>(columns); i > 0; i -= static_cast<std::size_t>(panels.columns.back()))
    panels.columns.push_back(choice[i]);
  std::sort(panels.columns.rbegin(), panels.columns.rend());
  return panels;
}

template StripPanels strip_panels(const StripKernels<float>&, std::int64_t, std::int64_t);
template StripPanels strip_panels(const StripKernels<double>&, std::int64_t, std::int64_t);

}  // namespace upconv::kernels
#endif  // HWY_ONCE
