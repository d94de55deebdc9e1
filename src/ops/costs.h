// SPDX-License-Identifier: Apache-2.0
// What the steps of the algorithms cost beside multiply-adds, on the kinds of processors that were measured. By these numbers a plan
// chooses its algorithm, so they depend on nothing but the instruction set and the processor.
#pragma once

namespace upconv::ops {

/// In multiply-adds at full speed.
struct Costs {
  double near, l3, memory;             ///< reading a packed weight: of 1 MB at most, of 64 MB at most, of more
  /// Winograd: a product; a sum (in products); a value that a transform reads or writes at a point, and the transform of a tile's outputs
  /// of one phase, times the lanes, since transforms wait for loads and stores, not for arithmetic.
  double product, sum, input, output, call;
  /// scatter_gemm: transposing a channel of a pixel that lies in L2 or beyond it.
  double transposing, transposing_far;
};
const Costs& costs(int isa) noexcept;

/// Reading packed weights where few pixels share them.
inline double reading_work(double weights, int isa) noexcept {
  const Costs& c = costs(isa);
  return (weights <= (256 << 10) ? c.near : weights <= (16 << 20) ? c.l3 : c.memory) * weights;
}

}  // namespace upconv::ops
