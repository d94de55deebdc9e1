// SPDX-License-Identifier: Apache-2.0
#include "ops/winograd_layout.h"

#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "ops/pack.h"

namespace upconv::ops {

namespace {

using kernels::WinogradScheme;

constexpr int kSquare = 16;   // columns x channels transformed at a time: every cache line written is written whole

/// A scheme's G with the taps in the order of the phase: a correlation reads its inputs upwards, a phase downwards.
struct KernelTransform {
  explicit KernelTransform(const WinogradScheme& s) : points(s.points), taps(s.taps) {
    for (int p = 0; p < points; ++p)
      for (int t = 0; t < taps; ++t) g[p][t] = s.kernel(p, taps - 1 - t);
  }
  int points, taps;
  double g[kernels::winograd_most_points][kernels::winograd_most_taps];
};

/// u[py * x.points + px][n] = G w G^T of one column for `channels` channels; taps[ty * x.taps + tx] are w's, column n of u.
template <class E>
void transform_column(const KernelTransform& y, const KernelTransform& x, const E* const* taps, int channels, float (*u)[kSquare][kSquare], int n) {
  double half[kernels::winograd_most_points][kernels::winograd_most_taps][kSquare];
  for (int p = 0; p < y.points; ++p)
    for (int tx = 0; tx < x.taps; ++tx) {
      double sum[kSquare] = {};
      for (int ty = 0; ty < y.taps; ++ty)
        for (int c = 0; c < channels; ++c) sum[c] += y.g[p][ty] * base::converted<double>(taps[ty * x.taps + tx][c]);
      std::copy_n(sum, kSquare, half[p][tx]);
    }
  for (int p = 0; p < y.points; ++p)
    for (int q = 0; q < x.points; ++q) {
      double sum[kSquare] = {};
      for (int tx = 0; tx < x.taps; ++tx)
        for (int c = 0; c < channels; ++c) sum[c] += x.g[q][tx] * half[p][tx][c];
      for (int c = 0; c < channels; ++c) u[p * x.points + q][c][n] = static_cast<float>(sum[c]);
    }
}

}  // namespace

WinogradLayout::WinogradLayout(const Geometry& geometry, std::vector<WinogradWindow> from, const kernels::TileKernels<float>& kernels)
    : windows(std::move(from)), g_(geometry), lanes_(kernels.lanes) {
  for (const WinogradWindow& w : windows) {
    WinogradColumns c;
    c.columns = w.phases() * g_.co;
    c.panels = kernels::tile_panels(kernels, kernels.rows, c.columns, g_.ci).vectors;
    for (const int vectors : c.panels) c.width += vectors * lanes_;
    c.packed = packed_elements, c.bias = bias_elements;
    packed_elements = base::checked_add(packed_elements, base::checked_mul(w.points() * c.width, g_.ci, "packed kernel size"));
    bias_elements += c.width + kernels::tile_max_vectors * lanes_;
    panel_count += static_cast<std::int64_t>(c.panels.size());
    columns.push_back(std::move(c));
  }
}

void WinogradLayout::pack(const void* kernel, DType dtype, std::int64_t number, float* packed) const noexcept {
  std::size_t window = 0;
  while (number >= static_cast<std::int64_t>(columns[window].panels.size()))
    number -= static_cast<std::int64_t>(columns[window++].panels.size());
  const WinogradWindow& w = windows[window];
  const WinogradColumns& to = columns[window];
  std::int64_t first = 0;
  for (std::int64_t i = 0; i < number; ++i) first += to.panels[static_cast<std::size_t>(i)] * lanes_;
  const std::int64_t width = to.panels[static_cast<std::size_t>(number)] * lanes_;
  const KernelTransform y(w.along_y), x(w.along_x);
  float square[kernels::winograd_most_pixels][kSquare][kSquare];
  const auto pack_square = [&](const auto* k, std::int64_t n0, std::int64_t c0) {
    const int channels = static_cast<int>(std::min<std::int64_t>(kSquare, g_.ci - c0));
    const int used = static_cast<int>(std::min<std::int64_t>(kSquare, width - n0));
    std::fill_n(&square[0][0][0], sizeof square / sizeof(float), 0.0f);
    for (int n = 0; n < used && first + n0 + n < to.columns; ++n) {
      const std::int64_t column = first + n0 + n, phase = column / g_.co;
      decltype(k) taps[kernels::winograd_most_taps * kernels::winograd_most_taps];
      for (int a = 0; a < y.taps; ++a)
        for (int b = 0; b < x.taps; ++b)
          taps[a * x.taps + b] = k + weights_at(w, phase / w.x.phases, phase % w.x.phases, a, b, column % g_.co) + c0;
      transform_column(y, x, taps, channels, square, n);
    }
    for (int p = 0; p < w.points(); ++p)
      for (int c = 0; c < channels; ++c)
        std::copy_n(square[p][c], used, packed + to.packed + (p * to.width + first) * g_.ci + (c0 + c) * width + n0);
  };
  with_elements(dtype, kernel, [&](const auto* k) {
    for (std::int64_t n0 = 0; n0 < width; n0 += kSquare)
      for (std::int64_t c0 = 0; c0 < g_.ci; c0 += kSquare) pack_square(k, n0, c0);
  });
}

void WinogradLayout::spread_bias(const void* bias, DType dtype, float* spread) const noexcept {
  std::fill_n(spread, bias_elements, 0.0f);
  if (!bias) return;
  with_elements(dtype, bias, [&](const auto* b) {
    for (const WinogradColumns& c : columns)
      for (std::int64_t i = 0; i < c.columns; ++i) spread[c.bias + i] = base::converted<float>(b[i % g_.co]);
  });
}

std::string WinogradLayout::key() const {
  std::string text = base::cat("winograd", lanes_);
  for (const WinogradWindow& w : windows)
    text += base::cat(";", w.along_y.points, ",", w.along_x.points, ",", w.y.first_phase, "x", w.y.phases, ":", w.y.shifts.front(), "+",
                      w.y.shifts.size(), ",", w.x.first_phase, "x", w.x.phases, ":", w.x.shifts.front(), "+", w.x.shifts.size());
  return text;
}

}  // namespace upconv::ops
