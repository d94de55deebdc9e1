// SPDX-License-Identifier: Apache-2.0
// One element of a tensor of any dtype as a double. For code where the dtype does not matter and speed neither.
#pragma once

#include "upconv/tensor.h"

namespace upconv::base {

inline double read_element(ConstTensorView t, std::int64_t i) noexcept {
  switch (t.dtype) {
    case DType::float32: return static_cast<double>(static_cast<const float*>(t.bytes)[i]);
    case DType::float64: return static_cast<const double*>(t.bytes)[i];
    case DType::float16: return static_cast<double>(static_cast<float>(static_cast<const Half*>(t.bytes)[i]));
    default: return static_cast<double>(static_cast<float>(static_cast<const BFloat16*>(t.bytes)[i]));
  }
}

/// Rounded to the dtype (the half types through float32).
inline void write_element(TensorView t, std::int64_t i, double value) noexcept {
  switch (t.dtype) {
    case DType::float32: static_cast<float*>(t.bytes)[i] = static_cast<float>(value); return;
    case DType::float64: static_cast<double*>(t.bytes)[i] = value; return;
    case DType::float16: static_cast<Half*>(t.bytes)[i] = Half(static_cast<float>(value)); return;
    default: static_cast<BFloat16*>(t.bytes)[i] = BFloat16(static_cast<float>(value)); return;
  }
}

/// `value` as the dtype holds it.
inline double rounded(double value, DType dtype) noexcept {
  double out = 0;
  write_element({&out, {1}, dtype}, 0, value);
  return read_element({&out, {1}, dtype}, 0);
}

}  // namespace upconv::base
