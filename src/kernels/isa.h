// SPDX-License-Identifier: Apache-2.0
// The instruction sets of this build and machine. A plan takes one from this table and calls the kernels of that target
// directly; Highway's process-wide choice is never used.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace upconv::kernels {

/// A Highway target bit (HWY_AVX2, ...).
using Target = std::int64_t;

struct Isa {
  std::string name;   ///< "AVX3_ZEN4", "AVX3", "AVX2", "SSE4", "SSSE3", "SCALAR" or "EMU128"
  Target target;
};

/// Compiled in and supported by this machine, best first; never empty (the scalar one is complete).
const std::vector<Isa>& isas();
/// Index into isas(); throws ArgumentError that lists the names.
int isa_index(std::string_view name);
/// The current default: upconv::set_default_isa, else UPCONV_ISA, else 0.
int default_isa_index();
/// Whether this processor takes vectors of 64 bytes in two halves (AMD family 25: Zen 4), so that they multiply no faster than those of 32.
bool splits_vectors();

}  // namespace upconv::kernels
