// SPDX-License-Identifier: Apache-2.0
// Calls the version of a multi-target function that a plan chose, instead of Highway's process-wide choice.
// Use after HWY_EXPORT(f): UPCONV_DISPATCH(f, isa)(arguments), with `isa` an index into isas().
#pragma once

#include <hwy/highway.h>

#include "kernels/isa.h"

namespace upconv::kernels {

/// Place of an instruction set in the tables of HWY_EXPORT, counted as Highway counts it for its own choice.
inline std::size_t dispatch_index(int isa) noexcept {
  const Target target = isas()[static_cast<std::size_t>(isa)].target;
  return hwy::Num0BitsBelowLS1Bit_Nonzero64(
      static_cast<std::uint64_t>(HWY_CHOSEN_TARGET_SHIFT(target) | HWY_CHOSEN_TARGET_MASK_SCALAR));
}

}  // namespace upconv::kernels

#define UPCONV_DISPATCH(FUNCTION, isa) (*(HWY_DISPATCH_TABLE(FUNCTION)[::upconv::kernels::dispatch_index(isa)]))
