// SPDX-License-Identifier: Apache-2.0
// The specification behind the interface of a plan: everything in float64, one thread. For kernels that no fast algorithm
// takes, and for whoever wants to see the difference.
#include <vector>

#include "ops/plan.h"
#include "ops/reference.h"
#include "ops/rows.h"

namespace upconv::ops {

namespace {

struct Doubles final : PackedKernel {
  std::vector<double> values;
  std::size_t bytes() const noexcept override { return values.size() * sizeof(double); }
};

class ReferencePlan final : public ForwardPlan {
 public:
  ReferencePlan(const Problem& problem, const Execution& execution, std::string reason)
      : p_(problem), isa_(execution.isa), reason_(std::move(reason)) {}

  const std::string& algorithm() const noexcept override { return algorithm_names()[kReference]; }
  const std::string& reason() const noexcept override { return reason_; }
  std::size_t workspace_bytes() const noexcept override { return sizeof(double) * elements(); }
  std::size_t unpacked_workspace_bytes() const noexcept override { return workspace_bytes(); }
  std::string packing_key() const override { return "float64"; }

  std::shared_ptr<const PackedKernel> pack(const void* kernel) const override {
    auto packed = std::make_shared<Doubles>();
    packed->values.resize(static_cast<std::size_t>(p_.geometry.kernel_elements()));
    widen(kernel, p_.geometry.kernel_elements(), packed->values.data());
    return packed;
  }

  void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept override {
    const Geometry& g = p_.geometry;
    double* wide_x = static_cast<double*>(workspace);
    double* wide_y = wide_x + g.input_elements();
    double* wide_bias = wide_y + g.output_elements();
    const Image in{p_.dtype, g.data_format, g.y.n, g.x.n, g.ci}, out{p_.dtype, g.data_format, g.y.o, g.x.o, g.co};
    for (std::int64_t i = 0; i < g.n * g.y.n; ++i) load_row(in, x, i / g.y.n, i % g.y.n, wide_x + i * g.x.n * g.ci);
    if (p_.has_bias) widen(bias, g.co, wide_bias);
    reference::forward(g, wide_x, static_cast<const Doubles&>(kernel).values.data(), p_.has_bias ? wide_bias : nullptr, wide_y);
    kernels::activate(p_.activation, wide_y, wide_y, g.output_elements(), isa_);
    for (std::int64_t i = 0; i < g.n * g.y.o; ++i) store_row(out, y, i / g.y.o, i % g.y.o, wide_y + i * g.x.o * g.co);
  }

  void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept override {
    run(x, *pack(kernel), bias, y, workspace);
  }

 private:
  std::size_t elements() const noexcept {
    return static_cast<std::size_t>(p_.geometry.input_elements() + p_.geometry.output_elements() + p_.geometry.co);
  }
  void widen(const void* from, std::int64_t count, double* to) const noexcept {
    load_row<double>({p_.dtype, DataFormat::channels_last, 1, 1, count}, from, 0, 0, to);
  }

  Problem p_;
  int isa_;
  std::string reason_;
};

}  // namespace

std::shared_ptr<const ForwardPlan> make_reference_plan(const Problem& problem, const Execution& execution, std::string reason) {
  return std::make_shared<ReferencePlan>(problem, execution, std::move(reason));
}

}  // namespace upconv::ops
