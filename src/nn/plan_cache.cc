// SPDX-License-Identifier: Apache-2.0
#include "nn/plan_cache.h"

#include <algorithm>

namespace upconv::nn {

namespace {

bool same(const kernels::ActivationSpec& a, const kernels::ActivationSpec& b) {
  return a.function == b.function && a.a == b.a && a.b == b.b && a.c == b.c;
}
bool same(const ExecutionOptions& a, const ExecutionOptions& b) {
  return a.threads == b.threads && a.math == b.math && a.algorithm == b.algorithm && a.isa == b.isa && a.executor == b.executor;
}

/// A variable as the layer computes with it, in the problem's dtype.
Tensor as_computed(const Tensor& variable, DType compute, DType dtype) {
  if (variable.dtype() == compute) return variable.cast(dtype);
  return variable.cast(compute).cast(dtype);
}

}  // namespace

PlannedCall PlanCache::get(const Shape& input, const ConvTransposeGeometry& geometry, DType dtype,
                           const kernels::ActivationSpec& activation, const Tensor& kernel, const Tensor* bias, DType compute,
                           const ExecutionOptions& given) {
  ExecutionOptions execution = given;                        // defaults are read now, so that a later change makes a new plan
  if (execution.threads == 0) execution.threads = default_threads();
  if (execution.isa.empty()) execution.isa = default_isa();
  if (!execution.executor) execution.executor = default_executor();

  const std::lock_guard lock(mutex_);
  PlannedCall call;
  auto plan = std::find_if(plans_.begin(), plans_.end(), [&](const Plan& p) {
    return p.input == input && p.dtype == dtype && same(p.activation, activation) && same(p.execution, execution);
  });
  if (plan == plans_.end()) {
    ops::Problem problem{ops::make_geometry(input, kernel.shape(), geometry), dtype, bias != nullptr, activation};
    auto made = ops::ForwardPlan::make(problem, execution);
    if (plans_.size() == kMostPlans) plans_.erase(plans_.begin());
    std::string key = made->packing_key() + std::string(name_of(dtype));
    plans_.push_back({input, dtype, activation, execution, std::move(made), std::move(key)});
    plan = plans_.end() - 1;
  }
  call.plan = plan->plan;
  const auto packed = std::find_if(packed_.begin(), packed_.end(), [&](const Packed& p) { return p.key == plan->packing_key; });
  if (packed != packed_.end()) {
    call.packed = packed->packed;
  } else {
    const bool direct = kernel.dtype() == compute && compute == dtype;
    call.packed = call.plan->pack(direct ? kernel.bytes() : as_computed(kernel, compute, dtype).bytes());
    packed_.push_back({plan->packing_key, call.packed});
  }
  if (!bias) return call;
  const auto cast = std::find_if(biases_.begin(), biases_.end(), [&](const Bias& b) { return b.dtype == dtype; });
  if (cast != biases_.end()) {
    call.bias = cast->bias;
  } else {
    call.bias = std::make_shared<const Tensor>(as_computed(*bias, compute, dtype));
    biases_.push_back({dtype, call.bias});
  }
  return call;
}

void PlanCache::drop_packed(const std::function<void()>& write) {
  const std::lock_guard lock(mutex_);
  write();
  packed_.clear();
  biases_.clear();
}

}  // namespace upconv::nn
