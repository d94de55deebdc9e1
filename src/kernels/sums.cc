// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sums.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/sums.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<double>;

HWY_INLINE hn::Vec<D> Load(const double* p) { return hn::LoadU(D(), p); }
HWY_INLINE hn::Vec<D> Load(const float* p) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(D(), static_cast<double>(*p));
#else
  return hn::PromoteTo(D(), hn::LoadU(hn::Rebind<float, D>(), p));
#endif
}

/// Four vectors of columns at a time, so that additions do not wait for each other.
template <class T>
void AddRows(const T* values, std::int64_t rows, std::int64_t columns, double* sums) {
  const D d;
  constexpr auto lanes = static_cast<std::int64_t>(hn::MaxLanes(D()));
  std::int64_t c = 0;
  for (; c + 4 * lanes <= columns; c += 4 * lanes) {
    auto s0 = hn::LoadU(d, sums + c), s1 = hn::LoadU(d, sums + c + lanes), s2 = hn::LoadU(d, sums + c + 2 * lanes),
         s3 = hn::LoadU(d, sums + c + 3 * lanes);
    const T* from = values + c;
    for (std::int64_t r = 0; r < rows; ++r, from += columns) {
      s0 = hn::Add(s0, Load(from));
      s1 = hn::Add(s1, Load(from + lanes));
      s2 = hn::Add(s2, Load(from + 2 * lanes));
      s3 = hn::Add(s3, Load(from + 3 * lanes));
    }
    hn::StoreU(s0, d, sums + c), hn::StoreU(s1, d, sums + c + lanes);
    hn::StoreU(s2, d, sums + c + 2 * lanes), hn::StoreU(s3, d, sums + c + 3 * lanes);
  }
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t i = c; i < columns; ++i) sums[i] += static_cast<double>(values[r * columns + i]);
}

void AddRowsFloat(const float* values, std::int64_t rows, std::int64_t columns, double* sums) { AddRows(values, rows, columns, sums); }
void AddRowsDouble(const double* values, std::int64_t rows, std::int64_t columns, double* sums) { AddRows(values, rows, columns, sums); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(AddRowsFloat);
HWY_EXPORT(AddRowsDouble);

void add_rows(const float* values, std::int64_t rows, std::int64_t columns, double* sums, int isa) noexcept {
  UPCONV_DISPATCH(AddRowsFloat, isa)(values, rows, columns, sums);
}
void add_rows(const double* values, std::int64_t rows, std::int64_t columns, double* sums, int isa) noexcept {
  UPCONV_DISPATCH(AddRowsDouble, isa)(values, rows, columns, sums);
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
