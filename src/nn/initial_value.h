// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "upconv/export.h"
#include "upconv/initializer.h"

namespace upconv::nn {

/// While one lives, the layers that this thread builds get weights of the right shape and type whose values are not made: nothing
/// is drawn, the memory is not touched. For a reader, which then sets every one of them or drops the model.
class WithoutValues {
 public:
  UPCONV_EXPORT WithoutValues() noexcept;
  UPCONV_EXPORT ~WithoutValues();
  WithoutValues(const WithoutValues&) = delete;
  WithoutValues& operator=(const WithoutValues&) = delete;

 private:
  bool before_;
};

/// A new weight: what the initialiser makes, or its memory alone under WithoutValues.
Tensor initial_value(const Initializer& initializer, const Shape& shape, DType dtype);

}  // namespace upconv::nn
