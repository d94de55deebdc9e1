// SPDX-License-Identifier: Apache-2.0
// The executable specification: naive loops in double, short enough to be checked by eye. Every fast path is tested
// against these. Layout: always channels_last and float64; the tests transpose and convert.
#pragma once

#include "ops/geometry.h"

namespace upconv::ops::reference {

/// y[n,oh,ow,co] = bias[co] + sum over taps of x[n,h,w,ci] * kernel[kh,kw,co,ci]; bias may be null.
void forward(const Geometry& g, const double* x, const double* kernel, const double* bias, double* y);
/// dx[n,h,w,ci] = sum over taps of dy[n,oh,ow,co] * kernel[kh,kw,co,ci].
void input_gradient(const Geometry& g, const double* dy, const double* kernel, double* dx);
/// dkernel[kh,kw,co,ci] = sum over n,h,w of dy[n,oh,ow,co] * x[n,h,w,ci].
void kernel_gradient(const Geometry& g, const double* x, const double* dy, double* dkernel);
/// dbias[co] = sum of dy over everything else.
void bias_gradient(const Geometry& g, const double* dy, double* dbias);

}  // namespace upconv::ops::reference
