// SPDX-License-Identifier: Apache-2.0
// One output axis as s interleaved phases. Cell o lies in phase p = (o + crop) % s of block q = (o + crop) / s, and tap j
// with j*d = p + shift*s reaches it from input i = q - shift. So every phase is a stride-1 correlation with its own taps.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/geometry.h"

namespace upconv::ops {

/// Consecutive phases whose taps have the same shifts; they are computed together, as columns of one GEMM.
struct PhaseGroup {
  std::int64_t first_phase = 0, phases = 1;
  std::vector<std::int64_t> shifts;               // ascending; empty: a hole, which no tap reaches
  std::int64_t first_block = 0, last_block = 0;   // blocks [first, last) with at least one of the phases inside the output

  /// The tap of phase first_phase + p with the t-th shift.
  std::int64_t tap(const Axis& axis, std::int64_t p, std::size_t t) const noexcept {
    return (first_phase + p + shifts[t] * axis.s) / axis.d;
  }
};

/// The phases of an axis, merged where they are neighbours with equal shifts if `merge`. Taps that reach only cropped
/// cells or only padding are left out; phases outside the output too.
std::vector<PhaseGroup> phase_groups(const Axis& axis, bool merge);

/// Multiply-adds of one input and one output channel that the phases do, without borders: the work that cannot be saved.
std::int64_t live_products(const Axis& axis) noexcept;
/// Taps that meet an input: the weights that have to be read.
std::int64_t live_taps(const Axis& axis) noexcept;

}  // namespace upconv::ops
