// SPDX-License-Identifier: Apache-2.0
// What every layer shares: its name, its variables and the texts about them.
#include "upconv/layer.h"

#include "base/text.h"
#include "nn/names.h"
#include "upconv/error.h"

namespace upconv {

namespace {

/// What a kernel of another library looks like beside the (kh, kw, filters, channels) that is wanted; "" when unlike.
std::string layout_hint(const Shape& wanted, const Shape& given) {
  if (wanted.rank() != 4 || given.rank() != 4) return {};
  if (given == Shape{wanted[0], wanted[1], wanted[3], wanted[2]})
    return " The given shape is that of a Conv2D kernel, (kh, kw, in, out): exchange its last two axes.";
  if (given == Shape{wanted[3], wanted[2], wanted[0], wanted[1]})
    return " The given shape is that of a torch ConvTranspose2d weight, (in, out, kh, kw): permute its axes to (2, 3, 1, 0).";
  return {};
}

}  // namespace

Layer::Layer(std::string name, std::string_view default_prefix, bool trainable, DTypePolicy policy)
    : name_(name.empty() ? nn::next_name(default_prefix) : std::move(name)),
      trainable_(trainable),
      dtype_policy_(std::move(policy)) {
  nn::check_name(name_);
}

Layer::~Layer() = default;

void Layer::set_trainable(bool trainable) { trainable_ = trainable; }

void Layer::build(const Shape& input_shape) {
  const std::lock_guard lock(built_.mutex);
  build(std::span(&input_shape, 1));
}

void Layer::build_once(std::span<const Shape> input_shapes) {
  if (built_) return;
  const std::lock_guard lock(built_.mutex);
  if (!built_) build(input_shapes);
}

DType Layer::compute_output_dtype(DType) const { return dtype_policy_.compute_dtype; }

std::vector<Tensor> Layer::get_weights() const {
  std::vector<Tensor> weights;
  for (const Variable& variable : variables()) weights.push_back(variable.value);
  return weights;
}

void Layer::set_weights(std::span<const Tensor> weights) {
  if (weights.size() != variables().size())
    throw ArgumentError("weights", base::cat("You called `set_weights(weights)` on layer '", name_,
                                             "' with a weight list of length ", weights.size(),
                                             ", but the layer was expecting ", variables().size(), " weights."));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Tensor& present = variables_[i].value;
    if (weights[i].shape() != present.shape())
      throw ArgumentError("weights", base::cat("Layer ", name_, " weight shape ", present.shape().str(),
                                               " is not compatible with provided weight shape ", weights[i].shape().str(), ".",
                                               layout_hint(present.shape(), weights[i].shape())));
  }
  rewrite([&] {
    for (std::size_t i = 0; i < weights.size(); ++i) convert(weights[i], variables_[i].value);
  });
}

static Variable& checked(std::span<Variable> variables, std::size_t index, const std::string& layer) {
  if (index >= variables.size())
    throw ArgumentError("index", base::cat("Layer '", layer, "' has ", variables.size(), " weights. Received: index=", index));
  return variables[index];
}

void Layer::assign(std::size_t index, ConstTensorView value) {
  Variable& variable = checked(variables_, index, name_);
  if (value.shape != variable.value.shape())
    throw ArgumentError("value", base::cat("The shape of the target variable and the shape of the target value in "
                                           "`variable.assign(value)` must match. variable.shape=", variable.value.shape().str(),
                                           ", Received: value.shape=", value.shape.str(), ". Target variable: ", variable.path,
                                           layout_hint(variable.value.shape(), value.shape)));
  rewrite([&] { convert(value, variable.value); });
}

void Layer::update(std::size_t index, const std::function<void(TensorView)>& write) {
  Variable& variable = checked(variables_, index, name_);
  rewrite([&] { write(variable.value); });
}

std::int64_t Layer::count_params() const {
  if (!built_)
    throw StateError(base::cat("You tried to call `count_params` on layer '", name_,
                               "', but the layer isn't built. You can build it manually via: `layer.build(input_shape)`."));
  std::int64_t count = 0;
  for (const Variable& variable : variables()) count += variable.value.elements();
  return count;
}

std::vector<double> Layer::losses() const {
  std::vector<double> losses;
  if (!trainable_) return losses;
  for (const Variable& variable : variables())
    if (variable.trainable && variable.regularizer) losses.push_back(variable.regularizer->penalty(variable.value));
  return losses;
}

const Regularizer& Layer::activity_regularizer() const noexcept {
  static const Regularizer none;
  return none;
}

Config Layer::base_config() const {
  return Config::dict({{"name", name_}, {"trainable", trainable_}, {"dtype", dtype_policy_.config()}});
}

Config Layer::serialize() const {
  Config serialized = Config::dict({{"module", "keras.layers"},
                                    {"class_name", class_name()},
                                    {"config", get_config()},
                                    {"registered_name", nullptr}});
  if (built_ && built_input_shape_.rank() > 0) {
    Config::List dims;
    for (const std::int64_t dim : built_input_shape_) {
      dims.emplace_back();
      if (dim != Shape::unknown) dims.back() = dim;
    }
    serialized.set("build_config", Config::dict({{"input_shape", std::move(dims)}}));
  }
  return serialized;
}

}  // namespace upconv
