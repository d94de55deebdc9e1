// SPDX-License-Identifier: Apache-2.0
// The one relu of every kernel. Included once a target.
#if defined(UPCONV_KERNELS_RELU_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UPCONV_KERNELS_RELU_INL_H_
#undef UPCONV_KERNELS_RELU_INL_H_
#else
#define UPCONV_KERNELS_RELU_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

/// max(x, 0): NaN stays, -0 becomes 0.
template <class V>
HWY_INLINE V Relu(V x) {
  return hwy::HWY_NAMESPACE::IfThenZeroElse(hwy::HWY_NAMESPACE::Le(x, hwy::HWY_NAMESPACE::Zero(hwy::HWY_NAMESPACE::DFromV<V>())), x);
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard by target
