// SPDX-License-Identifier: Apache-2.0
// Twelve accumulators hide the latency of two fused multiply-adds a cycle (4 or 5 cycles each) and fit sixteen registers.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/peak.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/peak.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

double MultiplyAdds(std::int64_t rounds) {
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999f), b = hn::Set(d, 1e-6f);
  // Equal accumulators would be computed once: they start from different numbers.
  const auto start = [&](int i) { return hn::Set(d, 1.0f + static_cast<float>(i + (rounds & 1)) * 0.125f); };
  auto c0 = start(0), c1 = start(1), c2 = start(2), c3 = start(3), c4 = start(4), c5 = start(5);
  auto c6 = start(6), c7 = start(7), c8 = start(8), c9 = start(9), c10 = start(10), c11 = start(11);
  for (std::int64_t i = 0; i < rounds; ++i) {
    c0 = hn::MulAdd(c0, a, b), c1 = hn::MulAdd(c1, a, b), c2 = hn::MulAdd(c2, a, b), c3 = hn::MulAdd(c3, a, b);
    c4 = hn::MulAdd(c4, a, b), c5 = hn::MulAdd(c5, a, b), c6 = hn::MulAdd(c6, a, b), c7 = hn::MulAdd(c7, a, b);
    c8 = hn::MulAdd(c8, a, b), c9 = hn::MulAdd(c9, a, b), c10 = hn::MulAdd(c10, a, b), c11 = hn::MulAdd(c11, a, b);
  }
  const auto s = hn::Add(hn::Add(hn::Add(c0, c1), hn::Add(c2, c3)), hn::Add(hn::Add(c4, c5), hn::Add(c6, c7)));
  const float sum = hn::GetLane(hn::Add(s, hn::Add(hn::Add(c8, c9), hn::Add(c10, c11))));
  // A sum that cannot be: the loop has to run to know it.
  if (sum == 1e30f) return 0;
  return static_cast<double>(rounds) * 12 * 2 * static_cast<double>(hn::Lanes(d));
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(MultiplyAdds);

double multiply_adds(std::int64_t rounds, int isa) noexcept { return UPCONV_DISPATCH(MultiplyAdds, isa)(rounds); }

}  // namespace upconv::kernels
#endif
