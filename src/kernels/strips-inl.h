// SPDX-License-Identifier: Apache-2.0
// Transposition in squares: a block of 128 bits holds neighbouring channels of one pixel, as many pixels as it has
// elements are exchanged within their blocks. Both directions work so: pixels into strips, rows of pixels into pixels. Included once
// a target by strips.cc.
#if defined(UPCONV_KERNELS_STRIPS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UPCONV_KERNELS_STRIPS_INL_H_
#undef UPCONV_KERNELS_STRIPS_INL_H_
#else
#define UPCONV_KERNELS_STRIPS_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "base/checked.h"
#include "kernels/partial-inl.h"
#include "kernels/strips.h"
#include "kernels/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
constexpr std::int64_t kLanes = static_cast<std::int64_t>(hn::MaxLanes(hn::ScalableTag<T>()));
/// Elements of a block.
template <class T>
constexpr std::int64_t kBlock = std::min<std::int64_t>(kLanes<T>, 16 / sizeof(T));

#if HWY_TARGET != HWY_SCALAR
/// Block b of v goes to `to` + b * kBlock * step.
template <class D, class T = hn::TFromD<D>>
HWY_INLINE void StoreBlocks(D d, hn::Vec<D> v, T* to, std::int64_t step) {
  if constexpr (static_cast<std::int64_t>(hn::MaxLanes(D())) <= kBlock<T>) {
    hn::StoreU(v, d, to);
  } else {
    const hn::Half<D> half;
    StoreBlocks(half, hn::LowerHalf(half, v), to, step);
    StoreBlocks(half, hn::UpperHalf(half, v), to + static_cast<std::int64_t>(hn::MaxLanes(half)) * step, step);
  }
}

/// Within every block: v[i][j] becomes v[j][i].
template <class D, class V>
HWY_INLINE void ExchangeInBlocks(D d, V* v) {
  constexpr std::int64_t kSize = kBlock<hn::TFromD<D>>;
  if constexpr (kSize == 2) {
    const V a = v[0], b = v[1];
    v[0] = hn::InterleaveLower(d, a, b), v[1] = hn::InterleaveUpper(d, a, b);
  } else if constexpr (kSize == 4) {
    const hn::Repartition<std::uint64_t, D> wide;
    const auto low = [&](V a, V b) { return hn::BitCast(wide, hn::InterleaveLower(d, a, b)); };
    const auto high = [&](V a, V b) { return hn::BitCast(wide, hn::InterleaveUpper(d, a, b)); };
    const auto ab0 = low(v[0], v[1]), ab2 = high(v[0], v[1]), cd0 = low(v[2], v[3]), cd2 = high(v[2], v[3]);
    v[0] = hn::BitCast(d, hn::InterleaveLower(wide, ab0, cd0)), v[1] = hn::BitCast(d, hn::InterleaveUpper(wide, ab0, cd0));
    v[2] = hn::BitCast(d, hn::InterleaveLower(wide, ab2, cd2)), v[3] = hn::BitCast(d, hn::InterleaveUpper(wide, ab2, cd2));
  }
}

/// v[i] = row i becomes v[i] = column i: within blocks first, then whole blocks change places.
template <class D, class V>
HWY_INLINE void Transpose(D d, V* v) {
  using T = hn::TFromD<D>;
  constexpr int kSize = static_cast<int>(kBlock<T>), kBlocks = static_cast<int>(kLanes<T> / kBlock<T>);
  UPCONV_UNROLL
  for (int b = 0; b < kBlocks; ++b) ExchangeInBlocks(d, v + b * kSize);
  if constexpr (kBlocks == 2) {
    UPCONV_UNROLL
    for (int i = 0; i < kSize; ++i) {
      const V a = v[i], b = v[kSize + i];
      v[i] = hn::ConcatLowerLower(d, b, a), v[kSize + i] = hn::ConcatUpperUpper(d, b, a);
    }
  } else if constexpr (kBlocks == 4) {
    UPCONV_UNROLL
    for (int i = 0; i < kSize; ++i) {
      V* const at = v + i;
      const V a0 = hn::ConcatLowerLower(d, at[2 * kSize], at[0]), a2 = hn::ConcatUpperUpper(d, at[2 * kSize], at[0]);
      const V b0 = hn::ConcatLowerLower(d, at[3 * kSize], at[kSize]), b2 = hn::ConcatUpperUpper(d, at[3 * kSize], at[kSize]);
      at[0] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(b0), a0), at[kSize] = hn::OddEvenBlocks(b0, hn::SwapAdjacentBlocks(a0));
      at[2 * kSize] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(b2), a2), at[3 * kSize] = hn::OddEvenBlocks(b2, hn::SwapAdjacentBlocks(a2));
    }
  } else {
    static_assert(kBlocks == 1);
  }
}
#endif

/// to[c * stride + i] = channel c of pixel i; pixels() gives a function that gives one pixel after the other.
template <class T, class Next>
HWY_INLINE void LoadChannels(const Next& pixels, std::int64_t channels, T* HWY_RESTRICT to, std::int64_t stride) {
#if HWY_TARGET == HWY_SCALAR
  const T* const pixel = pixels()();
  for (std::int64_t c = 0; c < channels; ++c) to[c * stride] = pixel[c];
#else
  const hn::ScalableTag<T> d;
  hn::Vec<hn::ScalableTag<T>> v[kLanes<T>];
  if (channels < kLanes<T>) {
    auto next = pixels();
    UPCONV_UNROLL
    for (int i = 0; i < static_cast<int>(kLanes<T>); ++i) v[i] = LoadFirst(next(), static_cast<std::size_t>(channels));
    Transpose(d, v);
    UPCONV_UNROLL
    for (int c = 0; c < static_cast<int>(kLanes<T>); ++c)
      if (c < channels) hn::StoreU(v[c], d, to + c * stride);
    return;
  }
  for (std::int64_t c = 0; c < channels; c += kLanes<T>) {
    c = std::min(c, channels - kLanes<T>);
    auto next = pixels();
    UPCONV_UNROLL
    for (int i = 0; i < static_cast<int>(kLanes<T>); ++i) v[i] = hn::LoadU(d, next() + c);
    Transpose(d, v);
    UPCONV_UNROLL
    for (int i = 0; i < static_cast<int>(kLanes<T>); ++i) hn::StoreU(v[i], d, to + (c + i) * stride);
  }
#endif
}

template <class T>
HWY_NOINLINE void LoadPixels(const T* const* pixels, std::int64_t channels, T* to, std::int64_t stride) {
  LoadChannels([=] { return [at = pixels]() mutable { return *at++; }; }, channels, to, stride);
}

template <class T>
HWY_NOINLINE void LoadRow(const T* pixels, std::int64_t channels, std::int64_t strips, std::int64_t stride, std::int64_t ahead, T* to) {
  const std::int64_t bytes = ahead ? kLanes<T> * channels * static_cast<std::int64_t>(sizeof(T)) : 0;
  for (std::int64_t s = 0; s < strips; ++s, pixels += kLanes<T> * channels, to += stride) {
    const char* next = reinterpret_cast<const char*>(pixels + ahead);
    for (std::int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(next + i, 0, 2);
    LoadChannels([=] { return [=, at = pixels - channels]() mutable { return at += channels; }; }, channels, to, kLanes<T>);
  }
}

template <class T>
void SumRows(const RowSums<T>& t) {
  const hn::ScalableTag<T> d;
  const auto zero = hn::Zero(d);
  T* to = t.to;
  for (std::int64_t r = 0; r < t.phases; ++r) {
    const std::int64_t* const first = t.taps + (r ? t.ends[r - 1] : 0);
    const std::int64_t* const last = t.taps + t.ends[r];
    for (std::int64_t f = 0; f < t.filters; ++f, to += t.to_stride) {
      const auto bias = hn::Set(d, t.bias[f]);
      for (std::int64_t i = 0; i < t.count; i += kLanes<T>) {
        const T* const at = t.from + f * t.from_stride + i;
        auto sum = first == last ? zero : hn::LoadU(d, at + *first);
        for (const std::int64_t* tap = first + 1; tap < last; ++tap) sum = hn::Add(sum, hn::LoadU(d, at + *tap));
        sum = hn::Add(sum, bias);
        if (t.relu) sum = Relu(sum);
        hn::StoreU(sum, d, to + i);
      }
    }
  }
}

#if HWY_TARGET != HWY_SCALAR
/// A vector of pixels and kBlock rows at a time. The last rows come first: what they write beyond their pixel is
/// overwritten by the first rows of the next one.
template <class T>
void WeaveSquares(const Weave<T>& t, std::int64_t i) {
  const hn::ScalableTag<T> d;
  for (std::int64_t r = base::round_up(t.rows, kBlock<T>) - kBlock<T>; r >= 0; r -= kBlock<T>) {
    hn::Vec<hn::ScalableTag<T>> v[kBlock<T>];
  UPCONV_UNROLL
    for (std::int64_t j = 0; j < kBlock<T>; ++j) v[j] = hn::LoadU(d, t.from + std::min(r + j, t.rows - 1) * t.stride + i);
    ExchangeInBlocks(d, v);
  UPCONV_UNROLL
    for (std::int64_t j = 0; j < kBlock<T>; ++j) StoreBlocks(d, v[j], t.to + (i + j) * t.rows + r, t.rows);
  }
}

#endif

template <class T>
void WeaveRows(const Weave<T>& t) {
  if (t.rows == 1) {
    std::copy_n(t.from, t.count, t.to);
    return;
  }
  std::int64_t i = 0;
#if HWY_TARGET != HWY_SCALAR
  const hn::ScalableTag<T> d;
  const auto row = [&](std::int64_t r) { return hn::LoadU(d, t.from + r * t.stride + i); };
  if (t.rows == 2)
    for (; i + kLanes<T> <= t.count; i += kLanes<T>) hn::StoreInterleaved2(row(0), row(1), d, t.to + 2 * i);
  else if (t.rows == 3)
    for (; i + kLanes<T> <= t.count; i += kLanes<T>) hn::StoreInterleaved3(row(0), row(1), row(2), d, t.to + 3 * i);
  else if (t.rows == 4)
    for (; i + kLanes<T> <= t.count; i += kLanes<T>) hn::StoreInterleaved4(row(0), row(1), row(2), row(3), d, t.to + 4 * i);
  else   // what a square writes behind its last pixel must lie inside
    for (; i + kLanes<T> + 1 <= t.count; i += kLanes<T>) WeaveSquares(t, i);
#endif
  for (; i < t.count; ++i)
    for (std::int64_t r = 0; r < t.rows; ++r) t.to[i * t.rows + r] = t.from[r * t.stride + i];
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard by target
