// SPDX-License-Identifier: Apache-2.0
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tiles_float.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/dispatch.h"
#include "kernels/tiles-inl.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

const TileKernels<float>& TilesFloat() { return Table<float>(); }

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace upconv::kernels {

HWY_EXPORT(TilesFloat);

template <>
const TileKernels<float>& tile_kernels<float>(int isa) noexcept {
  return UPCONV_DISPATCH(TilesFloat, isa)();
}

}  // namespace upconv::kernels
#endif  // HWY_ONCE
