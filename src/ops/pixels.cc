// SPDX-License-Identifier: Apache-2.0
#include "ops/pixels.h"

#include <algorithm>

#include "base/half.h"

namespace upconv::ops {

namespace {

template <class T, class E>
void load(const Image& image, const E* tensor, std::int64_t n, std::int64_t row, std::int64_t first, std::int64_t last, T* to) noexcept {
  if (image.data_format == DataFormat::channels_last) {
    const E* from = tensor + ((n * image.h + row) * image.w + first) * image.c;
    for (std::int64_t i = 0; i < (last - first) * image.c; ++i) to[i] = base::converted<T>(from[i]);
    return;
  }
  // Squares of 16 x 16: both sides use whole cache lines.
  constexpr std::int64_t kSquare = 16;
  const std::int64_t plane = image.h * image.w;
  const E* from = tensor + (n * image.c * image.h + row) * image.w;
  for (std::int64_t j0 = first; j0 < last; j0 += kSquare)
    for (std::int64_t c0 = 0; c0 < image.c; c0 += kSquare) {
      const std::int64_t j1 = std::min(last, j0 + kSquare), c1 = std::min(image.c, c0 + kSquare);
      for (std::int64_t c = c0; c < c1; ++c)
        for (std::int64_t j = j0; j < j1; ++j) to[(j - first) * image.c + c] = base::converted<T>(from[c * plane + j]);
    }
}

template <class T, class E>
void store(const Image& image, E* tensor, const T* from, std::int64_t width, const Columns& columns, const Place* places,
           std::int64_t count) noexcept {
  const std::int64_t co = image.c, end = columns.first + columns.count;
  if (image.data_format == DataFormat::channels_last) {
    for (std::int64_t m = 0; m < count; ++m) {
      const std::int64_t low = std::max(columns.first, -places[m].column * co);
      const std::int64_t high = std::min(end, (image.w - places[m].column) * co);
      for (std::int64_t i = low; i < high; ++i) tensor[places[m].element + i] = base::converted<E>(from[m * width + i - columns.first]);
    }
    return;
  }
  const std::int64_t plane = image.h * image.w;
  std::int64_t p = columns.first / co, f = columns.first % co;
  for (std::int64_t i = columns.first; i < end; ++i) {
    for (std::int64_t m = 0; m < count; ++m) {
      const std::int64_t column = places[m].column + p;
      if (column < 0 || column >= image.w) continue;
      tensor[places[m].element + p + f * plane] = base::converted<E>(from[m * width + i - columns.first]);
    }
    if (++f == co) f = 0, ++p;
  }
}

}  // namespace

template <class T>
void load_pixels(const Image& image, const void* tensor, std::int64_t n, std::int64_t row, std::int64_t first, std::int64_t last,
                 T* to) noexcept {
  switch (image.dtype) {
    case DType::float32: return load(image, static_cast<const float*>(tensor), n, row, first, last, to);
    case DType::float64: return load(image, static_cast<const double*>(tensor), n, row, first, last, to);
    case DType::float16: return load(image, static_cast<const Half*>(tensor), n, row, first, last, to);
    case DType::bfloat16: return load(image, static_cast<const BFloat16*>(tensor), n, row, first, last, to);
  }
}

template <class T>
void store_tile(const Image& image, void* tensor, const T* from, std::int64_t width, const Columns& columns, const Place* places,
                std::int64_t count) noexcept {
  switch (image.dtype) {
    case DType::float32: return store(image, static_cast<float*>(tensor), from, width, columns, places, count);
    case DType::float64: return store(image, static_cast<double*>(tensor), from, width, columns, places, count);
    case DType::float16: return store(image, static_cast<Half*>(tensor), from, width, columns, places, count);
    case DType::bfloat16: return store(image, static_cast<BFloat16*>(tensor), from, width, columns, places, count);
  }
}

template void load_pixels(const Image&, const void*, std::int64_t, std::int64_t, std::int64_t, std::int64_t, float*) noexcept;
template void load_pixels(const Image&, const void*, std::int64_t, std::int64_t, std::int64_t, std::int64_t, double*) noexcept;
template void store_tile(const Image&, void*, const float*, std::int64_t, const Columns&, const Place*, std::int64_t) noexcept;
template void store_tile(const Image&, void*, const double*, std::int64_t, const Columns&, const Place*, std::int64_t) noexcept;

}  // namespace upconv::ops
