// SPDX-License-Identifier: Apache-2.0
#include "upconv/convert.h"

#include <algorithm>

#include "base/element.h"
#include "base/text.h"
#include "upconv/error.h"

namespace upconv {

/// (a, b, c, d) -> the axes of `order`.
static Tensor permuted(ConstTensorView t, const int (&order)[4]) {
  if (t.shape.rank() != 4)
    throw ArgumentError("weight", base::cat("The weight of a two-dimensional transposed convolution has 4 axes. Received shape ", t.shape.str(), "."));
  const Shape shape{t.shape[static_cast<std::size_t>(order[0])], t.shape[static_cast<std::size_t>(order[1])], t.shape[static_cast<std::size_t>(order[2])],
                    t.shape[static_cast<std::size_t>(order[3])]};
  std::int64_t strides[4] = {t.shape[1] * t.shape[2] * t.shape[3], t.shape[2] * t.shape[3], t.shape[3], 1};
  Tensor out = Tensor::uninitialized(shape, t.dtype);
  std::int64_t i = 0;
  for (std::int64_t a = 0; a < shape[0]; ++a)
    for (std::int64_t b = 0; b < shape[1]; ++b)
      for (std::int64_t c = 0; c < shape[2]; ++c)
        for (std::int64_t d = 0; d < shape[3]; ++d)
          base::write_element(out, i++, base::read_element(t, a * strides[order[0]] + b * strides[order[1]] + c * strides[order[2]] + d * strides[order[3]]));
  return out;
}

Tensor kernel_from_torch(ConstTensorView weight) { return permuted(weight, {2, 3, 1, 0}); }
Tensor kernel_to_torch(ConstTensorView kernel) { return permuted(kernel, {3, 2, 0, 1}); }

KerasPadding padding_from_torch(std::int64_t kernel_size, std::int64_t stride, std::int64_t padding, std::int64_t output_padding, std::int64_t dilation) {
  const std::int64_t effective = (kernel_size - 1) * dilation + 1;
  if (output_padding < 0 || output_padding >= std::max(stride, dilation))
    throw ArgumentError("output_padding", base::cat("torch's output_padding must be smaller than stride or dilation. Received: ", output_padding, "."));
  if (padding == 0 && output_padding < stride) return {"valid", output_padding};
  // The length beyond (n - 1) * stride: torch's, and that of 'same', which is stride without output_padding and
  // effective % 2 + output_padding with it.
  const std::int64_t length = effective - 2 * padding + output_padding, keras = length - effective % 2;
  const bool same_crop = std::max<std::int64_t>(effective - length, 0) / 2 == padding;
  if (same_crop && length == stride) return {"same", {}};
  if (same_crop && keras >= 0 && keras < stride) return {"same", keras};
  throw ArgumentError("padding", base::cat("No padding of Keras computes what torch's padding=", padding, ", output_padding=", output_padding, " with kernel_size=",
                                           kernel_size, ", stride=", stride, ", dilation=", dilation, " computes: crop the 'valid' output instead."));
}

}  // namespace upconv
