// SPDX-License-Identifier: Apache-2.0
// Vectors cut by the end of a row, at any address. Highway's MaskedLoad and BlendedStore want memory that can be touched whole,
// but on AVX2 and better they are instructions that touch the lanes of their mask only.
// Included once a target.
#if defined(UPCONV_KERNELS_PARTIAL_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UPCONV_KERNELS_PARTIAL_INL_H_
#undef UPCONV_KERNELS_PARTIAL_INL_H_
#else
#define UPCONV_KERNELS_PARTIAL_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline constexpr bool kMasksMemory = HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL;

/// The first `count` lanes from p, zeros behind them.
template <class T>
HWY_INLINE hn::Vec<hn::ScalableTag<T>> LoadFirst(const T* p, std::size_t count) {
  const hn::ScalableTag<T> d;
  if (count >= hn::Lanes(d)) return hn::LoadU(d, p);
  if constexpr (kMasksMemory) return hn::MaskedLoad(hn::FirstN(d, count), d, p);
  HWY_ALIGN T lanes[hn::MaxLanes(hn::ScalableTag<T>())] = {};
  std::copy_n(p, count, lanes);
  return hn::Load(d, lanes);
}

/// p[i] = v[i], or p[i] += v[i] if `add`, for the first `count` lanes.
template <class T, class V>
HWY_INLINE void StoreFirst(V v, T* p, std::size_t count, bool add) {
  const hn::ScalableTag<T> d;
  if (count >= hn::Lanes(d))
    return hn::StoreU(add ? hn::Add(hn::LoadU(d, p), v) : v, d, p);
  if constexpr (kMasksMemory) {
    const auto mask = hn::FirstN(d, count);
    return hn::BlendedStore(add ? hn::Add(hn::MaskedLoad(mask, d, p), v) : v, mask, d, p);
  }
  HWY_ALIGN T lanes[hn::MaxLanes(hn::ScalableTag<T>())];
  hn::Store(v, d, lanes);
  for (std::size_t i = 0; i < count; ++i) p[i] = add ? p[i] + lanes[i] : lanes[i];
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard by target
