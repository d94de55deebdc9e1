// SPDX-License-Identifier: Apache-2.0
// Activations by name, by object, by Keras configuration and by callable.
#include "upconv/activation.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "nn/activation_functions.h"
#include "nn/custom.h"
#include "upconv/error.h"

namespace upconv {

ActivationFunction::~ActivationFunction() = default;

Config ActivationFunction::config() const {
  if (name().empty())
    throw ArgumentError("activation", "An activation without a name cannot be saved. Give it one, or use a Keras name.");
  return name();
}

void ActivationFunction::backward(ConstTensorView, ConstTensorView, ConstTensorView, TensorView) const {
  throw StateError(base::cat("The activation '", name(), "' is inference only: it has no backward."));
}

namespace {

using kernels::ActivationSpec;
using Kind = kernels::Activation;
using nn::AxisKind;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Named {
  const char* name;
  const char* canonical;
  ActivationSpec spec;
};

const Named kElementwise[] = {
    {"celu", "celu", {Kind::celu, 1, 0, 0}},
    {"elu", "elu", {Kind::elu, 1, 0, 0}},
    {"exponential", "exponential", {Kind::exponential, 0, 0, 0}},
    {"gelu", "gelu", {Kind::gelu, 0, 0, 0}},
    {"hard_shrink", "hard_shrink", {Kind::hard_shrink, 0.5, 0, 0}},
    {"hard_sigmoid", "hard_sigmoid", {Kind::hard_sigmoid, 0, 0, 0}},
    {"hard_silu", "hard_silu", {Kind::hard_silu, 0, 0, 0}},
    {"hard_swish", "hard_silu", {Kind::hard_silu, 0, 0, 0}},
    {"hard_tanh", "hard_tanh", {Kind::hard_tanh, 0, 0, 0}},
    {"leaky_relu", "leaky_relu", {Kind::leaky_relu, 0.2, 0, 0}},
    {"linear", "linear", {Kind::linear, 0, 0, 0}},
    {"log_sigmoid", "log_sigmoid", {Kind::log_sigmoid, 0, 0, 0}},
    {"mish", "mish", {Kind::mish, 0, 0, 0}},
    {"relu", "relu", {Kind::relu, 0, kInfinity, 0}},
    {"relu6", "relu6", {Kind::relu6, 0, 0, 0}},
    {"selu", "selu", {Kind::selu, 0, 0, 0}},
    {"sigmoid", "sigmoid", {Kind::sigmoid, 0, 0, 0}},
    {"silu", "silu", {Kind::silu, 0, 0, 0}},
    {"soft_shrink", "soft_shrink", {Kind::soft_shrink, 0.5, 0, 0}},
    {"softplus", "softplus", {Kind::softplus, 0, 0, 0}},
    {"softsign", "softsign", {Kind::softsign, 0, 0, 0}},
    {"sparse_plus", "sparse_plus", {Kind::sparse_plus, 0, 0, 0}},
    {"sparse_sigmoid", "sparse_sigmoid", {Kind::sparse_sigmoid, 0, 0, 0}},
    {"squareplus", "squareplus", {Kind::squareplus, 4, 0, 0}},
    {"swish", "silu", {Kind::silu, 0, 0, 0}},
    {"tanh", "tanh", {Kind::tanh, 0, 0, 0}},
    {"tanh_shrink", "tanh_shrink", {Kind::tanh_shrink, 0, 0, 0}},
};

const std::pair<const char*, AxisKind> kAlongAxes[] = {{"glu", AxisKind::glu},
                                                       {"log_softmax", AxisKind::log_softmax},
                                                       {"softmax", AxisKind::softmax},
                                                       {"sparsemax", AxisKind::sparsemax}};

/// "threshold" by name: Keras makes it and fails at the call, for want of its two arguments.
class BareThreshold final : public ActivationFunction {
 public:
  std::string name() const override { return "threshold"; }
  void forward(ConstTensorView, TensorView) const override {
    throw ArgumentError("activation", "threshold() missing 2 required positional arguments: 'threshold' and 'default_value'");
  }
};

/// The caller's own function.
class Callable final : public ActivationFunction {
 public:
  Callable(std::function<Tensor(ConstTensorView)> function, std::string name)
      : function_(std::move(function)), name_(std::move(name)) {}
  std::string name() const override { return name_; }
  void forward(ConstTensorView x, TensorView y) const override {
    const Tensor result = function_(x);
    if (result.shape() != y.shape || result.dtype() != y.dtype)
      throw ArgumentError("activation", base::cat("The activation ", name_.empty() ? "callable" : "'" + name_ + "'",
                                                  " must return shape ", y.shape.str(), " and dtype ", name_of(y.dtype),
                                                  ". It returned ", result.shape().str(), ", ", name_of(result.dtype()), "."));
    convert(result, y);
  }

 private:
  std::function<Tensor(ConstTensorView)> function_;
  std::string name_;
};

/// A Keras layer as activation: it computes in its own dtype policy, and that is the layer's output dtype.
class LayerObject final : public ActivationFunction {
 public:
  LayerObject(std::shared_ptr<const ActivationFunction> inner, DTypePolicy policy, Config config)
      : inner_(std::move(inner)), policy_(std::move(policy)), config_(std::move(config)) {}
  std::string name() const override { return inner_->name(); }
  Config config() const override { return config_; }
  Shape output_shape(const Shape& input) const override { return inner_->output_shape(input); }
  DType output_dtype(DType) const override { return policy_.compute_dtype; }
  void forward(ConstTensorView x, TensorView y) const override {
    if (x.dtype == policy_.compute_dtype) return inner_->forward(x, y);
    inner_->forward(Tensor::copy_of(x).cast(policy_.compute_dtype), y);
  }
  void backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy, TensorView dx) const override {
    if (x.dtype == policy_.compute_dtype) return inner_->backward(x, y, dy, dx);
    Tensor wide = Tensor::uninitialized(x.shape, policy_.compute_dtype);
    inner_->backward(Tensor::copy_of(x).cast(policy_.compute_dtype), y, dy, wide);
    convert(wide, dx);
  }
  const ActivationSpec* fusable() const noexcept override { return inner_->fusable(); }

 private:
  std::shared_ptr<const ActivationFunction> inner_;
  DTypePolicy policy_;
  Config config_;
};

[[noreturn]] void unknown(const std::string& identifier) {
  throw ArgumentError("activation", base::cat("Could not interpret activation function identifier: ", base::escaped(identifier),
                                              base::did_you_mean(identifier, activation_names())));
}

std::shared_ptr<const ActivationFunction> by_name(std::string_view name) {
  for (const Named& known : kElementwise)
    if (name == known.name) return nn::elementwise(known.canonical, known.spec, known.canonical);
  for (const auto& [known, kind] : kAlongAxes)
    if (name == known) return nn::along_axes(kind, {-1}, known);
  if (name == "threshold") return std::make_shared<BareThreshold>();
  unknown(std::string(name));
}

/// LeakyReLU's slope was called alpha in Keras 2.
Config in_words_of_keras3(Config layer) {
  Config::Dict& own = layer.find("config")->as_dict();
  if (layer.at("class_name").as_string() == "LeakyReLU" && !layer.at("config").find("negative_slope"))
    for (Config::Item& item : own)
      if (item.first == "alpha") item.first = "negative_slope";
  return layer;
}

std::shared_ptr<const ActivationFunction> from_dictionary(const Config& config) {
  const Config* class_name = config.find("class_name");
  if (!class_name || !class_name->is_string()) unknown(config.json());
  const std::string& name = class_name->as_string();
  if (const Config* registered = config.find("registered_name"); registered && !registered->is_null() && name != registered->as_string())
    throw ArgumentError("activation", base::cat("An activation registered under '", base::escaped(registered->json()),
                                                "' is not known here. Pass it as a custom object."));
  const Config* found = config.find("config");
  if (!found) unknown(config.json());
  const Config& inner = *found;
  if (name == "function" || name == "__lambda__" || name == "PReLU" || !inner.is_dict())
    throw ArgumentError("activation", base::cat("An activation of class '", base::escaped(name),
                                                "' cannot be taken from a configuration: only Keras's names and the layers ReLU, "
                                                "LeakyReLU, ELU, Softmax and Activation can."));
  std::shared_ptr<const ActivationFunction> function = nn::function_of_layer(name, inner);
  if (!function) unknown(name);
  const Config* dtype = inner.find("dtype");
  return std::make_shared<LayerObject>(std::move(function), dtype ? DTypePolicy::from_config(*dtype) : DTypePolicy(),
                                       in_words_of_keras3(config));
}

}  // namespace

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all = {"threshold"};
    for (const Named& known : kElementwise) all.push_back(known.name);
    for (const auto& [known, kind] : kAlongAxes) all.push_back(known);
    std::sort(all.begin(), all.end());
    return all;
  }();
  return names;
}

Activation::Activation() : function_(by_name("linear")) {}
Activation::Activation(std::nullptr_t) : Activation() {}
Activation::Activation(const char* name) : function_(by_name(name)) {}
Activation::Activation(std::string_view name) : function_(by_name(name)) {}
Activation::Activation(const std::string& name) : function_(by_name(name)) {}
Activation::Activation(std::shared_ptr<const ActivationFunction> function) : function_(std::move(function)) {
  if (!function_) throw ArgumentError("activation", "The activation function is a null pointer.");
}
Activation::Activation(std::function<Tensor(ConstTensorView)> callable, std::string name)
    : function_(std::make_shared<Callable>(std::move(callable), std::move(name))) {}

Activation Activation::from_config(const Config& config) {
  if (config.is_null()) return {};
  if (auto custom = nn::registered<Activation>(config)) return *custom;
  if (config.is_string()) return Activation(config.as_string());
  if (config.is_dict()) return Activation(from_dictionary(config));
  unknown(config.json());
}

bool Activation::is_linear() const noexcept {
  const ActivationSpec* spec = function_->fusable();
  return spec && spec->function == Kind::linear;
}

Tensor Activation::operator()(ConstTensorView x) const {
  Tensor y = Tensor::uninitialized(function_->output_shape(x.shape), function_->output_dtype(x.dtype));
  function_->forward(x, y);
  return y;
}

Tensor Activation::backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy) const {
  Tensor dx = Tensor::uninitialized(x.shape, x.dtype);
  function_->backward(x, y, dy, dx);
  return dx;
}

namespace activations {

namespace {

Config layer_form(const char* class_name, const char* name, std::initializer_list<Config::Item> own) {
  Config config = Config::dict({{"name", name}, {"trainable", true}, {"dtype", DTypePolicy("float32").config()}});
  for (const Config::Item& item : own) config.set(item.first, item.second);
  return nn::keras_layer(class_name, std::move(config));
}

}  // namespace

Relu::operator Activation() const {
  const bool plain = negative_slope == 0 && std::isinf(max_value) && threshold == 0;
  const kernels::ActivationSpec spec{Kind::relu, negative_slope, max_value, threshold};
  if (negative_slope < 0 || max_value < 0 || threshold < 0) return nn::elementwise("relu", spec, {});   // no layer in Keras
  const Config maximum = std::isinf(max_value) ? Config() : Config(max_value);
  return nn::elementwise("relu", spec,
                         plain ? Config("relu")
                               : layer_form("ReLU", "re_lu", {{"max_value", maximum}, {"negative_slope", negative_slope},
                                                              {"threshold", threshold}}));
}
LeakyRelu::operator Activation() const {
  return nn::elementwise("leaky_relu", {Kind::leaky_relu, negative_slope, 0, 0},
                         negative_slope == 0.2 ? Config("leaky_relu")
                         : negative_slope < 0  ? Config()
                                               : layer_form("LeakyReLU", "leaky_re_lu", {{"negative_slope", negative_slope}}));
}
Elu::operator Activation() const {
  return nn::elementwise("elu", {Kind::elu, alpha, 0, 0},
                         alpha == 1 ? Config("elu") : layer_form("ELU", "elu", {{"alpha", alpha}}));
}
Celu::operator Activation() const {
  return nn::elementwise("celu", {Kind::celu, alpha, 0, 0}, alpha == 1 ? Config("celu") : Config());
}
Gelu::operator Activation() const {
  return nn::elementwise("gelu", {approximate ? Kind::gelu_tanh : Kind::gelu, 0, 0, 0}, approximate ? Config() : Config("gelu"));
}
Squareplus::operator Activation() const {
  return nn::elementwise("squareplus", {Kind::squareplus, b, 0, 0}, b == 4 ? Config("squareplus") : Config());
}
SoftShrink::operator Activation() const {
  return nn::elementwise("soft_shrink", {Kind::soft_shrink, threshold, 0, 0}, threshold == 0.5 ? Config("soft_shrink") : Config());
}
HardShrink::operator Activation() const {
  return nn::elementwise("hard_shrink", {Kind::hard_shrink, threshold, 0, 0}, threshold == 0.5 ? Config("hard_shrink") : Config());
}
Threshold::operator Activation() const {
  return nn::elementwise("threshold", {Kind::threshold, threshold, default_value, 0}, {});
}
Softmax::operator Activation() const {
  Config::List list(axis.begin(), axis.end());
  const bool plain = axis == std::vector<int>{-1};
  return nn::along_axes(AxisKind::softmax, axis,
                        plain ? Config("softmax")
                              : layer_form("Softmax", "softmax", {{"axis", axis.size() == 1 ? list.front() : Config(list)}}));
}
LogSoftmax::operator Activation() const {
  return nn::along_axes(AxisKind::log_softmax, axis, axis == std::vector<int>{-1} ? Config("log_softmax") : Config());
}
Glu::operator Activation() const { return nn::along_axes(AxisKind::glu, {axis}, axis == -1 ? Config("glu") : Config()); }
Sparsemax::operator Activation() const {
  return nn::along_axes(AxisKind::sparsemax, {axis}, axis == -1 ? Config("sparsemax") : Config());
}

}  // namespace activations

}  // namespace upconv
