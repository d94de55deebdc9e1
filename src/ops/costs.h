// SPDX-License-Identifier: Apache-2.0
// What the steps of the algorithms cost beside multiply-adds, on the kinds of processors that were measured. By these numbers a plan
// chooses its algorithm, so they depend on nothing but the instruction set and the processor.
#pragma once

namespace upconv::ops {

/// In multiply-adds at full speed.
struct Costs {
  double near, l3, memory;             ///< reading a packed weight: of 1 MB at most, of `far_weights` at most, of more
  double far_weights;                  ///< as many as are still read from L3
  /// Winograd: a product; a sum (in products); a value that a transform reads or writes at a point, and the transform of a tile's outputs
  /// of one phase, times the lanes, since transforms wait for loads and stores, not for arithmetic.
  double product, sum, input, output, call;
  /// scatter_gemm: transposing a channel of a pixel that lies in L2 or beyond it.
  double transposing, transposing_far;
  /// The gradients by winograd, in products: a value of a window of dY or of dX or x at a point; a transformed weight of dX's kernel and of dW.
  double gradient_value, gradient_kernel, gradient_sum;

  /// Reading each of so many packed weights, where few pixels share them.
  double reading(double weights) const noexcept { return weights <= (256 << 10) ? near : weights <= far_weights ? l3 : memory; }
};
const Costs& costs(int isa) noexcept;

}  // namespace upconv::ops
