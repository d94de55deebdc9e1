// SPDX-License-Identifier: Apache-2.0
// All shape and padding maths of the layer. The rule is at the head of upconv/conv_transpose.h.
#pragma once

#include <cstdint>

#include "upconv/conv_transpose.h"

namespace upconv::ops {

/// One spatial axis: out[i*s + j*d - crop] += x[i] * kernel[j] for i in [0,n), j in [0,k), where it falls in [0,o).
struct Axis {
  std::int64_t n = 0;     // input size
  std::int64_t k = 1;     // kernel size
  std::int64_t s = 1;     // stride
  std::int64_t d = 1;     // dilation
  std::int64_t o = 0;     // output size
  std::int64_t crop = 0;  // cells cut on the left of the natural output

  std::int64_t effective_kernel() const noexcept { return (k - 1) * d + 1; }
  friend bool operator==(const Axis&, const Axis&) = default;
};

/// Throws ArgumentError when a size leaves 63 bits.
Axis make_axis(std::int64_t n, std::int64_t k, std::int64_t s, Padding padding, std::optional<std::int64_t> output_padding,
               std::int64_t d);

/// A whole call: x (n,h,w,ci) or (n,ci,h,w), kernel (kh,kw,co,ci), y (n,oh,ow,co) or (n,co,oh,ow).
struct Geometry {
  std::int64_t n = 0, ci = 0, co = 0;
  Axis y, x;
  DataFormat data_format = DataFormat::channels_last;

  std::int64_t input_elements() const noexcept { return n * y.n * x.n * ci; }
  std::int64_t output_elements() const noexcept { return n * y.o * x.o * co; }
  std::int64_t kernel_elements() const noexcept { return y.k * x.k * co * ci; }
  friend bool operator==(const Geometry&, const Geometry&) = default;
};

/// From checked shapes; throws ArgumentError when a product of sizes leaves 63 bits.
Geometry make_geometry(const Shape& input, const Shape& kernel, const ConvTransposeGeometry& options);
Shape output_shape(const Geometry& g);

}  // namespace upconv::ops
