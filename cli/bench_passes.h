// SPDX-License-Identifier: Apache-2.0
// What `upconv bench` can time of a layer.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "upconv/conv2d_transpose.h"

namespace upconv::cli {

struct BenchPass {
  std::function<void()> call;       ///< owns what it works on
  std::string algorithm, reason;
  double products;                  ///< convolutions a call does: each counts 2*n*h*w*kh*kw*c*f operations
  double bytes;                     ///< input, kernel and output
};

/// `pass`: forward (planned), dx, dw (without activation), or train (the layer's forward and backward, memory taken anew). One for each of
/// `choices`; those of forward share input, output and workspace, because where memory lies is worth 20 %.
std::vector<BenchPass> bench_passes(const std::string& pass, const Conv2DTranspose& layer, const Shape& input, DType dtype,
                                    const std::vector<ExecutionOptions>& choices);

}  // namespace upconv::cli
