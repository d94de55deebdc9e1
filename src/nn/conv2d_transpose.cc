// SPDX-License-Identifier: Apache-2.0
// The layer: validation in Keras's order and words, build, call, training.
//
// A call is planned once a shape and execution (PlanCache) and packs the kernel once a packing order; both live with the
// layer and are shared by threads. Packed kernels are dropped when a weight changes.
//
// An element-wise built-in activation is fused into the plan. Any other one runs behind it on the whole array: functions
// along an axis on the unrounded sums (float32 for the half types, rounded once at the end), layer objects and the caller's
// functions on the array in the compute dtype, as Keras hands it to them.
#include "upconv/conv2d_transpose.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <numeric>

#include "base/element.h"
#include "base/text.h"
#include "nn/activation_functions.h"
#include "nn/initial_value.h"
#include "nn/plan_cache.h"
#include "nn/tensor_sum.h"
#include "nn/tuple_argument.h"
#include "ops/conv_transpose.h"
#include "ops/elementwise.h"
#include "upconv/error.h"

namespace upconv {

namespace {

std::string tuple(Size2 s) { return base::cat("(", s.h, ", ", s.w, ")"); }
std::string as_given(Size2 s) { return s.h == s.w ? std::to_string(s.h) : tuple(s); }

void check_tuple(const char* name, Size2 value, std::int64_t least) { nn::check_tuple(name, value, least, as_given(value)); }

void check_output_padding(Size2 output_padding, Size2 strides) {
  const std::int64_t given[] = {output_padding.h, output_padding.w}, limit[] = {strides.h, strides.w};
  for (int axis = 0; axis < 2; ++axis)
    if (given[axis] >= limit[axis])
      throw ArgumentError("output_padding",
                          base::cat("`output_padding` must be strictly less than `strides` for all dimensions. At dimension ", axis,
                                    ", `output_padding` is ", given[axis], " but `strides` is ", limit[axis],
                                    ". Received: output_padding=", tuple(output_padding), ", strides=", tuple(strides)));
}

}  // namespace

struct Conv2DTranspose::Impl {
  std::int64_t filters;
  Size2 kernel_size;
  Conv2DTransposeOptions options;
  ConvTransposeGeometry geometry;
  mutable nn::PlanCache cache;

  Impl(std::int64_t filters, Size2 kernel_size, Conv2DTransposeOptions given)
      : filters(filters), kernel_size(kernel_size), options(std::move(given)) {
    Conv2DTransposeOptions& o = options;
    check_tuple("kernel_size", kernel_size, 1);
    check_tuple("strides", o.strides, 1);
    check_tuple("dilation_rate", o.dilation_rate, 1);
    geometry.padding = parse_padding(o.padding);
    if (o.output_padding) check_tuple("output_padding", *o.output_padding, 0);
    geometry.data_format = parse_data_format(o.data_format.empty() ? default_data_format() : o.data_format);
    if (filters <= 0)
      throw ArgumentError("filters", base::cat("Invalid value for argument `filters`. Expected a strictly positive value. Received "
                                               "filters=", filters, "."));
    if (o.output_padding) check_output_padding(*o.output_padding, o.strides);
    if (std::max(o.strides.h, o.strides.w) > 1 && std::max(o.dilation_rate.h, o.dilation_rate.w) > 1)
      throw ArgumentError("strides", base::cat("`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=",
                                               tuple(o.strides), " and dilation_rate=", tuple(o.dilation_rate)));
    geometry.strides = o.strides, geometry.output_padding = o.output_padding, geometry.dilation_rate = o.dilation_rate;
    o.padding = name_of(geometry.padding), o.data_format = name_of(geometry.data_format);
    if (!o.kernel_initializer) o.kernel_initializer = initializers::GlorotUniform{};
    if (!o.bias_initializer) o.bias_initializer = initializers::Zeros{};
  }

  std::size_t channel_axis() const noexcept { return geometry.data_format == DataFormat::channels_last ? 3 : 1; }
};

Conv2DTranspose::Conv2DTranspose(std::int64_t filters, Size2 kernel_size, Conv2DTransposeOptions options)
    : Layer(options.name, "conv2d_transpose", options.trainable,
            options.dtype.empty() ? DTypePolicy() : DTypePolicy(options.dtype)),
      impl_(std::make_unique<Impl>(filters, kernel_size, std::move(options))) {
  if (!impl_->options.input_shape) return;
  Shape with_batch{Shape::unknown};
  for (const std::int64_t dim : *impl_->options.input_shape) with_batch.push_back(dim);
  Layer::build(with_batch);
}

Conv2DTranspose::Conv2DTranspose(const Conv2DTranspose& other)
    : Layer(other), impl_(std::make_unique<Impl>(other.impl_->filters, other.impl_->kernel_size, other.impl_->options)) {}
Conv2DTranspose::Conv2DTranspose(Conv2DTranspose&& other) noexcept = default;
Conv2DTranspose::~Conv2DTranspose() = default;

std::int64_t Conv2DTranspose::filters() const noexcept { return impl_->filters; }
Size2 Conv2DTranspose::kernel_size() const noexcept { return impl_->kernel_size; }
const Conv2DTransposeOptions& Conv2DTranspose::options() const noexcept { return impl_->options; }
const Regularizer& Conv2DTranspose::activity_regularizer() const noexcept { return impl_->options.activity_regularizer; }
void Conv2DTranspose::drop_packed() const noexcept { impl_->cache.drop_packed([] {}); }
void Conv2DTranspose::rewrite(const std::function<void()>& write) { impl_->cache.drop_packed(write); }

const Tensor& Conv2DTranspose::kernel() const {
  if (!built_) throw StateError(base::cat("The layer '", name_, "' is not built, so it has no kernel yet. Call build(input_shape)."));
  return variables_[0].value;
}

const Tensor* Conv2DTranspose::bias() const {
  kernel();
  return impl_->options.use_bias ? &variables_[1].value : nullptr;
}

static void check_rank(const std::string& layer, const Shape& shape) {
  if (shape.rank() == 4) return;
  throw ArgumentError("inputs", base::cat("Input 0 with name 'None' of layer '", layer, "' is incompatible with the layer: expected ",
                                          shape.rank() < 4 ? "min_ndim=4" : "ndim=4", ", found ndim=", shape.rank(),
                                          ". Full shape received: ", shape.str()));
}

static void check_one_input(const std::string& layer, std::size_t count) {
  if (count != 1)
    throw ArgumentError("inputs", base::cat("Layer \"", layer, "\" expects 1 input(s), but it received ", count, " input tensors."));
}

void Conv2DTranspose::build(std::span<const Shape> input_shapes) {
  check_one_input(name_, input_shapes.size());
  const Shape& shape = input_shapes.front();
  check_rank(name_, shape);
  if (built_)
    throw ArgumentError("input_shape", "You cannot add new elements of state (variables or sub-layers) to a layer that is already "
                                       "built. All state must be created in the `__init__()` method or in the `build()` method.");
  const std::int64_t channels = shape[impl_->channel_axis()];
  const Shape kernel_shape{impl_->kernel_size.h, impl_->kernel_size.w, impl_->filters, channels};
  if (channels == Shape::unknown)
    throw ArgumentError("input_shape", base::cat("Shapes used to initialize variables must be fully-defined (no `None` dimensions). "
                                                 "Received: shape=", kernel_shape.str(), " for variable path='", name_, "/kernel'"));
  const Conv2DTransposeOptions& o = impl_->options;
  const DType dtype = dtype_policy_.variable_dtype;
  std::vector<Variable> variables;
  variables.push_back({"kernel", name_ + "/kernel", nn::initial_value(o.kernel_initializer, kernel_shape, dtype), true, o.kernel_regularizer,
                       o.kernel_constraint});
  if (o.use_bias)
    variables.push_back({"bias", name_ + "/bias", nn::initial_value(o.bias_initializer, {impl_->filters}, dtype), true, o.bias_regularizer,
                         o.bias_constraint});
  variables_ = std::move(variables);
  built_input_shape_ = shape;
  built_ = true;
}

Shape Conv2DTranspose::compute_output_shape(std::span<const Shape> input_shapes) const {
  check_one_input(name_, input_shapes.size());
  const Shape& in = input_shapes.front();
  check_rank(name_, in);
  const bool last = impl_->geometry.data_format == DataFormat::channels_last;
  const ConvTransposeGeometry& g = impl_->geometry;
  std::optional<std::int64_t> op_h, op_w;
  if (g.output_padding) op_h = g.output_padding->h, op_w = g.output_padding->w;
  const std::int64_t oh = conv_transpose_output_length(in[last ? 1 : 2], impl_->kernel_size.h, g.strides.h, g.padding, op_h, g.dilation_rate.h);
  const std::int64_t ow = conv_transpose_output_length(in[last ? 2 : 3], impl_->kernel_size.w, g.strides.w, g.padding, op_w, g.dilation_rate.w);
  const Shape out = last ? Shape{in[0], oh, ow, impl_->filters} : Shape{in[0], impl_->filters, oh, ow};
  return impl_->options.activation.function().output_shape(out);
}

/// What a call computes in: without autocast, the variables' own dtype.
static DType call_dtype(const Conv2DTranspose& layer) {
  return layer.options().autocast ? layer.dtype_policy().compute_dtype : layer.dtype_policy().variable_dtype;
}

DType Conv2DTranspose::compute_output_dtype(DType) const {
  return impl_->options.activation.function().output_dtype(call_dtype(*this));
}

/// The activation as a plan can fuse it, or nullptr. A layer object of another dtype policy changes the dtype and cannot.
static const kernels::ActivationSpec* fused_activation(const Conv2DTranspose& layer) {
  const ActivationFunction& function = layer.options().activation.function();
  return function.output_dtype(call_dtype(layer)) == call_dtype(layer) ? function.fusable() : nullptr;
}

static void check_input_shape(const Conv2DTranspose& layer, const Shape& shape) {
  check_rank(layer.name(), shape);
  if (!layer.built())
    throw StateError(base::cat("The layer '", layer.name(), "' is not built and const: call build(input_shape) first."));
  const bool last = layer.options().data_format == name_of(DataFormat::channels_last);
  const std::int64_t channels = layer.kernel().shape()[3];
  if (shape[last ? 3 : 1] != channels)
    throw ArgumentError("inputs", base::cat("Input 0 with name 'None' of layer '", layer.name(), "' is incompatible with the layer: "
                                            "expected axis ", last ? -1 : 1, " of input shape to have value ", channels,
                                            ", but received input with shape ", shape.str()));
}

/// Checks an input of a call; the result is the input in the call's dtype, converted into `converted` where it must be.
static ConstTensorView checked_input(const Conv2DTranspose& layer, ConstTensorView x, Tensor& converted) {
  check_input_shape(layer, x.shape);
  const DType compute = call_dtype(layer);
  if (x.dtype == compute) return x;
  if (!layer.options().autocast)
    throw ArgumentError("inputs", base::cat("The layer '", layer.name(), "' computes in ", name_of(compute), " and autocast is off. "
                                            "Received an input of dtype ", name_of(x.dtype), "."));
  converted = Tensor::uninitialized(x.shape, compute);
  convert(x, converted);
  return converted;
}

/// Runs the convolution with the bias and `activation` (fusable) into `out`, whose dtype is the problem's.
static void run_plan(const Conv2DTranspose& layer, nn::PlanCache& cache, const ConvTransposeGeometry& geometry, ConstTensorView x,
                     const kernels::ActivationSpec& activation, TensorView out, const ExecutionOptions& execution) {
  const Tensor* bias = layer.bias();
  const nn::PlannedCall call = cache.get(x.shape, geometry, x.dtype, activation, layer.kernel(), bias, call_dtype(layer),
                                         execution);
  Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(call.plan->workspace_bytes() / sizeof(float)) + 1});
  call.plan->run(x.bytes, *call.packed, bias ? call.bias->bytes() : nullptr, out.bytes, workspace.bytes());
}

/// The sums before an activation that does not fuse: wide for functions along an axis, else in the compute dtype.
static Tensor unfused_sums(const Conv2DTranspose& layer, nn::PlanCache& cache, const ConvTransposeGeometry& geometry, ConstTensorView x,
                           const Shape& shape, const ExecutionOptions& execution) {
  const bool half = size_of(x.dtype) == 2;
  Tensor wide;
  if (half && nn::is_along_axes(layer.options().activation.function())) {
    wide = Tensor::uninitialized(x.shape, DType::float32);
    convert(x, wide);
    x = wide;
  }
  Tensor sums = Tensor::uninitialized(shape, x.dtype);
  run_plan(layer, cache, geometry, x, {}, sums, execution);
  return sums;
}

static Shape linear_output_shape(const ConvTransposeGeometry& geometry, const Shape& input, const Shape& kernel) {
  return ops::output_shape(ops::make_geometry(input, kernel, geometry));
}

void Conv2DTranspose::call_into(ConstTensorView x, TensorView out, const CallOptions& options) const {
  Tensor converted;
  x = checked_input(*this, x, converted);
  const Shape sums_shape = linear_output_shape(impl_->geometry, x.shape, kernel().shape());
  const ActivationFunction& function = impl_->options.activation.function();
  const Shape shape = function.output_shape(sums_shape);
  const DType dtype = compute_output_dtype(x.dtype);
  if (out.shape != shape || out.dtype != dtype)
    throw ArgumentError("out", base::cat("The output must have shape ", shape.str(), " and dtype ", name_of(dtype), ". Received: ",
                                         out.shape.str(), ", ", name_of(out.dtype), "."));
  if (const kernels::ActivationSpec* fused = fused_activation(*this))
    return run_plan(*this, impl_->cache, impl_->geometry, x, *fused, out, options.execution);
  const Tensor sums = unfused_sums(*this, impl_->cache, impl_->geometry, x, sums_shape, options.execution);
  if (sums.dtype() == x.dtype) return function.forward(sums, out);
  Tensor wide = Tensor::uninitialized(shape, sums.dtype());
  function.forward(sums, wide);
  convert(wide, out);
}

Tensor Conv2DTranspose::call(std::span<const ConstTensorView> inputs, const CallOptions& options) const {
  check_one_input(name_, inputs.size());
  check_rank(name_, inputs.front().shape);
  Tensor out = Tensor::uninitialized(Layer::compute_output_shape(inputs.front().shape), compute_output_dtype(inputs.front().dtype));
  call_into(inputs.front(), out, options);
  return out;
}

Tensor Conv2DTranspose::operator()(ConstTensorView x, const CallOptions& options) const { return call({&x, 1}, options); }
Tensor Conv2DTranspose::operator()(ConstTensorView x, const CallOptions& options) {
  build_once(x.shape);
  return call({&x, 1}, options);
}

/// The activity regulariser's loss: its penalty of the output / batch, in the output's dtype.
static double activity_term(const Regularizer& regularizer, const Tensor& y) {
  const std::int64_t batch = y.shape()[0];
  return batch == 0 ? 0.0 : base::rounded(regularizer->penalty(y) / static_cast<double>(batch), y.dtype());
}

std::vector<double> Conv2DTranspose::evaluate_losses(ConstTensorView x, const CallOptions& options) const {
  std::vector<double> all;
  if (const Regularizer& regularizer = activity_regularizer()) all.push_back(activity_term(regularizer, (*this)(x, options)));
  for (const double loss : losses()) all.push_back(loss);
  return all;
}

// ---------------------------------------------------------------------------------------------------------- training

namespace {

/// relu's slope can be read off its result, so its sums need not be kept.
bool keeps_result_only(const kernels::ActivationSpec* spec) {
  return spec && (spec->is_linear() || spec->is_relu());
}

struct TapeState {
  DType input_dtype;
  Tensor x;                                  // in the call's dtype
  Tensor sums;                               // before the activation; empty where the result says as much
  Shape y_shape;
  DType y_dtype;
  Tensor y;                                  // empty where nothing asks for it, or where relu's bits say enough
  std::vector<std::uint8_t> positive;        // relu: ops::relu_bits of y

  /// Without memory where y was not kept.
  ConstTensorView y_view() const { return y.elements() > 0 ? y.view() : ConstTensorView(nullptr, y_shape, y_dtype); }
};

/// What the way back needs of the result.
enum class Kept { nothing, bits, values };
Kept kept_of(const Conv2DTranspose& layer, DataFormat data_format, DType dtype) {
  const kernels::ActivationSpec* fused = fused_activation(layer);
  if (!fused || layer.activity_regularizer()) return Kept::values;
  if (!fused->is_relu()) return Kept::nothing;
  return data_format == DataFormat::channels_last && size_of(dtype) >= sizeof(float) ? Kept::bits : Kept::values;
}

/// Samples [first, first + count) of a tensor; an empty tensor stays one.
ConstTensorView samples(ConstTensorView t, std::int64_t first, std::int64_t count) {
  if (t.elements() == 0) return t;
  const std::size_t bytes = t.byte_size() / static_cast<std::size_t>(t.shape[0]);
  Shape shape = t.shape;
  shape[0] = count;
  if (!t.bytes) return {nullptr, shape, t.dtype};
  return {static_cast<const std::byte*>(t.bytes) + static_cast<std::size_t>(first) * bytes, shape, t.dtype};
}

/// A piece of a batch on its way back.
struct TapePiece {
  ConstTensorView x, sums, y, dy;
  const std::uint8_t* positive;              // null where y has values
};

/// The gradient of the sums before the activation; empty where that is dy itself. Fills `dbias` and empties the view where
/// that costs nothing on the way.
Tensor sums_gradient(const Conv2DTranspose& layer, const ops::Geometry& g, const TapePiece& piece, const CallOptions& options, TensorView& dbias) {
  const std::int64_t batch = piece.y.shape[0];
  Tensor total;                              // dy in y's dtype plus the activity term; empty where that is dy itself
  const Regularizer& regularizer = layer.activity_regularizer();
  if (piece.dy.dtype != piece.y.dtype || (regularizer && batch > 0)) total = Tensor::copy_of(piece.dy).cast(piece.y.dtype);
  if (regularizer && batch > 0) regularizer->add_gradient(piece.y, options.activity_scale / static_cast<double>(batch), total);
  const Activation& activation = layer.options().activation;
  const kernels::ActivationSpec* fused = fused_activation(layer);
  if (fused && fused->is_linear()) return total;
  const ConstTensorView sum = total.elements() > 0 ? total.view() : piece.dy;
  if (piece.positive) {
    Tensor dsums = Tensor::uninitialized(piece.y.shape, piece.y.dtype);
    ops::relu_bias_gradient(g, piece.positive, sum, dsums, std::exchange(dbias, {}).bytes, options.execution);
    return dsums;
  }
  const ConstTensorView known = keeps_result_only(fused) ? piece.y : piece.sums;
  if (fused && known.dtype == sum.dtype) {
    Tensor dsums = Tensor::uninitialized(known.shape, known.dtype);
    ops::activation_bias_gradient(g, *fused, known, sum, dsums, std::exchange(dbias, {}).bytes, options.execution);
    return dsums;
  }
  if (piece.sums.elements() == 0 || piece.sums.dtype == piece.x.dtype) return activation.backward(piece.sums, piece.y, sum);
  const DType wide = piece.sums.dtype;
  return activation.backward(piece.sums, Tensor::copy_of(piece.y).cast(wide), Tensor::copy_of(sum).cast(wide)).cast(piece.x.dtype);
}

}  // namespace

std::pair<Tensor, Tape> Conv2DTranspose::forward(Tensor x, const CallOptions& options) const {
  std::vector<Tensor> inputs;
  inputs.push_back(std::move(x));
  return forward(std::move(inputs), options);
}

std::pair<Tensor, Tape> Conv2DTranspose::forward(std::vector<Tensor> inputs, const CallOptions& options) const {
  check_one_input(name_, inputs.size());
  Tensor converted;
  const ConstTensorView x = checked_input(*this, inputs.front(), converted);
  TapeState state;
  state.input_dtype = inputs.front().dtype();
  Tensor y;
  if (keeps_result_only(fused_activation(*this))) {
    y = call({&x, 1}, options);
  } else {
    state.sums = unfused_sums(*this, impl_->cache, impl_->geometry, x, linear_output_shape(impl_->geometry, x.shape, kernel().shape()),
                              options.execution);
    if (const kernels::ActivationSpec* fused = fused_activation(*this)) {
      y = Tensor::uninitialized(state.sums.shape(), state.sums.dtype());
      ops::activate(*fused, state.sums, y, options.execution);
    } else {
      y = impl_->options.activation(state.sums);
    }
    if (state.sums.dtype() != x.dtype) y = y.cast(x.dtype);
  }
  state.x = inputs.front().dtype() == x.dtype ? std::move(inputs.front()) : std::move(converted);
  state.y_shape = y.shape(), state.y_dtype = y.dtype();
  const Kept kept = kept_of(*this, impl_->geometry.data_format, y.dtype());
  if (kept == Kept::values) state.y = y;
  if (kept == Kept::bits)
    state.positive = ops::relu_bits(ops::make_geometry(state.x.shape(), kernel().shape(), impl_->geometry), y, options.execution);
  Tape tape(std::move(state));
  if (const Regularizer& regularizer = activity_regularizer()) {
    tape.activity_loss = activity_term(regularizer, y);
    tape.has_activity_loss = true;
  }
  return {std::move(y), std::move(tape)};
}

Gradients Conv2DTranspose::backward(ConstTensorView dy, const Tape& tape, const CallOptions& options) const {
  if (tape.empty()) throw ArgumentError("tape", base::cat("The tape of layer '", name_, "' is empty: it comes from forward()."));
  const TapeState& state = tape.as<TapeState>();
  if (dy.shape != state.y_shape)
    throw ArgumentError("dy", base::cat("The gradient must have the shape of the output, ", state.y_shape.str(), ". Received: ",
                                        dy.shape.str(), "."));
  const DType compute = state.x.dtype(), variable = dtype_policy_.variable_dtype;
  const std::int64_t batch = state.x.shape()[0];
  const std::vector<std::int64_t> pieces = options.pieces.empty() ? std::vector{batch} : options.pieces;
  if (std::accumulate(pieces.begin(), pieces.end(), std::int64_t{0}) != batch)
    throw ArgumentError("pieces", base::cat("The pieces of a batch of ", batch, " samples must add up to it."));
  const auto geometry = [&](const ConstTensorView& x) { return ops::make_geometry(x.shape, kernel().shape(), impl_->geometry); };
  const auto as_variable = [&](Tensor&& gradient) { return compute == variable ? std::move(gradient) : gradient.cast(variable); };
  const Tensor cast_kernel = kernel().dtype() == compute ? Tensor() : kernel().cast(compute);
  const void* const kernel_bytes = (cast_kernel.elements() > 0 ? cast_kernel : kernel()).bytes();
  Gradients gradients;
  gradients.inputs.push_back(options.input_gradient ? Tensor::uninitialized(state.x.shape(), compute) : Tensor());
  // dX of several pieces is one call on the gradient of all sums, so that the kernel is packed once.
  const bool together = pieces.size() > 1 && options.input_gradient;
  Tensor whole = together ? Tensor::uninitialized(state.y_shape, compute) : Tensor();
  nn::TreeSum dkernels(options.execution), dbiases(options.execution);
  std::int64_t first = 0;
  for (const std::int64_t count : pieces) {
    TapePiece piece{samples(state.x, first, count), samples(state.sums, first, count), samples(state.y_view(), first, count), samples(dy, first, count), nullptr};
    const bool wanted = trainable_ && (count > 0 || pieces.size() == 1);
    const ops::Geometry g = geometry(piece.x);
    if (!state.positive.empty()) piece.positive = state.positive.data() + first * ops::relu_sample_bytes(g);
    Tensor dkernel = wanted ? Tensor::uninitialized(kernel().shape(), compute) : Tensor();
    Tensor dbias = wanted && bias() ? Tensor::uninitialized(bias()->shape(), compute) : Tensor();
    TensorView open_dbias = dbias.elements() > 0 ? dbias.view() : TensorView{};
    const Tensor dsums = sums_gradient(*this, g, piece, options, open_dbias);
    const ConstTensorView view = dsums.elements() > 0 ? dsums.view() : piece.dy;
    void* const dx = options.input_gradient && !together ? gradients.inputs[0].bytes() : nullptr;
    if (wanted || dx)
      ops::conv_transpose_gradients(g, compute, piece.x.bytes, kernel_bytes, view.bytes, {dx, wanted ? dkernel.bytes() : nullptr, open_dbias.bytes},
                                    options.execution);
    if (together && count > 0)
      std::memcpy(static_cast<std::byte*>(whole.bytes()) + static_cast<std::size_t>(first) * (whole.byte_size() / static_cast<std::size_t>(batch)), view.bytes, view.byte_size());
    dkernels.add(as_variable(std::move(dkernel))), dbiases.add(as_variable(std::move(dbias)));
    first += count;
  }
  if (together)
    ops::conv_transpose_gradients(geometry(state.x), compute, state.x.bytes(), kernel_bytes, whole.bytes(), {gradients.inputs[0].bytes(), nullptr, nullptr},
                                  options.execution);
  if (options.input_gradient && state.input_dtype != compute) gradients.inputs[0] = gradients.inputs[0].cast(state.input_dtype);
  gradients.weights.push_back(std::move(dkernels).finish());
  if (bias()) gradients.weights.push_back(std::move(dbiases).finish());
  return gradients;
}

// ---------------------------------------------------------------------------------------------------------- plans

struct Conv2DTranspose::Plan::State {
  nn::PlannedCall call;
  Shape input_shape, output_shape;
  DType dtype;
};

Conv2DTranspose::Plan Conv2DTranspose::plan(const Shape& input_shape, const ExecutionOptions& options) const {
  check_input_shape(*this, input_shape);
  const kernels::ActivationSpec* fused = fused_activation(*this);
  if (!fused)
    throw ArgumentError("activation", base::cat("A plan needs an element-wise activation of the library. The layer '", name_, "' has '",
                                                impl_->options.activation.name(), "'."));
  auto state = std::make_shared<Plan::State>();
  state->call = impl_->cache.get(input_shape, impl_->geometry, call_dtype(*this), *fused, kernel(), bias(), call_dtype(*this),
                                 options);
  state->input_shape = input_shape, state->output_shape = Layer::compute_output_shape(input_shape), state->dtype = call_dtype(*this);
  Plan plan;
  plan.state_ = std::move(state);
  return plan;
}

static void check_planned(const char* what, const ConstTensorView& view, const Shape& shape, DType dtype) {
  if (view.shape != shape || view.dtype != dtype)
    throw ArgumentError(what, base::cat("The plan is for ", what, " of shape ", shape.str(), " and dtype ", name_of(dtype), ". Received: shape=", view.shape.str(),
                                        ", dtype=", name_of(view.dtype)));
}

void Conv2DTranspose::Plan::run(ConstTensorView x, TensorView out, std::span<std::byte> workspace) const {
  const nn::PlannedCall& call = state_->call;
  check_planned("x", x, state_->input_shape, state_->dtype);
  check_planned("out", out, state_->output_shape, state_->dtype);
  if (workspace.size() < workspace_bytes() || reinterpret_cast<std::uintptr_t>(workspace.data()) % 64 != 0)
    throw ArgumentError("workspace", base::cat("The plan needs a workspace of ", workspace_bytes(), " bytes that begins on a multiple of 64. Received: ",
                                               workspace.size(), " bytes at ", workspace.data()));
  call.plan->run(x.bytes, *call.packed, call.bias ? call.bias->bytes() : nullptr, out.bytes, workspace.data());
}
std::size_t Conv2DTranspose::Plan::workspace_bytes() const noexcept { return state_->call.plan->workspace_bytes(); }
const std::string& Conv2DTranspose::Plan::algorithm() const noexcept { return state_->call.plan->algorithm(); }
const std::string& Conv2DTranspose::Plan::reason() const noexcept { return state_->call.plan->reason(); }
std::size_t Conv2DTranspose::Plan::packed_bytes() const noexcept { return state_->call.packed->bytes(); }
const Shape& Conv2DTranspose::Plan::output_shape() const noexcept { return state_->output_shape; }

}  // namespace upconv
