// SPDX-License-Identifier: Apache-2.0
// The bare operation of the public header: checks, one plan, one run with the kernel as it lies.
#include "ops/conv_transpose.h"

#include "base/text.h"
#include "upconv/error.h"

namespace upconv {

namespace {

void check(ConstTensorView x, ConstTensorView kernel, ConstTensorView bias, const ConvTransposeGeometry& o) {
  const auto wrong = [](const char* argument, const auto&... text) {
    throw ArgumentError(argument, base::cat("conv_transpose: ", text...));
  };
  if (x.shape.rank() != 4) wrong("x", "the input must have 4 dimensions. Received: x.shape=", x.shape.str());
  if (kernel.shape.rank() != 4) wrong("kernel", "the kernel must be (kh, kw, filters, channels). Received: kernel.shape=", kernel.shape.str());
  const std::int64_t channels = x.shape[o.data_format == DataFormat::channels_last ? 3 : 1];
  if (kernel.shape[3] != channels)
    wrong("kernel", "the kernel's last dimension must be the ", channels, " channels of the input. Received: x.shape=",
          x.shape.str(), ", kernel.shape=", kernel.shape.str());
  if (kernel.shape[0] < 1 || kernel.shape[1] < 1 || kernel.shape[2] < 1)
    wrong("kernel", "kernel size and filters must be > 0. Received: kernel.shape=", kernel.shape.str());
  if (bias.bytes && bias.shape != Shape{kernel.shape[2]})
    wrong("bias", "the bias must have shape (", kernel.shape[2], ",). Received: bias.shape=", bias.shape.str());
  if (kernel.dtype != x.dtype || (bias.bytes && bias.dtype != x.dtype))
    wrong("kernel", "input, kernel and bias must have one dtype. Received: ", name_of(x.dtype), ", ", name_of(kernel.dtype),
          bias.bytes ? ", " : "", bias.bytes ? name_of(bias.dtype) : "");
  const bool strided = o.strides.h > 1 || o.strides.w > 1, dilated = o.dilation_rate.h > 1 || o.dilation_rate.w > 1;
  if (strided && dilated)
    wrong("strides", "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=(", o.strides.h,
          ", ", o.strides.w, ") and dilation_rate=(", o.dilation_rate.h, ", ", o.dilation_rate.w, ")");
}

}  // namespace

Tensor conv_transpose(ConstTensorView x, ConstTensorView kernel, ConstTensorView bias, const ConvTransposeGeometry& geometry,
                      const ExecutionOptions& options) {
  check(x, kernel, bias, geometry);
  ops::Problem problem;
  problem.geometry = ops::make_geometry(x.shape, kernel.shape, geometry);
  problem.dtype = x.dtype;
  problem.has_bias = bias.bytes != nullptr;
  const auto plan = ops::ForwardPlan::make(problem, options, true);
  Tensor y = Tensor::uninitialized(ops::output_shape(problem.geometry), x.dtype);
  Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(plan->unpacked_workspace_bytes()) / 4 + 1});
  plan->run_unpacked(x.bytes, kernel.bytes, bias.bytes, y.bytes(), workspace.bytes());
  return y;
}

}  // namespace upconv
