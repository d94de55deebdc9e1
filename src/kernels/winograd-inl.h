// SPDX-License-Identifier: Apache-2.0
// What the transforms of winograd.cc and winograd_gradients.cc share: a product with a constant matrix, unrolled so that
// zeros vanish and ones become additions, and the choice among pairs of schemes. Included once a target.
#if defined(UPCONV_KERNELS_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef UPCONV_KERNELS_WINOGRAD_INL_H_
#undef UPCONV_KERNELS_WINOGRAD_INL_H_
#else
#define UPCONV_KERNELS_WINOGRAD_INL_H_
#endif

#include <hwy/highway.h>

#include "kernels/winograd.h"
#include "kernels/winograd_matrices.h"

HWY_BEFORE_NAMESPACE();
namespace upconv::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;
using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;

#define UPCONV_UNROLL_WINOGRAD _Pragma("GCC unroll 8")

/// out[i] = sum of rows[i][k] * in[k * stride].
template <int kRows, int kColumns>
HWY_INLINE void Multiply(const float (&rows)[kRows][kColumns], const V* in, int in_stride, V* out, int out_stride) {
  const D d;
  UPCONV_UNROLL_WINOGRAD
  for (int i = 0; i < kRows; ++i) {
    V sum = hn::Zero(d);
    bool empty = true;
    UPCONV_UNROLL_WINOGRAD
    for (int k = 0; k < kColumns; ++k) {
      const float f = rows[i][k];
      if (f == 0) continue;
      const V v = in[k * in_stride];
      if (empty) sum = f == 1 ? v : f == -1 ? hn::Neg(v) : hn::Mul(hn::Set(d, f), v);
      else sum = f == 1 ? hn::Add(sum, v) : f == -1 ? hn::Sub(sum, v) : hn::MulAdd(hn::Set(d, f), v, sum);
      empty = false;
    }
    out[i * out_stride] = sum;
  }
}

template <template <class, class> class Call, class Task>
auto Choose(Winograd y, Winograd x, const Task& task) {
  switch (y == Winograd::f11 ? x : y) {
    case Winograd::f32: return y == x ? Call<F32, F32>::run(task) : y == Winograd::f11 ? Call<F11, F32>::run(task) : Call<F32, F11>::run(task);
    case Winograd::f23: return y == x ? Call<F23, F23>::run(task) : y == Winograd::f11 ? Call<F11, F23>::run(task) : Call<F23, F11>::run(task);
    case Winograd::f52: return y == x ? Call<F52, F52>::run(task) : y == Winograd::f11 ? Call<F11, F52>::run(task) : Call<F52, F11>::run(task);
    case Winograd::f43: return y == x ? Call<F43, F43>::run(task) : y == Winograd::f11 ? Call<F11, F43>::run(task) : Call<F43, F11>::run(task);
    default: return Call<F11, F11>::run(task);
  }
}

}  // namespace upconv::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // include guard by target
