// SPDX-License-Identifier: Apache-2.0
// One forward call through a plan, arrays fenced, and what the specification says of it.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "ops/conv_transpose.h"
#include "ops/reference.h"
#include "support/fenced.h"
#include "support/grid.h"

namespace upconv::test {

/// The whole call in double by the specification, in the problem's data format, with relu where asked.
inline std::vector<double> expected(const ops::Geometry& g, const std::vector<double>& x, const std::vector<double>& kernel,
                             const std::vector<double>& bias, bool relu) {
  const bool first = g.data_format == DataFormat::channels_first;
  const std::vector<double> last_x = first ? transposed(x, g.n, g.ci, g.y.n * g.x.n) : x;
  std::vector<double> y(static_cast<std::size_t>(g.output_elements()));
  ops::reference::forward(g, last_x.data(), kernel.data(), bias.empty() ? nullptr : bias.data(), y.data());
  for (double& v : y)
    if (relu && v < 0) v = 0;
  return first ? transposed(y, g.n, g.y.o * g.x.o, g.co) : y;
}

template <class T>
std::vector<T> run(const ops::Problem& problem, const ExecutionOptions& options, const std::vector<T>& x,
                   const std::vector<T>& kernel, const std::vector<T>& bias, bool unpacked = false) {
  const auto plan = ops::ForwardPlan::make(problem, options, unpacked);
  Fenced<T> fenced_x(x), fenced_kernel(kernel), fenced_bias(bias), y(static_cast<std::size_t>(problem.geometry.output_elements()));
  std::memset(static_cast<void*>(y.data()), 0xff, y.size() * sizeof(T));
  const std::size_t bytes = unpacked ? plan->unpacked_workspace_bytes() : plan->workspace_bytes();
  Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(bytes) / 4 + 16});
  const T* const b = problem.has_bias ? fenced_bias.data() : nullptr;
  if (unpacked) plan->run_unpacked(fenced_x.data(), fenced_kernel.data(), b, y.data(), workspace.bytes());
  else plan->run(fenced_x.data(), *plan->pack(fenced_kernel.data()), b, y.data(), workspace.bytes());
  EXPECT_TRUE(y.untouched_before()) << describe(problem.geometry);
  return y.values();
}

}  // namespace upconv::test
