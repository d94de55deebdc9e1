// SPDX-License-Identifier: Apache-2.0
// `upconv explain`: what a Conv2DTranspose does with an input, before there is a model: sizes, crop, overlap, algorithm.
#include <algorithm>
#include <iostream>
#include <memory>

#include "base/text.h"
#include "command.h"
#include "io/explain_svg.h"
#include "ops/conv_transpose.h"
#include "output.h"
#include "text.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"

namespace upconv::cli {
namespace {

constexpr const char* kDescription = R"(Show what a Conv2DTranspose layer makes of an input: sizes, crop, taps, overlap, algorithm.

  upconv explain --input 10x8x128 --filters 32 --kernel 2 --strides 2
  upconv explain --input 7x7x64 --filters 32 --kernel 3 --strides 2 --padding same --target 13x13
  upconv explain --input 4x4x1 --filters 1 --kernel 3 --strides 2 --padding same --svg picture.svg)";

constexpr std::int64_t kLargestKernel = 1 << 20;

struct Options {
  std::string input, kernel = "1", strides = "1", padding = "valid", output_padding, data_format = "channels_last";
  std::string dilation = "1", dtype = "float32", math = "fast", algorithm, target, svg;
  std::int64_t filters = 1;
  bool no_bias = false;
};

struct Case {
  ConvTransposeGeometry geometry;
  ops::Problem problem;
};

Case make_case(const Options& o) {
  std::vector<std::int64_t> input = parse_sizes(o.input, "input");
  if (input.size() == 3) input.insert(input.begin(), 1);
  if (input.size() != 4)
    throw ArgumentError("input", base::cat("--input takes height x width x channels (channels x height x width for "
                                           "channels_first), a batch before it if wanted. Received: ", base::escaped(o.input)));
  for (const std::int64_t size : input)
    if (size < 0) throw ArgumentError("input", base::cat("--input sizes must be >= 0. Received: ", base::escaped(o.input)));
  Case c;
  const Size2 kernel = parse_size2(o.kernel, "kernel");
  if (kernel.h > kLargestKernel || kernel.w > kLargestKernel || kernel.h * kernel.w > kLargestKernel)
    throw ArgumentError("kernel", base::cat("explain takes kernels of at most ", kLargestKernel, " elements. Received: ", base::escaped(o.kernel)));
  c.geometry.strides = parse_size2(o.strides, "strides");
  c.geometry.padding = parse_padding(o.padding);
  c.geometry.dilation_rate = parse_size2(o.dilation, "dilation");
  c.geometry.data_format = parse_data_format(o.data_format);
  if (!o.output_padding.empty()) c.geometry.output_padding = parse_size2(o.output_padding, "output-padding");
  const Conv2DTranspose checks_the_arguments(o.filters, kernel, {.strides = c.geometry.strides, .padding = o.padding,
      .output_padding = c.geometry.output_padding, .data_format = o.data_format, .dilation_rate = c.geometry.dilation_rate,
      .name = "explained", .dtype = o.dtype});
  const std::int64_t channels = input[c.geometry.data_format == DataFormat::channels_first ? 1 : 3];
  c.problem.geometry = ops::make_geometry(Shape(input), {kernel.h, kernel.w, o.filters, channels}, c.geometry);
  c.problem.dtype = parse_dtype(o.dtype);
  c.problem.has_bias = !o.no_bias;
  return c;
}

std::int64_t natural(const ops::Axis& a) { return std::max<std::int64_t>((a.n - 1) * a.s + a.effective_kernel(), 0); }
std::int64_t cropped_right(const ops::Axis& a) { return std::max<std::int64_t>(natural(a) - a.crop - a.o, 0); }
std::int64_t unreached(const ops::Axis& a) { return std::clamp<std::int64_t>(a.o + a.crop - natural(a), 0, a.o); }

/// Products that fall inside the output along one axis.
double kept_products(const ops::Axis& a) {
  double kept = 0;
  for (std::int64_t j = 0; j < a.k; ++j) {
    const std::int64_t shift = j * a.d - a.crop;
    const std::int64_t first = shift >= 0 ? 0 : (-shift + a.s - 1) / a.s;
    const std::int64_t last = a.o - 1 - shift < 0 ? -1 : std::min(a.n - 1, (a.o - 1 - shift) / a.s);
    kept += static_cast<double>(std::max<std::int64_t>(last - first + 1, 0));
  }
  return kept;
}

std::string phase_text(const ops::Axis& a) {
  std::string text;
  for (std::int64_t p = 0; p < a.s && p < 16; ++p) text += (p ? " " : "") + std::to_string(io::taps_of_phase(a, p));
  return a.s > 16 ? text + " ..." : text;
}

std::string overlap_text(const ops::Axis& a) {
  constexpr std::int64_t shown = 24;
  std::string text;
  for (std::int64_t o = 0; o < std::min(a.o, shown); ++o) text += (o ? " " : "") + std::to_string(io::windows_over(a, o));
  return a.o > shown ? text + " ..." : text;
}

void print_sizes(const Case& c) {
  const ops::Geometry& g = c.problem.geometry;
  const auto pair = [](Size2 s) { return s.h == s.w ? std::to_string(s.h) : base::cat("(", s.h, ", ", s.w, ")"); };
  const ConvTransposeGeometry& o = c.geometry;
  std::cout << "Conv2DTranspose(" << g.co << ", " << pair({g.y.k, g.x.k}) << ", strides=" << pair(o.strides) << ", padding=\""
            << name_of(o.padding) << '"';
  if (o.output_padding) std::cout << ", output_padding=" << pair(*o.output_padding);
  if (o.data_format == DataFormat::channels_first) std::cout << ", data_format=\"channels_first\"";
  if (!(o.dilation_rate == Size2(1))) std::cout << ", dilation_rate=" << pair(o.dilation_rate);
  const Shape input = o.data_format == DataFormat::channels_first ? Shape{g.n, g.ci, g.y.n, g.x.n} : Shape{g.n, g.y.n, g.x.n, g.ci};
  const std::int64_t biases = c.problem.has_bias ? g.co : 0;
  const double kept = static_cast<double>(g.n) * static_cast<double>(g.ci) * static_cast<double>(g.co) *
                      kept_products(g.y) * kept_products(g.x);
  std::cout << (c.problem.has_bias ? "" : ", use_bias=False") << ")\n\n"
            << "input   " << input.str() << "\n"
            << "kernel  " << Shape{g.y.k, g.x.k, g.co, g.ci}.str() << ": " << grouped(g.kernel_elements()) << " weights, "
            << grouped(biases) << " biases\n"
            << "output  " << ops::output_shape(g).str() << ": " << bytes_text(static_cast<double>(g.output_elements()) *
                                                   static_cast<double>(size_of(c.problem.dtype))) << " of " << name_of(c.problem.dtype) << "\n"
            << "work    " << readable(kept) << " multiply-adds\n\n";
}

void print_axes(const Case& c) {
  const ops::Axis axes[] = {c.problem.geometry.y, c.problem.geometry.x};
  Table table({"", "height", "width", ""}, "0110");
  const auto row = [&](const char* name, auto value, const std::string& rule = "") {
    table.add({name, base::cat(value(axes[0])), base::cat(value(axes[1])), rule});
  };
  const bool same = c.geometry.padding == Padding::same;
  const std::string size_rule = c.geometry.output_padding ? (same ? "(n-1)*s + e%2 + output_padding" : "(n-1)*s + e + output_padding")
                                                          : (same ? "n*s" : "(n-1)*s + max(e, s)");
  row("input", [](auto& a) { return a.n; }, "n");
  row("kernel size", [](auto& a) { return a.k; }, "k");
  row("stride", [](auto& a) { return a.s; }, "s");
  row("dilation", [](auto& a) { return a.d; }, "d");
  row("effective kernel", [](auto& a) { return a.effective_kernel(); }, "e = (k-1)*d + 1");
  row("natural size", natural, "(n-1)*s + e: where the kernel windows reach");
  row("output", [](auto& a) { return a.o; }, std::string(name_of(c.geometry.padding)) + ": " + size_rule);
  row("cropped left", [](auto& a) { return a.crop; }, same ? "max(natural - output, 0) / 2, rounded down" : "always 0 for valid");
  row("cropped right", cropped_right, "the rest");
  row("beyond the windows", unreached, "cells at the end that no input reaches: activation(bias)");
  row("taps per phase", phase_text, "kernel elements that reach output cell p, p+1, ... of each stride");
  std::cout << table.str() << "\n";
}

void print_overlap(const ops::Geometry& g) {
  std::cout << "Kernel windows over each output row:    " << overlap_text(g.y) << "\n"
            << "Kernel windows over each output column: " << overlap_text(g.x) << "\n";
  const std::string warning = io::checkerboard_warning(g.y, g.x);
  std::cout << (warning.empty() ? "Every inner cell is reached by equally many kernel elements: no checkerboard.\n" : warning + "\n");
}

void print_target(const Case& c, const std::string& text) {
  const Size2 target = parse_size2(text, "target");
  const auto axis = [&](const char* name, const ops::Axis& a, std::int64_t wanted) {
    const OutputPaddingAnswer answer = output_padding_for(a.n, wanted, a.k, a.s, c.geometry.padding, a.d);
    std::cout << "  " << name << " " << a.n << " -> " << wanted << ": ";
    if (answer.possible) {
      std::cout << "output_padding=" << (answer.value ? std::to_string(*answer.value) : "None") << "\n";
      return;
    }
    const auto size = [&](std::int64_t p) { return conv_transpose_output_length(a.n, a.k, a.s, c.geometry.padding, p, a.d); };
    std::cout << "no output_padding gives it; None gives "
              << conv_transpose_output_length(a.n, a.k, a.s, c.geometry.padding, std::nullopt, a.d) << ", 0 to " << a.s - 1
              << " give " << size(0) << " to " << size(a.s - 1) << "\n";
  };
  std::cout << "\nWanted output size " << target.h << " x " << target.w << "\n";
  axis("height", c.problem.geometry.y, target.h);
  axis("width", c.problem.geometry.x, target.w);
}

void print_plan(const Case& c, const Options& o) {
  ExecutionOptions execution;
  execution.math = parse_math(o.math);
  execution.algorithm = o.algorithm;
  const auto plan = ops::ForwardPlan::make(c.problem, execution);
  std::cout << "\nAlgorithm " << plan->algorithm() << ": " << plan->reason() << "\n"
            << "Workspace " << bytes_text(static_cast<double>(plan->workspace_bytes())) << "; possible here: "
            << base::join(ops::applicable_algorithms(c.problem, execution.math), ", ") << "\n";
}

void explain(const Options& o) {
  const Case c = make_case(o);
  print_sizes(c);
  print_axes(c);
  print_overlap(c.problem.geometry);
  if (!o.target.empty()) print_target(c, o.target);
  print_plan(c, o);
  if (o.svg.empty()) return;
  write_file(o.svg, io::explain_svg(c.problem.geometry.y, c.problem.geometry.x, c.geometry.padding));
  std::cout << "\nPicture written to " << o.svg << "\n";
}

}  // namespace

Math parse_math(const std::string& text) {
  if (text == "fast") return Math::fast;
  if (text == "exact") return Math::exact;
  throw ArgumentError("math", base::cat("--math takes fast or exact. Received: ", base::escaped(text)));
}

Command add_explain(CLI::App& root) {
  CLI::App* app = root.add_subcommand("explain", kDescription);
  const auto o = std::make_shared<Options>();
  app->add_option("--input", o->input, "Input size: HxWxC, or NxHxWxC (CxHxW for channels_first)")->required();
  app->add_option("--filters", o->filters, "Output channels")->capture_default_str();
  app->add_option("--kernel", o->kernel, "Kernel size: 3, or height x width: 3x5")->required();
  app->add_option("--strides", o->strides, "Strides")->capture_default_str();
  app->add_option("--padding", o->padding, "valid or same")->capture_default_str();
  app->add_option("--output-padding", o->output_padding, "output_padding (default: None, which is not 0)");
  app->add_option("--data-format", o->data_format, "channels_last or channels_first")->capture_default_str();
  app->add_option("--dilation", o->dilation, "Dilation rate")->capture_default_str();
  app->add_flag("--no-bias", o->no_bias, "use_bias=False");
  app->add_option("--target", o->target, "A wanted output size, HxW: which output_padding reaches it?");
  app->add_option("--dtype", o->dtype, "float32, float64, float16 or bfloat16")->capture_default_str();
  app->add_option("--math", o->math, "fast or exact")->capture_default_str();
  app->add_option("--algorithm", o->algorithm, "Force an algorithm (default: the plan chooses)");
  app->add_option("--svg", o->svg, "Draw the operation into this file");
  return {app, [o] { explain(*o); }};
}

}  // namespace upconv::cli
