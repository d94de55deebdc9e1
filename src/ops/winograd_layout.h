// SPDX-License-Identifier: Apache-2.0
// The kernel of a layer as winograd multiplies it: [window][point][panel][ci][width], G kernel G^T.
#pragma once

#include <string>
#include <vector>

#include "kernels/tiles.h"
#include "ops/winograd_variant.h"

namespace upconv::ops {

/// A window's columns, cut in panels.
struct WinogradColumns {
  std::int64_t columns = 0, width = 0;     // in use; packed
  std::int64_t packed = 0, bias = 0;       // element offsets in the packed kernel and in the spread bias
  std::vector<int> panels;                 // in vectors
};

class WinogradLayout {
 public:
  WinogradLayout(const Geometry& geometry, std::vector<WinogradWindow> windows, const kernels::TileKernels<float>& kernels);

  /// Packs panel number `panel`, counted over all windows, of kernel (kh,kw,co,ci): transformed in double, rounded once.
  void pack(const void* kernel, DType dtype, std::int64_t panel, float* packed) const noexcept;
  /// spread[bias_elements] = the bias of every packed column; null means zeros.
  void spread_bias(const void* bias, DType dtype, float* spread) const noexcept;
  /// Two layouts with equal keys read the same packed kernel.
  std::string key() const;
  /// The kernel's element (tap, f, 0) that output phase (py, px) of a window multiplies with the input `a` rows above and `b`
  /// columns left of the phase's nearest one.
  std::int64_t weights_at(const WinogradWindow& w, std::int64_t py, std::int64_t px, int a, int b, std::int64_t f) const noexcept {
    return ((w.y.tap(g_.y, py, static_cast<std::size_t>(a)) * g_.x.k + w.x.tap(g_.x, px, static_cast<std::size_t>(b))) * g_.co + f) * g_.ci;
  }

  std::vector<WinogradWindow> windows;
  std::vector<WinogradColumns> columns;    // of each window
  std::int64_t packed_elements = 0, bias_elements = 0, panel_count = 0;

 private:
  Geometry g_;
  std::int64_t lanes_;
};

}  // namespace upconv::ops
