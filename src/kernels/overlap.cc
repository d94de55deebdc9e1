// SPDX-License-Identifier: Apache-2.0
// Neighbouring pixels overlap in a row, so that an addition has to wait for the store before it; walking the chunks (other
// rows) inside a pixel hides most of that wait.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/overlap.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/overlap.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class T>
void OverlapAdd(const OverlapTask<T>& t) {
  const hn::ScalableTag<T> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t j = 0; j < t.pixels; ++j) {
    const T* HWY_RESTRICT from = t.from + j * t.width;
    for (std::int64_t c = 0; c < t.chunks; ++c, from += t.length) {
      if (!t.rows[c]) continue;
      T* HWY_RESTRICT to = t.rows[c] + j * t.step;
      std::int64_t i = 0;
      for (; i + lanes <= t.length; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, to + i), hn::LoadU(d, from + i)), d, to + i);
      if (i == t.length) continue;
      const auto rest = hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(t.length - i)), hn::LoadU(d, from + i));
      hn::StoreU(hn::Add(hn::LoadU(d, to + i), rest), d, to + i);
    }
  }
}

void OverlapAddFloat(const OverlapTask<float>& task) { OverlapAdd(task); }
void OverlapAddDouble(const OverlapTask<double>& task) { OverlapAdd(task); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(OverlapAddFloat);
HWY_EXPORT(OverlapAddDouble);

void overlap_add(const OverlapTask<float>& task, int isa) noexcept { UPCONV_DISPATCH(OverlapAddFloat, isa)(task); }
void overlap_add(const OverlapTask<double>& task, int isa) noexcept { UPCONV_DISPATCH(OverlapAddDouble, isa)(task); }

}  // namespace upconv::kernels
#endif  // HWY_ONCE
