// SPDX-License-Identifier: Apache-2.0
// Values for a test that needs some: a sine, the same in every run.
#pragma once

#include <cmath>

#include "upconv/tensor.h"

namespace upconv::test {

inline Tensor ramp(const Shape& shape, DType dtype = DType::float32) {
  Tensor t(shape);
  float value = 0;
  for (float& v : t.span<float>()) v = std::sin(value += 0.7f);
  return t.cast(dtype);
}

}  // namespace upconv::test
