// SPDX-License-Identifier: Apache-2.0
#include "bench_passes.h"

#include <algorithm>
#include <memory>

#include "base/text.h"
#include "ops/conv_transpose.h"

namespace upconv::cli {
namespace {

/// Numbers without structure, the same on every machine.
Tensor noise(const Shape& shape, DType dtype) {
  Tensor t(shape);
  std::uint32_t state = 1;
  for (float& v : t.span<float>()) {
    state = state * 1664525u + 1013904223u;
    v = static_cast<float>(state >> 8) * 0x1p-23f - 1;
  }
  return dtype == DType::float32 ? std::move(t) : t.cast(dtype);
}

std::vector<BenchPass> forward(const Conv2DTranspose& layer, const Tensor& x, const std::vector<ExecutionOptions>& choices) {
  std::vector<Conv2DTranspose::Plan> plans;
  std::size_t most = 0;
  for (const ExecutionOptions& options : choices) {
    plans.push_back(layer.plan(x.shape(), options));
    most = std::max(most, plans.back().workspace_bytes());
  }
  const auto y = std::make_shared<Tensor>(layer.compute_output_shape(x.shape()), x.dtype());
  const auto workspace = std::make_shared<Tensor>(Shape{static_cast<std::int64_t>(most) / 4 + 1});
  std::vector<BenchPass> passes;
  for (const Conv2DTranspose::Plan& plan : plans)
    passes.push_back({[=] { plan.run(x, *y, std::as_writable_bytes(workspace->span<float>())); }, plan.algorithm(), plan.reason(), 1, 0});
  return passes;
}

ops::Geometry geometry_of(const Conv2DTranspose& layer, const Shape& input) {
  const Conv2DTransposeOptions& o = layer.options();
  return ops::make_geometry(input, layer.kernel().shape(), {.strides = o.strides, .padding = parse_padding(o.padding)});
}

BenchPass gradient(bool of_input, const Conv2DTranspose& layer, const Tensor& x, const Shape& output, const ExecutionOptions& options) {
  const ops::Geometry g = geometry_of(layer, x.shape());
  const Tensor kernel = layer.kernel().cast(x.dtype()), dy = noise(output, x.dtype());
  const auto result = std::make_shared<Tensor>(of_input ? x.shape() : kernel.shape(), x.dtype());
  ops::GradientOutputs outputs;
  (of_input ? outputs.input : outputs.kernel) = result->bytes();
  return {[=] {
            (void)result;
            ops::conv_transpose_gradients(g, x.dtype(), x.bytes(), kernel.bytes(), dy.bytes(), outputs, options);
          },
          ops::gradient_algorithm(g, x.dtype(), of_input ? ops::GradientOf::input : ops::GradientOf::kernel, options), "", 1, 0};
}

BenchPass train(const Conv2DTranspose& layer, const Tensor& x, const Shape& output, const ExecutionOptions& options) {
  const Tensor dy = noise(output, x.dtype());
  const auto own = std::make_shared<Conv2DTranspose>(layer);
  const ops::Geometry g = geometry_of(layer, x.shape());
  const auto gradient = [&](ops::GradientOf of) { return ops::gradient_algorithm(g, x.dtype(), of, options); };
  return {[=] {
            const auto [y, tape] = own->forward(x, {.execution = options});
            own->backward(dy, tape, {.execution = options});
          },
          base::cat(layer.plan(x.shape(), options).algorithm(), ", ", gradient(ops::GradientOf::input), ", ", gradient(ops::GradientOf::kernel)),
          "", 3, 0};
}

}  // namespace

std::vector<BenchPass> bench_passes(const std::string& pass, const Conv2DTranspose& layer, const Shape& input, DType dtype,
                                    const std::vector<ExecutionOptions>& choices) {
  const Tensor x = noise(input, dtype);
  const Shape output = layer.compute_output_shape(input);
  std::vector<BenchPass> passes;
  if (pass == "forward") {
    passes = forward(layer, x, choices);
  } else {
    for (const ExecutionOptions& options : choices)
      passes.push_back(pass == "train" ? train(layer, x, output, options) : gradient(pass == "dx", layer, x, output, options));
  }
  for (BenchPass& made : passes)
    made.bytes = static_cast<double>(size_of(dtype)) * static_cast<double>(input.elements() + layer.kernel().elements() + output.elements());
  return passes;
}

}  // namespace upconv::cli
