// SPDX-License-Identifier: Apache-2.0
// Rows of an image in the layout and type the kernels compute in: (w, channels), float32 or float64. Channels_first and the
// half types go through here, a few rows at a time, so that no tensor is ever converted whole.
#pragma once

#include <cstdint>

#include "upconv/conv_transpose.h"

namespace upconv::ops {

/// Where a stored tensor (n,h,w,c) or (n,c,h,w) keeps its pixels.
struct Image {
  DType dtype;
  DataFormat data_format;
  std::int64_t h, w, c;

  bool direct(DType compute) const noexcept { return dtype == compute && (data_format == DataFormat::channels_last || c == 1); }
};

/// to[w][c] = row `row` of image `n` of `tensor`.
template <class T>
void load_row(const Image& image, const void* tensor, std::int64_t n, std::int64_t row, T* to) noexcept;

/// Row `row` of image `n` of `tensor` = from[w][c], rounded once.
template <class T>
void store_row(const Image& image, void* tensor, std::int64_t n, std::int64_t row, const T* from) noexcept;

}  // namespace upconv::ops
