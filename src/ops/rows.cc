// SPDX-License-Identifier: Apache-2.0
#include "ops/rows.h"

#include "base/half.h"

namespace upconv::ops {

namespace {

/// Calls f(index in the tensor, index in the row) for every element of the row.
template <class F>
void for_each(const Image& im, std::int64_t n, std::int64_t row, F f) noexcept {
  if (im.data_format == DataFormat::channels_last) {
    const std::int64_t first = (n * im.h + row) * im.w * im.c;
    for (std::int64_t i = 0; i < im.w * im.c; ++i) f(first + i, i);
    return;
  }
  for (std::int64_t c = 0; c < im.c; ++c) {
    const std::int64_t first = ((n * im.c + c) * im.h + row) * im.w;
    for (std::int64_t j = 0; j < im.w; ++j) f(first + j, j * im.c + c);
  }
}

template <class T, class F>
void with_type(DType dtype, T* tensor, F f) noexcept {
  using std::is_const_v;
  const auto as = [&]<class E>(E*) { return static_cast<std::conditional_t<is_const_v<T>, const E, E>*>(tensor); };
  switch (dtype) {
    case DType::float32: return f(as(static_cast<float*>(nullptr)));
    case DType::float64: return f(as(static_cast<double*>(nullptr)));
    case DType::float16: return f(as(static_cast<Half*>(nullptr)));
    case DType::bfloat16: return f(as(static_cast<BFloat16*>(nullptr)));
  }
}

}  // namespace

template <class T>
void load_row(const Image& image, const void* tensor, std::int64_t n, std::int64_t row, T* to) noexcept {
  with_type(image.dtype, tensor, [&](auto* from) {
    for_each(image, n, row, [&](std::int64_t i, std::int64_t j) { to[j] = base::converted<T>(from[i]); });
  });
}

template <class T>
void store_row(const Image& image, void* tensor, std::int64_t n, std::int64_t row, const T* from) noexcept {
  with_type(image.dtype, tensor, [&](auto* to) {
    using E = std::remove_pointer_t<decltype(to)>;
    for_each(image, n, row, [&](std::int64_t i, std::int64_t j) { to[i] = base::converted<E>(from[j]); });
  });
}

template void load_row(const Image&, const void*, std::int64_t, std::int64_t, float*) noexcept;
template void load_row(const Image&, const void*, std::int64_t, std::int64_t, double*) noexcept;
template void store_row(const Image&, void*, std::int64_t, std::int64_t, const float*) noexcept;
template void store_row(const Image&, void*, std::int64_t, std::int64_t, const double*) noexcept;

}  // namespace upconv::ops
