// SPDX-License-Identifier: Apache-2.0
#include "ops/reference.h"

#include <algorithm>

namespace upconv::ops::reference {

namespace {

/// Calls f(index of the input pixel, index of the output pixel, index of the tap) for every product of the operation;
/// indices count pixels and taps row-major, without channels.
template <class F>
void for_each_product(const Geometry& g, F f) {
  for (std::int64_t n = 0; n < g.n; ++n)
    for (std::int64_t i = 0; i < g.y.n; ++i)
      for (std::int64_t j = 0; j < g.x.n; ++j)
        for (std::int64_t a = 0; a < g.y.k; ++a)
          for (std::int64_t b = 0; b < g.x.k; ++b) {
            const std::int64_t oi = i * g.y.s + a * g.y.d - g.y.crop;
            const std::int64_t oj = j * g.x.s + b * g.x.d - g.x.crop;
            if (oi < 0 || oi >= g.y.o || oj < 0 || oj >= g.x.o) continue;
            f((n * g.y.n + i) * g.x.n + j, (n * g.y.o + oi) * g.x.o + oj, a * g.x.k + b);
          }
}

}  // namespace

void forward(const Geometry& g, const double* x, const double* kernel, const double* bias, double* y) {
  for (std::int64_t p = 0; p < g.n * g.y.o * g.x.o; ++p)
    for (std::int64_t o = 0; o < g.co; ++o) y[p * g.co + o] = bias ? bias[o] : 0.0;
  for_each_product(g, [&](std::int64_t in, std::int64_t out, std::int64_t tap) {
    for (std::int64_t o = 0; o < g.co; ++o)
      for (std::int64_t c = 0; c < g.ci; ++c)
        y[out * g.co + o] += x[in * g.ci + c] * kernel[(tap * g.co + o) * g.ci + c];
  });
}

void input_gradient(const Geometry& g, const double* dy, const double* kernel, double* dx) {
  std::fill_n(dx, g.input_elements(), 0.0);
  for_each_product(g, [&](std::int64_t in, std::int64_t out, std::int64_t tap) {
    for (std::int64_t o = 0; o < g.co; ++o)
      for (std::int64_t c = 0; c < g.ci; ++c)
        dx[in * g.ci + c] += dy[out * g.co + o] * kernel[(tap * g.co + o) * g.ci + c];
  });
}

void kernel_gradient(const Geometry& g, const double* x, const double* dy, double* dkernel) {
  std::fill_n(dkernel, g.kernel_elements(), 0.0);
  for_each_product(g, [&](std::int64_t in, std::int64_t out, std::int64_t tap) {
    for (std::int64_t o = 0; o < g.co; ++o)
      for (std::int64_t c = 0; c < g.ci; ++c)
        dkernel[(tap * g.co + o) * g.ci + c] += dy[out * g.co + o] * x[in * g.ci + c];
  });
}

void bias_gradient(const Geometry& g, const double* dy, double* dbias) {
  std::fill_n(dbias, g.co, 0.0);
  for (std::int64_t p = 0; p < g.n * g.y.o * g.x.o; ++p)
    for (std::int64_t o = 0; o < g.co; ++o) dbias[o] += dy[p * g.co + o];
}

}  // namespace upconv::ops::reference
