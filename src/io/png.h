// SPDX-License-Identifier: Apache-2.0
// PNG pictures as tensors (h, w, channels) of float32 in 0..1: 1 grey, 2 grey with alpha, 3 RGB, 4 RGBA.
#pragma once

#include <vector>

#include "io/bytes.h"
#include "upconv/io.h"

namespace upconv::io {

bool is_png(const Bytes& file);
/// 8- and 16-bit values divided by 255 or 65535; palettes and lower depths are expanded. FileError for a damaged file.
Tensor read_png(const Bytes& file, const LoadLimits& limits = {});
/// rint(clip(v, 0, 1) * (2^bits - 1)); bits is 8 or 16. Throws ArgumentError for another rank, channels or bits.
std::vector<std::byte> png_bytes(ConstTensorView image, int bits = 8);

}  // namespace upconv::io
