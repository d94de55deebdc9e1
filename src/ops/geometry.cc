// SPDX-License-Identifier: Apache-2.0
#include "ops/geometry.h"

#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "upconv/error.h"

namespace upconv {

using base::checked_add;
using base::checked_mul;

static std::int64_t effective_kernel(std::int64_t k, std::int64_t d) {
  return checked_add(checked_mul(k - 1, d, "effective kernel size"), 1, "effective kernel size");
}

static void check_axis(std::int64_t n, std::int64_t k, std::int64_t s, std::optional<std::int64_t> output_padding,
                       std::int64_t d) {
  if (n < Shape::unknown || k < 1 || s < 1 || d < 1 || (output_padding && *output_padding < 0))
    throw ArgumentError("geometry", base::cat("A transposed convolution needs an input size >= 0, kernel size, stride and "
                                              "dilation > 0 and output_padding >= 0. Received: input size ", n,
                                              ", kernel_size ", k, ", stride ", s, ", dilation_rate ", d,
                                              ", output_padding ", output_padding ? std::to_string(*output_padding) : "None",
                                              "."));
}

std::int64_t conv_transpose_output_length(std::int64_t n, std::int64_t k, std::int64_t s, Padding padding,
                                          std::optional<std::int64_t> output_padding, std::int64_t d) {
  check_axis(n, k, s, output_padding, d);
  if (n == Shape::unknown) return Shape::unknown;
  if (padding == Padding::same && !output_padding) return checked_mul(n, s, "output size");
  const std::int64_t e = effective_kernel(k, d);
  const std::int64_t steps = checked_mul(n - 1, s, "output size");
  const std::int64_t tail = padding == Padding::same ? checked_add(e % 2, *output_padding, "output size")
                            : output_padding          ? checked_add(e, *output_padding, "output size")
                                                      : std::max(e, s);
  return std::max<std::int64_t>(checked_add(steps, tail, "output size"), 0);
}

OutputPaddingAnswer output_padding_for(std::int64_t input_size, std::int64_t target_size, std::int64_t kernel_size,
                                       std::int64_t stride, Padding padding, std::int64_t dilation_rate) {
  const auto reaches = [&](std::optional<std::int64_t> output_padding) {
    return conv_transpose_output_length(input_size, kernel_size, stride, padding, output_padding, dilation_rate) == target_size;
  };
  if (reaches(std::nullopt)) return {true, std::nullopt};
  const std::int64_t shortest = conv_transpose_output_length(input_size, kernel_size, stride, padding, 0, dilation_rate);
  const std::int64_t value = target_size - shortest;
  if (value >= 0 && value < stride && reaches(value)) return {true, value};
  return {};
}

Padding parse_padding(std::string_view text) {
  const std::string name = base::lower(text);
  if (name == "valid") return Padding::valid;
  if (name == "same") return Padding::same;
  throw ArgumentError("padding", base::cat("The `padding` argument must be one of 'valid', 'same'. Received: ",
                                           base::escaped(text)));
}

DataFormat parse_data_format(std::string_view text) {
  const std::string name = base::lower(text);
  if (name == "channels_last") return DataFormat::channels_last;
  if (name == "channels_first") return DataFormat::channels_first;
  throw ArgumentError("data_format",
                      base::cat("The `data_format` argument must be one of {'channels_first', 'channels_last'}. "
                                "Received: data_format=", base::escaped(text)));
}

std::string_view name_of(Padding padding) noexcept { return padding == Padding::same ? "same" : "valid"; }
std::string_view name_of(DataFormat format) noexcept {
  return format == DataFormat::channels_first ? "channels_first" : "channels_last";
}

namespace ops {

Axis make_axis(std::int64_t n, std::int64_t k, std::int64_t s, Padding padding, std::optional<std::int64_t> output_padding,
               std::int64_t d) {
  Axis axis{.n = n, .k = k, .s = s, .d = d, .o = 0, .crop = 0};
  axis.o = conv_transpose_output_length(n, k, s, padding, output_padding, d);
  const std::int64_t natural = n == 0 ? 0 : checked_add(checked_mul(n - 1, s), effective_kernel(k, d), "natural output size");
  if (padding == Padding::same) axis.crop = std::max<std::int64_t>(natural - axis.o, 0) / 2;
  return axis;
}

Geometry make_geometry(const Shape& input, const Shape& kernel, const ConvTransposeGeometry& o) {
  const bool last = o.data_format == DataFormat::channels_last;
  Geometry g;
  g.n = input[0], g.ci = input[last ? 3 : 1], g.co = kernel[2], g.data_format = o.data_format;
  std::optional<std::int64_t> op_h, op_w;
  if (o.output_padding) op_h = o.output_padding->h, op_w = o.output_padding->w;
  g.y = make_axis(input[last ? 1 : 2], kernel[0], o.strides.h, o.padding, op_h, o.dilation_rate.h);
  g.x = make_axis(input[last ? 2 : 3], kernel[1], o.strides.w, o.padding, op_w, o.dilation_rate.w);
  // Every later product of these sizes is at most 8 bytes times one of these three.
  checked_mul(output_shape(g).elements(), 8, "output size in bytes");
  checked_mul(input.elements(), 8, "input size in bytes");
  checked_mul(kernel.elements(), 8, "kernel size in bytes");
  return g;
}

Shape output_shape(const Geometry& g) {
  if (g.data_format == DataFormat::channels_last) return {g.n, g.y.o, g.x.o, g.co};
  return {g.n, g.co, g.y.o, g.x.o};
}

}  // namespace ops
}  // namespace upconv
