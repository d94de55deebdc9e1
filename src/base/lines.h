// SPDX-License-Identifier: Apache-2.0
// The elements of a tensor in lines along some of its axes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "upconv/tensor.h"

namespace upconv::base {

/// Offsets of a tensor's elements: the first element of each line, and the steps from it to the elements of the line.
struct Lines {
  std::vector<std::int64_t> starts, steps;
};

/// Axes are normalised: 0 <= axis < rank.
inline Lines lines_along(const Shape& shape, std::span<const int> axes) {
  Lines lines{{0}, {0}};
  std::int64_t stride = 1;
  for (std::size_t axis = shape.rank(); axis-- > 0; stride *= shape[axis]) {
    const bool along = std::find(axes.begin(), axes.end(), static_cast<int>(axis)) != axes.end();
    std::vector<std::int64_t>& offsets = along ? lines.steps : lines.starts;
    std::vector<std::int64_t> grown;
    for (std::int64_t i = 0; i < shape[axis]; ++i)
      for (const std::int64_t offset : offsets) grown.push_back(i * stride + offset);
    offsets = std::move(grown);
  }
  return lines;
}

}  // namespace upconv::base
