// SPDX-License-Identifier: Apache-2.0
#include "nn/initial_value.h"

#include <utility>

namespace upconv::nn {

static thread_local bool without_values = false;

WithoutValues::WithoutValues() noexcept : before_(std::exchange(without_values, true)) {}
WithoutValues::~WithoutValues() { without_values = before_; }

Tensor initial_value(const Initializer& initializer, const Shape& shape, DType dtype) {
  return without_values ? Tensor::uninitialized(shape, dtype) : initializer(shape, dtype);
}

}  // namespace upconv::nn
