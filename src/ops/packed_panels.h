// SPDX-License-Identifier: Apache-2.0
// A kernel packed for the GEMM tile: [panel][tap][ci][width], filters padded with zeros to whole panels. Half types are
// widened to float32 here, once. The order depends on neither image size nor threads, so a layer packs once.
#pragma once

#include <vector>

#include "ops/conv_transpose.h"

namespace upconv::ops {

template <class T>
class PackedPanels final : public PackedKernel {
 public:
  PackedPanels(std::int64_t taps, std::int64_t ci, std::int64_t co, std::int64_t width);

  std::size_t bytes() const noexcept override { return data_.byte_size(); }
  const T* panel(std::int64_t panel, std::int64_t tap) const noexcept {
    return static_cast<const T*>(data_.bytes()) + (panel * taps_ + tap) * ci_ * width_;
  }
  /// Packs panels [first, last) of `kernel` (taps,co,ci), elements of `dtype`.
  void pack(const void* kernel, DType dtype, std::int64_t first, std::int64_t last);
  std::int64_t panels() const noexcept { return panels_; }

 private:
  std::int64_t taps_, ci_, co_, width_, panels_;
  Tensor data_;
};

}  // namespace upconv::ops
