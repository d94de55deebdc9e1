// SPDX-License-Identifier: Apache-2.0
// What super-resolution is trained and measured with: bicubic resizing and the peak signal-to-noise ratio.
// Pictures are tensors (h, w, channels) of float32 in 0..1 that hold 8-bit values.
#pragma once

#include <span>

#include "upconv/tensor.h"

namespace upconv::io {

/// Every value to the nearest of 256 steps in 0..1.
Tensor to_8_bits(ConstTensorView picture);
/// Bicubic resizing (a = -0.5; antialiased where it reduces) as Pillow does it on 8-bit pictures: rows first, rounded, then
/// columns, rounded.
Tensor bicubic(ConstTensorView picture, std::int64_t height, std::int64_t width);
/// 10 log10(1 / mean squared difference) in dB, `edge` pixels at each side left out.
double psnr(ConstTensorView a, ConstTensorView b, std::int64_t edge);
/// Pictures of one height beside each other, a white gap between them.
Tensor side_by_side(std::span<const Tensor> pictures, std::int64_t gap);

}  // namespace upconv::io
