// SPDX-License-Identifier: Apache-2.0
// The ceiling that every figure is held against: as many independent fused multiply-adds as the registers allow.
#pragma once

#include <cstdint>

namespace upconv::kernels {

/// Runs `rounds` rounds of float32 multiply-adds on registers only; returns the floating-point operations done.
double multiply_adds(std::int64_t rounds, int isa) noexcept;

}  // namespace upconv::kernels
