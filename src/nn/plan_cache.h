// SPDX-License-Identifier: Apache-2.0
// A layer's plans, packed kernels and cast bias: made on first use, shared by threads, dropped when a weight changes.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "ops/conv_transpose.h"

namespace upconv::nn {

/// Everything a run needs; holds what it uses, so a change of the weights does not pull it away.
struct PlannedCall {
  std::shared_ptr<const ops::ForwardPlan> plan;
  std::shared_ptr<const ops::PackedKernel> packed;
  std::shared_ptr<const Tensor> bias;        // in the problem's dtype; null without one
};

class PlanCache {
 public:
  /// kernel and bias are the variables; they are rounded to `compute` first and then widened to `dtype`, the problem's.
  PlannedCall get(const Shape& input, const ConvTransposeGeometry& geometry, DType dtype, const kernels::ActivationSpec& activation,
                  const Tensor& kernel, const Tensor* bias, DType compute, const ExecutionOptions& execution);
  /// Runs `write`, which changes the variables, while no call packs them.
  void drop_packed(const std::function<void()>& write);

 private:
  struct Plan {
    Shape input;
    DType dtype;
    kernels::ActivationSpec activation;
    ExecutionOptions execution;
    std::shared_ptr<const ops::ForwardPlan> plan;
    std::string packing_key;
  };
  struct Packed {
    std::string key;
    std::shared_ptr<const ops::PackedKernel> packed;
  };
  struct Bias {
    DType dtype;
    std::shared_ptr<const Tensor> bias;
  };
  static constexpr std::size_t kMostPlans = 64;   // the oldest goes first

  std::mutex mutex_;
  std::vector<Plan> plans_;
  std::vector<Packed> packed_;
  std::vector<Bias> biases_;
};

}  // namespace upconv::nn
