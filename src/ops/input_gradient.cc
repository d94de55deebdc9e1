// SPDX-License-Identifier: Apache-2.0
// dX is a strided convolution of dY: input pixel (i, j) meets every tap once, so the rows of the GEMM are pointers into dY,
// its depth is the filters and its columns are the input channels; the kernel (kh,kw,co,ci) is already in that order and
// only cut into panels. Taps that fall outside above or below are skipped a row at a time, the others read zeros.
#include "ops/input_gradient.h"

#include <algorithm>
#include <vector>

#include "base/checked.h"
#include "kernels/gemm.h"
#include "ops/parallel.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kTablePointers = 8192;   // of one block: 64 KiB, so that it stays in L2 under every kernel size

template <class T>
class InputGradient {
 public:
  InputGradient(const Geometry& g, const T* dy, const T* kernel, T* dx, const Execution& execution)
      : g_(g), dy_(dy), dx_(dx), e_(execution), width_(kernels::gemm_panel_width(e_.isa, sizeof(T))),
        panels_(base::ceil_div(g.ci, width_)), taps_(g.y.k * g.x.k),
        block_(std::clamp<std::int64_t>(kTablePointers / taps_ / kernels::gemm_tile_rows * kernels::gemm_tile_rows,
                                        kernels::gemm_tile_rows, 256)),
        zeros_(static_cast<std::size_t>(g.co), T(0)) {
    pack(kernel);
  }

  void run() const {
    const std::int64_t blocks = base::ceil_div(g_.x.n, block_);
    parallel_for(*e_.executor, e_.threads, g_.n * g_.y.n * blocks, [&](std::int64_t task) {
      const std::int64_t row = task / blocks, first = task % blocks * block_;
      run_block(row / g_.y.n, row % g_.y.n, first, std::min(block_, g_.x.n - first));
    });
  }

 private:
  void pack(const T* kernel) {
    packed_ = Tensor::uninitialized({panels_ * taps_ * g_.co * width_}, dtype_of<T>);
    T* to = packed_.data<T>();
    parallel_for(*e_.executor, e_.threads, panels_, [&](std::int64_t panel) {
      const std::int64_t used = std::min(width_, g_.ci - panel * width_);
      T* out = to + panel * taps_ * g_.co * width_;
      for (std::int64_t row = 0; row < taps_ * g_.co; ++row, out += width_) {
        std::copy_n(kernel + row * g_.ci + panel * width_, used, out);
        std::fill_n(out + used, width_ - used, T(0));
      }
    });
  }

  void run_block(std::int64_t n, std::int64_t i, std::int64_t first, std::int64_t count) const {
    std::vector<std::int64_t> rows;                          // of the kernel, whose output row exists
    for (std::int64_t a = 0; a < g_.y.k; ++a) {
      const std::int64_t o = i * g_.y.s + a * g_.y.d - g_.y.crop;
      if (o >= 0 && o < g_.y.o) rows.push_back(a);
    }
    const auto taps = static_cast<std::int64_t>(rows.size()) * g_.x.k;
    const std::int64_t tiles = base::ceil_div(count, kernels::gemm_tile_rows);
    std::vector<const T*> table(static_cast<std::size_t>(taps * count)), panels(static_cast<std::size_t>(taps));
    const T** next = table.data();
    for (std::int64_t tile = 0; tile < tiles; ++tile)
      for (const std::int64_t a : rows)
        for (std::int64_t b = 0; b < g_.x.k; ++b)
          for (std::int64_t j = first + count * tile / tiles; j < first + count * (tile + 1) / tiles; ++j) *next++ = pixel(n, i, a, j, b);
    for (std::int64_t panel = 0; panel < panels_; ++panel) {
      std::size_t t = 0;
      for (const std::int64_t a : rows)
        for (std::int64_t b = 0; b < g_.x.k; ++b)
          panels[t++] = static_cast<const T*>(packed_.bytes()) + (panel * taps_ + a * g_.x.k + b) * g_.co * width_;
      for (std::int64_t tile = 0; tile < tiles; ++tile) {
        const std::int64_t from = count * tile / tiles, size = count * (tile + 1) / tiles - from;
        T* out[kernels::gemm_tile_rows];
        for (std::int64_t m = 0; m < size; ++m)
          out[m] = dx_ + ((n * g_.y.n + i) * g_.x.n + first + from + m) * g_.ci + panel * width_;
        kernels::gemm({table.data() + from * taps, panels.data(), taps, g_.co, nullptr, out, std::min(width_, g_.ci - panel * width_), false},
                      size, e_.isa);
      }
    }
  }

  const T* pixel(std::int64_t n, std::int64_t i, std::int64_t a, std::int64_t j, std::int64_t b) const {
    const std::int64_t oh = i * g_.y.s + a * g_.y.d - g_.y.crop, ow = j * g_.x.s + b * g_.x.d - g_.x.crop;
    if (ow < 0 || ow >= g_.x.o) return zeros_.data();
    return dy_ + ((n * g_.y.o + oh) * g_.x.o + ow) * g_.co;
  }

  const Geometry& g_;
  const T* dy_;
  T* dx_;
  Execution e_;
  std::int64_t width_, panels_, taps_, block_;
  std::vector<T> zeros_;
  Tensor packed_;
};

}  // namespace

template <class T>
void input_gradient(const Geometry& g, const T* dy, const T* kernel, T* dx, const Execution& execution) {
  if (g.input_elements() > 0) InputGradient<T>(g, dy, kernel, dx, execution).run();
}

template void input_gradient(const Geometry&, const float*, const float*, float*, const Execution&);
template void input_gradient(const Geometry&, const double*, const double*, double*, const Execution&);

}  // namespace upconv::ops
