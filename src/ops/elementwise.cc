// SPDX-License-Identifier: Apache-2.0
#include "ops/elementwise.h"

#include <algorithm>

#include "base/checked.h"
#include "ops/parallel.h"
#include "ops/plan.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kBlock = 1024;     // of half-typed elements, widened on the stack
constexpr std::int64_t kPart = 1 << 16;   // of a thread

TensorView part(TensorView t, std::int64_t first, std::int64_t count) {
  return {static_cast<char*>(t.bytes) + first * static_cast<std::int64_t>(size_of(t.dtype)), {count}, t.dtype};
}
ConstTensorView part(ConstTensorView t, std::int64_t first, std::int64_t count) {
  return {static_cast<const char*>(t.bytes) + first * static_cast<std::int64_t>(size_of(t.dtype)), {count}, t.dtype};
}

/// Calls body(first, count) for parts of `count` elements, on the options' threads.
template <class Body>
void in_parts(std::int64_t count, const ExecutionOptions& options, const Body& body) {
  const Execution e = resolve(options);
  const std::int64_t parts = base::ceil_div(count, kPart);
  parallel_for(*e.executor, e.threads, parts, [&](std::int64_t i) { body(i * kPart, std::min(kPart, count - i * kPart), e.isa); });
}

template <class T>
void activate_part(const kernels::ActivationSpec& spec, ConstTensorView x, TensorView y, int isa) {
  kernels::activate(spec, x.data<T>(), y.data<T>(), x.elements(), isa);
}

void activate_half(const kernels::ActivationSpec& spec, ConstTensorView x, TensorView y, int isa) {
  float wide[kBlock];
  for (std::int64_t i = 0; i < x.elements(); i += kBlock) {
    const std::int64_t n = std::min(kBlock, x.elements() - i);
    convert(part(x, i, n), {wide, Shape{n}});
    kernels::activate(spec, wide, wide, n, isa);
    convert({wide, Shape{n}}, part(y, i, n));
  }
}

template <class T>
void gradient_part(const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy, TensorView dx, int isa) {
  kernels::activate_gradient(spec, x.data<T>(), dy.data<T>(), dx.data<T>(), x.elements(), isa);
}

void gradient_half(const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy, TensorView dx, int isa) {
  float wide[kBlock], wide_dy[kBlock];
  for (std::int64_t i = 0; i < x.elements(); i += kBlock) {
    const std::int64_t n = std::min(kBlock, x.elements() - i);
    convert(part(x, i, n), {wide, Shape{n}});
    convert(part(dy, i, n), {wide_dy, Shape{n}});
    kernels::activate_gradient(spec, wide, wide_dy, wide_dy, n, isa);
    convert({wide_dy, Shape{n}}, part(dx, i, n));
  }
}

}  // namespace

void activate(const kernels::ActivationSpec& spec, ConstTensorView x, TensorView y, const ExecutionOptions& options) {
  const auto run = x.dtype == DType::float32 ? activate_part<float> : x.dtype == DType::float64 ? activate_part<double> : activate_half;
  in_parts(x.elements(), options, [&](std::int64_t first, std::int64_t count, int isa) { run(spec, part(x, first, count), part(y, first, count), isa); });
}

void activate_gradient(const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy, TensorView dx, const ExecutionOptions& options) {
  const auto run = x.dtype == DType::float32 ? gradient_part<float> : x.dtype == DType::float64 ? gradient_part<double> : gradient_half;
  in_parts(x.elements(), options, [&](std::int64_t first, std::int64_t count, int isa) {
    run(spec, part(x, first, count), part(dy, first, count), part(dx, first, count), isa);
  });
}

}  // namespace upconv::ops
