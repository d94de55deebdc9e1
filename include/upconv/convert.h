// SPDX-License-Identifier: Apache-2.0
// Weights of other frameworks' transposed convolutions. torch.nn.ConvTranspose2d and ONNX's ConvTranspose compute, as Keras does,
// out[i*s + j*d - p] += x[i] * w[j] without flipping the kernel; their weight (in, out / groups, kh, kw) is Keras's kernel
// (kh, kw, out, in) with its axes in another order. What differs is the cropping: see padding_from_torch().
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "upconv/tensor.h"

namespace upconv {

/// (in, out, kh, kw) -> (kh, kw, out, in), any dtype. Throws ArgumentError unless the weight has four axes.
UPCONV_EXPORT Tensor kernel_from_torch(ConstTensorView weight);
/// The way back.
UPCONV_EXPORT Tensor kernel_to_torch(ConstTensorView kernel);

struct KerasPadding {
  std::string padding;                                 ///< "valid" or "same"
  std::optional<std::int64_t> output_padding;
  friend bool operator==(const KerasPadding&, const KerasPadding&) = default;
};
/// Keras's arguments for one axis of a torch or ONNX layer with symmetric pads. Throws ArgumentError where none computes the same:
/// 'valid' crops nothing, 'same' crops max(natural - output, 0) / 2 from the start; the way out is to crop a 'valid' output.
UPCONV_EXPORT KerasPadding padding_from_torch(std::int64_t kernel_size, std::int64_t stride, std::int64_t padding, std::int64_t output_padding = 0,
                                              std::int64_t dilation = 1);

}  // namespace upconv
