// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include <algorithm>

#include "kernels/isa.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlock = 1024;    // of half-typed elements, widened on the stack

TensorView part(TensorView t, std::int64_t first, std::int64_t count) {
  return {static_cast<char*>(t.bytes) + first * static_cast<std::int64_t>(size_of(t.dtype)), {count}, t.dtype};
}
ConstTensorView part(ConstTensorView t, std::int64_t first, std::int64_t count) {
  return {static_cast<const char*>(t.bytes) + first * static_cast<std::int64_t>(size_of(t.dtype)), {count}, t.dtype};
}

}  // namespace

void activate(const kernels::ActivationSpec& spec, ConstTensorView x, TensorView y) {
  const int isa = kernels::default_isa_index();
  const std::int64_t count = x.elements();
  if (x.dtype == DType::float32) return kernels::activate(spec, x.data<float>(), y.data<float>(), count, isa);
  if (x.dtype == DType::float64) return kernels::activate(spec, x.data<double>(), y.data<double>(), count, isa);
  float wide[kBlock];
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const std::int64_t n = std::min(kBlock, count - i);
    convert(part(x, i, n), {wide, Shape{n}});
    kernels::activate(spec, wide, wide, n, isa);
    convert({wide, Shape{n}}, part(y, i, n));
  }
}

void activate_gradient(const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy, TensorView dx) {
  const int isa = kernels::default_isa_index();
  const std::int64_t count = x.elements();
  if (x.dtype == DType::float32)
    return kernels::activate_gradient(spec, x.data<float>(), dy.data<float>(), dx.data<float>(), count, isa);
  if (x.dtype == DType::float64)
    return kernels::activate_gradient(spec, x.data<double>(), dy.data<double>(), dx.data<double>(), count, isa);
  float wide[kBlock], wide_dy[kBlock];
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const std::int64_t n = std::min(kBlock, count - i);
    convert(part(x, i, n), {wide, Shape{n}});
    convert(part(dy, i, n), {wide_dy, Shape{n}});
    kernels::activate_gradient(spec, wide, wide_dy, wide_dy, n, isa);
    convert({wide_dy, Shape{n}}, part(dx, i, n));
  }
}

}  // namespace upconv::ops
