// SPDX-License-Identifier: Apache-2.0
// The bare operation: a 2-D transposed convolution with Keras's sizes, crops and names, without a layer around it.
//
// Along one axis, with effective kernel e = (k-1)*d+1 and natural size (n-1)*s+e:
//   valid: O = (n-1)*s + e + (output_padding if given else max(e,s)-e), nothing is cropped on the left;
//   same:  O = n*s if output_padding is None, else (n-1)*s + e%2 + output_padding;
//          crop_left = max((n-1)*s+e-O, 0) / 2;
//   out[i*s + j*d - crop_left] += x[i] * kernel[j] wherever it falls inside [0, O). The kernel is not flipped.
// References: Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", https://arxiv.org/abs/1603.07285;
// Zeiler, Krishnan, Taylor and Fergus, "Deconvolutional Networks", https://www.matthewzeiler.com/mattzeiler/deconvolutionalnetworks.pdf
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "upconv/runtime.h"
#include "upconv/tensor.h"

namespace upconv {

enum class Padding : std::uint8_t { valid, same };
enum class DataFormat : std::uint8_t { channels_last, channels_first };

UPCONV_EXPORT Padding parse_padding(std::string_view text);             ///< any letter case; throws ArgumentError
UPCONV_EXPORT DataFormat parse_data_format(std::string_view text);      ///< any letter case; throws ArgumentError
UPCONV_EXPORT std::string_view name_of(Padding padding) noexcept;
UPCONV_EXPORT std::string_view name_of(DataFormat data_format) noexcept;

/// Two numbers, height then width; one number stands for both: `.strides = 2`, `.strides = {2, 1}`.
struct UPCONV_EXPORT Size2 {
  std::int64_t h = 1, w = 1;
  constexpr Size2() = default;
  constexpr Size2(int both) : h(both), w(both) {}
  constexpr Size2(std::int64_t both) : h(both), w(both) {}
  constexpr Size2(std::int64_t h, std::int64_t w) : h(h), w(w) {}
  friend constexpr bool operator==(const Size2&, const Size2&) = default;
};

/// Which numbers a call may compute (docs/performance.md has the measured constants).
enum class Math : std::uint8_t {
  fast,   ///< winograd where it pays: |error| <= 32 * 2^-24 * (|bias| + sum over channels of max|x| in the window * sum|w|)
  exact,  ///< every product once: |error| <= 32 * 2^-24 * (|bias| + sum|x||w|); exact on integer data that fits
};

/// How a call is executed. Nothing here changes bits except `math`, `algorithm` and `isa`.
struct UPCONV_EXPORT ExecutionOptions {
  int threads = 0;                          ///< 0: upconv::default_threads()
  Math math = Math::fast;
  std::string algorithm = {};               ///< "": the plan chooses; else the name of one that applies, or ArgumentError
  std::string isa = {};                     ///< "": upconv::default_isa()
  std::shared_ptr<Executor> executor = {};  ///< nullptr: upconv::default_executor()
};

/// The shape of the operation. Fields in Keras's order.
struct UPCONV_EXPORT ConvTransposeGeometry {
  Size2 strides = 1;
  Padding padding = Padding::valid;
  std::optional<Size2> output_padding = {};  ///< None is not 0: see the rule above
  DataFormat data_format = DataFormat::channels_last;
  Size2 dilation_rate = 1;
};

/// Size of one output axis; `n` may be Shape::unknown and then so is the result. A result below 0 is clamped at 0.
/// Throws ArgumentError when a size leaves 63 bits or an argument is out of range.
UPCONV_EXPORT std::int64_t conv_transpose_output_length(std::int64_t n, std::int64_t kernel_size, std::int64_t stride,
                                                        Padding padding, std::optional<std::int64_t> output_padding,
                                                        std::int64_t dilation_rate);

/// The output_padding with which `input_size` becomes exactly `target_size` along one axis: nullopt in `value` means that
/// output_padding=None already does it; an empty result means that no output_padding in [0, stride) does.
struct UPCONV_EXPORT OutputPaddingAnswer {
  bool possible = false;
  std::optional<std::int64_t> value = {};
};
UPCONV_EXPORT OutputPaddingAnswer output_padding_for(std::int64_t input_size, std::int64_t target_size,
                                                     std::int64_t kernel_size, std::int64_t stride, Padding padding,
                                                     std::int64_t dilation_rate = 1);

/// y = conv2d_transpose(x, kernel) + bias.
/// x: (n,h,w,ci) or (n,ci,h,w); kernel: (kh,kw,filters,ci), taken unpacked; bias: (filters,) or an empty view for none.
/// All of one dtype; half types are summed in float32 and rounded once. Throws ArgumentError. Thread-safe.
UPCONV_EXPORT Tensor conv_transpose(ConstTensorView x, ConstTensorView kernel, ConstTensorView bias,
                                    const ConvTransposeGeometry& geometry, const ExecutionOptions& options = {});

}  // namespace upconv
