// SPDX-License-Identifier: Apache-2.0
#include "nn/stateless_layers.h"

#include <algorithm>

#include "base/text.h"
#include "nn/activation_functions.h"
#include "nn/names.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"
#include "upconv/model.h"

namespace upconv {

namespace nn {

UPCONV_EXPORT Config shape_config(const Shape& shape) {
  Config::List dims;
  for (const std::int64_t dim : shape) dims.push_back(dim == Shape::unknown ? Config() : Config(dim));
  return Config(std::move(dims));
}

UPCONV_EXPORT Shape shape_from_config(const Config& config) {
  Shape shape;
  for (const Config& dim : config.as_list()) {
    if (!dim.is_null() && (!dim.is_int() || dim.as_int() < 0))
      throw ArgumentError("shape", base::cat("A shape holds whole numbers >= 0 and None. Received: ", config.json()));
    shape.push_back(dim.is_null() ? Shape::unknown : dim.as_int());
  }
  return shape;
}

namespace {

void check_one(const std::string& layer, std::size_t count) {
  if (count != 1)
    throw ArgumentError("inputs", base::cat("Layer \"", layer, "\" expects 1 input(s), but it received ", count, " input tensors."));
}

/// In training these do something that is not built yet.
bool acts_in_training(std::string_view class_name) {
  return class_name == "Dropout" || class_name == "SpatialDropout2D" || class_name == "GaussianNoise" ||
         class_name == "GaussianDropout" || class_name == "AlphaDropout" || class_name == "ActivityRegularization";
}

}  // namespace

StatelessLayer::StatelessLayer(std::string class_name, std::shared_ptr<const ActivationFunction> function, std::string name,
                               bool trainable, DTypePolicy policy, Config config)
    : Layer(std::move(name), class_name, trainable, std::move(policy)), class_name_(std::move(class_name)),
      function_(std::move(function)), config_(std::move(config)) {}

void StatelessLayer::build(std::span<const Shape> input_shapes) {
  check_one(name_, input_shapes.size());
  built_input_shape_ = input_shapes.front();
  built_ = true;
}

Shape StatelessLayer::compute_output_shape(std::span<const Shape> input_shapes) const {
  check_one(name_, input_shapes.size());
  return function_ ? function_->output_shape(input_shapes.front()) : input_shapes.front();
}

Tensor StatelessLayer::call(std::span<const ConstTensorView> inputs, const CallOptions& options) const {
  check_one(name_, inputs.size());
  if (options.training && acts_in_training(class_name_))
    throw StateError(base::cat("The layer '", name_, "' of class ", class_name_, " can run at inference only."));
  Tensor x = Tensor::uninitialized(inputs.front().shape, dtype_policy_.compute_dtype);
  convert(inputs.front(), x);
  if (!function_) return x;
  Tensor y = Tensor::uninitialized(function_->output_shape(x.shape()), function_->output_dtype(x.dtype()));
  function_->forward(x, y);
  return y;
}

namespace {
struct StatelessState {
  Tensor x, y;
};
}  // namespace

std::pair<Tensor, Tape> StatelessLayer::forward(std::vector<Tensor> inputs, const CallOptions& options) const {
  check_one(name_, inputs.size());
  const ConstTensorView view = inputs.front();
  Tensor y = call({&view, 1}, options);
  if (!function_) return {std::move(y), Tape(StatelessState{})};
  Tensor kept = y;
  return {std::move(y), Tape(StatelessState{inputs.front().cast(dtype_policy_.compute_dtype), std::move(kept)})};
}

Gradients StatelessLayer::backward(ConstTensorView dy, const Tape& tape, const CallOptions&) const {
  Gradients gradients;
  if (!function_) {
    gradients.inputs.push_back(Tensor::copy_of(dy));
    return gradients;
  }
  const auto& state = tape.as<StatelessState>();
  Tensor dx = Tensor::uninitialized(state.x.shape(), state.x.dtype());
  function_->backward(state.x, state.y, dy, dx);
  gradients.inputs.push_back(std::move(dx));
  return gradients;
}

Config StatelessLayer::get_config() const {
  Config config = base_config();
  for (const auto& [key, value] : config_.as_dict())
    if (key != "name" && key != "trainable") config.set(key, value);
  if (class_name_ == "Activation" && !config_.find("activation")) config.set("activation", Activation(function_).config());
  return config;
}

InputLayer::InputLayer(std::string name, Shape batch_shape, DType dtype)
    : Layer(std::move(name), "input_layer", true, DTypePolicy(name_of(dtype))), batch_shape_(batch_shape), dtype_(dtype) {
  built_ = true;
}
void InputLayer::build(std::span<const Shape>) {}
Shape InputLayer::compute_output_shape(std::span<const Shape> input_shapes) const {
  check_one(name_, input_shapes.size());
  return input_shapes.front();
}
Tensor InputLayer::call(std::span<const ConstTensorView> inputs, const CallOptions&) const { return Tensor::copy_of(inputs.front()); }
std::pair<Tensor, Tape> InputLayer::forward(std::vector<Tensor> inputs, const CallOptions&) const {
  return {std::move(inputs.front()), Tape()};
}
Gradients InputLayer::backward(ConstTensorView, const Tape&, const CallOptions&) const { return {}; }
Config InputLayer::get_config() const {
  return Config::dict({{"batch_shape", shape_config(batch_shape_)}, {"dtype", name_of(dtype_)}, {"sparse", false}, {"ragged", false},
                       {"name", name_}, {"optional", false}});
}

namespace {

/// Layers that pass their input through at inference.
const std::vector<std::string>& identities() {
  static const std::vector<std::string> names = {"Dropout", "SpatialDropout2D", "GaussianNoise", "GaussianDropout", "AlphaDropout",
                                                 "ActivityRegularization", "Identity"};
  return names;
}

std::shared_ptr<Layer> input_layer(const Config& config) {
  const Config* shape = config.find("batch_shape");
  if (!shape) shape = config.find("batch_input_shape");                 // Keras 2
  if (!shape) throw ArgumentError("batch_shape", "An InputLayer needs a batch_shape.");
  const Config* dtype = config.find("dtype");
  const Config* name = config.find("name");
  return std::make_shared<InputLayer>(name ? name->as_string() : "", shape_from_config(*shape),
                                      dtype && !dtype->is_null() ? DTypePolicy::from_config(*dtype).compute_dtype : DType::float32);
}

std::shared_ptr<Layer> stateless(const std::string& class_name, const Config& config,
                                 std::shared_ptr<const ActivationFunction> function) {
  const Config *name = config.find("name"), *trainable = config.find("trainable"), *dtype = config.find("dtype");
  const std::string layer_name = name ? name->as_string() : next_name(snake_case(class_name));
  return std::make_shared<StatelessLayer>(class_name, std::move(function), layer_name, !trainable || trainable->as_bool(),
                                          dtype && !dtype->is_null() ? DTypePolicy::from_config(*dtype) : DTypePolicy(), config);
}

}  // namespace

UPCONV_EXPORT std::shared_ptr<Layer> activation_layer(const Activation& activation, const Config& config) {
  const auto kept = std::make_shared<const Activation>(activation);
  return stateless("Activation", config, {kept, &kept->function()});
}

}  // namespace nn

std::vector<std::string> layer_class_names() {
  std::vector<std::string> names = {"InputLayer", "Conv2DTranspose", "Convolution2DTranspose", "Activation", "ReLU", "LeakyReLU", "ELU",
                                    "Softmax"};
  names.insert(names.end(), nn::identities().begin(), nn::identities().end());
  return names;
}

std::shared_ptr<Layer> layer_from_config(const Config& serialized) {
  const std::string& class_name = serialized.at("class_name").as_string();
  const Config& config = serialized.at("config");
  if (class_name == "Conv2DTranspose" || class_name == "Convolution2DTranspose")
    return std::make_shared<Conv2DTranspose>(Conv2DTranspose::from_config(config));
  if (class_name == "InputLayer") return nn::input_layer(config);
  if (std::find(nn::identities().begin(), nn::identities().end(), class_name) != nn::identities().end())
    return nn::stateless(class_name, config, nullptr);
  if (auto function = nn::function_of_layer(class_name, config)) return nn::stateless(class_name, config, std::move(function));
  throw ArgumentError("class_name", base::cat("The layer class '", base::escaped(class_name), "' is not one of: ",
                                              base::join(layer_class_names(), ", "), "."));
}

std::shared_ptr<Layer> make_activation_layer(Activation activation, std::string name) {
  if (name.empty()) name = nn::next_name("activation");
  Config config = Config::dict({{"name", name}, {"trainable", true}, {"dtype", DTypePolicy().config()}, {"activation", activation.config()}});
  return layer_from_config(Config::dict({{"class_name", "Activation"}, {"config", std::move(config)}}));
}

}  // namespace upconv
