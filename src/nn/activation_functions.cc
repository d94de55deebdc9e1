// SPDX-License-Identifier: Apache-2.0
#include "nn/activation_functions.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "ops/axis_activation.h"
#include "ops/elementwise.h"
#include "upconv/error.h"

namespace upconv::nn {

namespace {

using kernels::ActivationSpec;
using Kind = kernels::Activation;

[[noreturn]] void cannot_save(const std::string& name) {
  throw ArgumentError("activation", base::cat("The activation '", name, "' with these parameters has no form in a Keras "
                                              "configuration. Use a Keras name or a layer object (ReLU, LeakyReLU, ELU, Softmax)."));
}

class Elementwise final : public ActivationFunction {
 public:
  Elementwise(std::string name, ActivationSpec spec, Config config)
      : name_(std::move(name)), spec_(spec), config_(std::move(config)) {}
  std::string name() const override { return name_; }
  Config config() const override {
    if (config_.is_null()) cannot_save(name_);
    return config_;
  }
  void forward(ConstTensorView x, TensorView y) const override { ops::activate(spec_, x, y); }
  void backward(ConstTensorView x, ConstTensorView, ConstTensorView dy, TensorView dx) const override {
    ops::activate_gradient(spec_, x, dy, dx);
  }
  const ActivationSpec* fusable() const noexcept override { return &spec_; }

 private:
  std::string name_;
  ActivationSpec spec_;
  Config config_;
};

class AlongAxes final : public ActivationFunction {
 public:
  AlongAxes(AxisKind kind, std::vector<int> axes, Config config)
      : kind_(kind), axes_(std::move(axes)), config_(std::move(config)) {}

  std::string name() const override {
    static constexpr const char* kNames[] = {"softmax", "log_softmax", "glu", "sparsemax"};
    return kNames[static_cast<std::size_t>(kind_)];
  }
  Config config() const override {
    if (config_.is_null()) cannot_save(name());
    return config_;
  }
  Shape output_shape(const Shape& input) const override {
    if (kind_ != AxisKind::glu) return input;
    const auto axis = static_cast<std::size_t>(axes_of(input).front());
    Shape halved = input;
    if (input[axis] == Shape::unknown) return input;
    if (input[axis] % 2 != 0)
      throw ArgumentError("activation", base::cat("axis size must be divisible by 2. Received: x.shape=", input.str(),
                                                  " with axis=", axes_.front()));
    halved[axis] = input[axis] / 2;
    return halved;
  }
  void forward(ConstTensorView x, TensorView y) const override {
    const std::vector<int> axes = axes_of(x.shape);
    switch (kind_) {
      case AxisKind::softmax: return ops::softmax(x, y, axes);
      case AxisKind::log_softmax: return ops::log_softmax(x, y, axes);
      case AxisKind::glu: return ops::glu(x, y, axes.front());
      case AxisKind::sparsemax: return ops::sparsemax(x, y, axes.front());
    }
  }
  void backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy, TensorView dx) const override {
    const std::vector<int> axes = axes_of(x.shape);
    switch (kind_) {
      case AxisKind::softmax: return ops::softmax_gradient(y, dy, dx, axes);
      case AxisKind::log_softmax: return ops::log_softmax_gradient(y, dy, dx, axes);
      case AxisKind::glu: return ops::glu_gradient(x, dy, dx, axes.front());
      case AxisKind::sparsemax: return ops::sparsemax_gradient(x, dy, dx, axes.front());
    }
  }

 private:
  std::vector<int> axes_of(const Shape& shape) const {
    std::vector<int> axes;
    const int rank = static_cast<int>(shape.rank());
    for (const int given : axes_) {
      const int axis = given < 0 ? given + rank : given;
      if (axis < 0 || axis >= rank || std::find(axes.begin(), axes.end(), axis) != axes.end())
        throw ArgumentError("axis", base::cat("The axes of ", name(), " must be distinct and fit the input. Received: axis ",
                                              given, " for the shape ", shape.str(), "."));
      axes.push_back(axis);
    }
    return axes;
  }

  AxisKind kind_;
  std::vector<int> axes_;
  Config config_;
};

double number(const Config& config, std::string_view key, double missing) {
  const Config* value = config.find(key);
  return !value || value->is_null() ? missing : value->as_double();
}

double not_negative(const Config& config, std::string_view key) {
  const Config* value = config.find(key);
  if (value && (value->is_null() || value->as_double() < 0))
    throw ArgumentError(std::string(key), base::cat(key, " of a ReLU layer cannot be None or a negative value. Received: ", key, "=",
                                                    value->is_null() ? "None" : value->json()));
  return number(config, key, 0);
}

std::shared_ptr<const ActivationFunction> relu_layer(const Config& config) {
  double max_value = std::numeric_limits<double>::infinity();
  if (const Config* given = config.find("max_value"); given && !given->is_null()) {
    max_value = given->as_double();
    if (max_value < 0)
      throw ArgumentError("max_value", base::cat("max_value of a ReLU layer cannot be a negative value. Received: max_value=",
                                                 given->json()));
  }
  const double slope = not_negative(config, "negative_slope"), threshold = not_negative(config, "threshold");
  return elementwise("relu", {Kind::relu, slope, max_value, threshold}, {});
}

std::vector<int> axis_list(const Config* axis) {
  if (!axis) return {-1};
  if (!axis->is_list()) return {static_cast<int>(axis->as_int())};
  std::vector<int> axes;
  for (const Config& one : axis->as_list()) axes.push_back(static_cast<int>(one.as_int()));
  return axes;
}

}  // namespace

std::shared_ptr<const ActivationFunction> elementwise(std::string name, ActivationSpec spec, Config config) {
  return std::make_shared<Elementwise>(std::move(name), spec, std::move(config));
}

std::shared_ptr<const ActivationFunction> along_axes(AxisKind kind, std::vector<int> axes, Config config) {
  return std::make_shared<AlongAxes>(kind, std::move(axes), std::move(config));
}

bool is_along_axes(const ActivationFunction& function) { return dynamic_cast<const AlongAxes*>(&function) != nullptr; }

Config keras_layer(std::string_view class_name, Config config) {
  return Config::dict({{"module", "keras.layers"}, {"class_name", class_name}, {"config", std::move(config)}, {"registered_name", {}}});
}

std::shared_ptr<const ActivationFunction> function_of_layer(std::string_view class_name, const Config& config) {
  if (class_name == "ReLU") return relu_layer(config);
  if (class_name == "LeakyReLU") {
    // Keras 2 called it alpha, default 0.3; Keras 3 writes negative_slope, default 0.3.
    const Config* slope = config.find("negative_slope") ? config.find("negative_slope") : config.find("alpha");
    if (slope && (slope->is_null() || slope->as_double() < 0))
      throw ArgumentError("negative_slope", base::cat("The negative_slope value of a Leaky ReLU layer cannot be None or negative "
                                                      "value. Expected a float. Received: negative_slope=",
                                                      slope->is_null() ? "None" : slope->json()));
    return elementwise("leaky_relu", {Kind::leaky_relu, slope ? slope->as_double() : 0.3, 0, 0}, {});
  }
  if (class_name == "ELU") return elementwise("elu", {Kind::elu, number(config, "alpha", 1.0), 0, 0}, {});
  if (class_name == "Softmax") return along_axes(AxisKind::softmax, axis_list(config.find("axis")), {});
  if (class_name == "Activation") {
    const auto inner = std::make_shared<const Activation>(Activation::from_config(config.at("activation")));
    return {inner, &inner->function()};
  }
  return nullptr;
}

UPCONV_EXPORT Activation hard_sigmoid_keras2() {
  return Activation(elementwise("hard_sigmoid_keras2", {Kind::hard_sigmoid_keras2, 0, 0, 0}, {}));
}

UPCONV_EXPORT bool is_hard_sigmoid_keras2(const ActivationFunction& function) {
  const ActivationSpec* spec = function.fusable();
  return spec && spec->function == Kind::hard_sigmoid_keras2;
}

}  // namespace upconv::nn
