// SPDX-License-Identifier: Apache-2.0
// The roofline picture of a benchmark run.
#pragma once

#include <string>
#include <vector>

namespace upconv::cli {

struct RooflinePoint {
  std::string name, algorithm;
  double intensity;       ///< operations for each byte of input, kernel and output
  double gflops;
};

/// A whole SVG file, both axes logarithmic.
std::string roofline_svg(const std::vector<RooflinePoint>& points, double peak_gflops, double copy_gbs, const std::string& title);

}  // namespace upconv::cli
