// SPDX-License-Identifier: Apache-2.0
#include "ops/costs.h"

#include "kernels/isa.h"
#include "kernels/tiles.h"

namespace upconv::ops {

namespace {

// Each row fitted to the forward pass of random layers, every algorithm measured (`upconv bench --sweep`).
// 32 multiply-adds a cycle: 400 layers on Zen 5, 3000 on Sapphire Rapids.
constexpr Costs kWhole{
    .near = 5, .l3 = 15, .memory = 30, .far_weights = 16 << 20,
    .product = 0.86, .sum = 6, .input = 1.05, .output = 1.45, .call = 210,
    .transposing = 9, .transposing_far = 22,
    .gradient_value = 13, .gradient_kernel = 17, .gradient_sum = 6};
// AVX-512 in halves, so 16 a cycle: 2000 layers on Zen 4, where the plan came from 91 to 96 % of others within 5 % of the best.
constexpr Costs kHalves{
    .near = 4, .l3 = 5, .memory = 12, .far_weights = 4 << 20,
    .product = 0.78, .sum = 6, .input = 0.95, .output = 0.85, .call = 210,
    .transposing = 6.5, .transposing_far = 10.5,
    .gradient_value = 6, .gradient_kernel = 4, .gradient_sum = 8};
// AVX2 and less: 1000 layers on Zen 4 with AVX2.
constexpr Costs kNarrow = [] {
  Costs c = kWhole;
  c.l3 = 8, c.transposing = 4;
  return c;
}();

}  // namespace

const Costs& costs(int isa) noexcept { return kernels::tile_kernels<float>(isa).lanes < 16 ? kNarrow : kernels::splits_vectors() ? kHalves : kWhole; }

}  // namespace upconv::ops
