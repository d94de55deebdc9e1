// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tiles_double.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

const TileKernels<double>& TilesDouble() { return Table<double>(); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(TilesDouble);

template <>
const TileKernels<double>& tile_kernels<double>(int isa) noexcept {
  return UPCONV_DISPATCH(TilesDouble, isa)();
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
