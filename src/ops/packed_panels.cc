// SPDX-License-Identifier: Apache-2.0
#include "ops/packed_panels.h"

#include <algorithm>

#include "base/checked.h"

namespace upconv::ops {

namespace {

/// One tap of one panel: kernel[tap][first filter + n][c] -> packed[c][n].
template <class From, class T>
void pack_tap(const From* kernel, std::int64_t ci, std::int64_t filters, std::int64_t width, T* packed) {
  for (std::int64_t n = 0; n < width; ++n) {
    const From* from = kernel + n * ci;
    for (std::int64_t c = 0; c < ci; ++c) {
      if (n >= filters) packed[c * width + n] = T(0);
      else if constexpr (std::is_same_v<From, T>) packed[c * width + n] = from[c];
      else packed[c * width + n] = static_cast<T>(static_cast<float>(from[c]));
    }
  }
}

}  // namespace

template <class T>
PackedPanels<T>::PackedPanels(std::int64_t taps, std::int64_t ci, std::int64_t co, std::int64_t width)
    : taps_(taps), ci_(ci), co_(co), width_(width), panels_(base::ceil_div(co, width)) {
  // One step more than is read: the micro-kernel may prefetch, never load, behind the end.
  const std::int64_t filters = base::checked_mul(panels_, width, "packed kernel size");
  data_ = Tensor::uninitialized({base::checked_mul(base::checked_mul(filters, taps, "packed kernel size"), ci,
                                                   "packed kernel size")}, dtype_of<T>);
}

template <class T>
void PackedPanels<T>::pack(const void* kernel, DType dtype, std::int64_t first, std::int64_t last) {
  const auto pack_from = [&](const auto* source) {
    for (std::int64_t p = first; p < last; ++p)
      for (std::int64_t tap = 0; tap < taps_; ++tap)
        pack_tap(source + (tap * co_ + p * width_) * ci_, ci_, std::min(width_, co_ - p * width_), width_,
                 const_cast<T*>(panel(p, tap)));
  };
  switch (dtype) {
    case DType::float32: return pack_from(static_cast<const float*>(kernel));
    case DType::float64: return pack_from(static_cast<const double*>(kernel));
    case DType::float16: return pack_from(static_cast<const Half*>(kernel));
    case DType::bfloat16: return pack_from(static_cast<const BFloat16*>(kernel));
  }
}

template class PackedPanels<float>;
template class PackedPanels<double>;

}  // namespace upconv::ops
