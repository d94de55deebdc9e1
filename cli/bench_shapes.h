// SPDX-License-Identifier: Apache-2.0
// The layers that `upconv bench` measures: a table of shapes, read from CSV.
#pragma once

#include <string>
#include <vector>

#include "upconv/conv2d_transpose.h"

namespace upconv::cli {

/// One line: name,n,h,w,c,f,kh,kw,sh,sw,padding,activation.
struct BenchShape {
  std::string name;
  Shape input;                          ///< (n, h, w, c)
  std::int64_t filters = 1;
  Size2 kernel_size, strides;
  std::string padding, activation;

  Conv2DTranspose layer(const std::string& dtype) const;
  /// Multiply-adds as if nothing were cropped, times two: 2*n*h*w*kh*kw*c*f.
  double operations() const;
  /// "64x48x256 -> 256, k4s2 same"
  std::string text() const;
};

/// Throws FileError naming the line.
std::vector<BenchShape> read_shapes(const std::string& path);
/// A few typical layers, for a call without --shapes.
std::vector<BenchShape> default_shapes();

}  // namespace upconv::cli
