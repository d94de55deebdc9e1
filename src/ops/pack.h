// SPDX-License-Identifier: Apache-2.0
// Columns of a kernel in any element type, transposed into the panels the tiles read.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "base/checked.h"
#include "base/half.h"
#include "kernels/strips.h"

namespace upconv::ops {

/// Calls f with `data` as a pointer to its element type.
template <class F>
void with_elements(DType dtype, const void* data, F f) {
  switch (dtype) {
    case DType::float32: return f(static_cast<const float*>(data));
    case DType::float64: return f(static_cast<const double*>(data));
    case DType::float16: return f(static_cast<const Half*>(data));
    case DType::bfloat16: return f(static_cast<const BFloat16*>(data));
  }
}

/// to[c * width + n] = from[n][c] for n < columns; beyond, up to `width`, any finite or repeated value, which nobody stores. By vectors
/// where no type changes, for which `from` has room up to a whole vector; else in squares, so that each cache line is used whole.
template <class T, class E>
void transpose_columns(const kernels::StripKernels<T>& kernels, const E** from, std::int64_t columns, std::int64_t width,
                       std::int64_t ci, T* to) noexcept {
  std::int64_t done = 0;
  if constexpr (std::is_same_v<T, E>)
    if (columns > 0 && ci > 0) {
      std::fill(from + columns, from + base::round_up(columns, kernels.lanes), from[columns - 1]);
      for (; done < columns; done += kernels.lanes) kernels.load_pixels(from + done, ci, to + done, width);
    }
  constexpr std::int64_t kSquare = 16;
  for (std::int64_t c0 = 0; c0 < ci; c0 += kSquare)
    for (std::int64_t n0 = done; n0 < width; n0 += kSquare) {
      const std::int64_t c1 = std::min(ci, c0 + kSquare), n1 = std::min(width, n0 + kSquare);
      for (std::int64_t n = n0; n < n1; ++n)
        for (std::int64_t c = c0; c < c1; ++c) to[c * width + n] = n < columns ? base::converted<T>(from[n][c]) : T(0);
    }
}

}  // namespace upconv::ops
