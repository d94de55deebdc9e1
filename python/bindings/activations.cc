// SPDX-License-Identifier: Apache-2.0
// keras.activations as functions of an array, with the parameters that a name cannot carry.
#include "base/text.h"
#include "module.h"
#include "upconv/activation.h"
#include "upconv/error.h"

namespace upconv::python {

namespace {

double number(const Config& parameters, const char* key) { return parameters.at(key).as_double(); }

std::vector<int> axes(const Config& parameters) {
  std::vector<int> list;
  const Config& axis = parameters.at("axis");
  if (!axis.is_list()) return {static_cast<int>(axis.as_int())};
  for (const Config& one : axis.as_list()) list.push_back(static_cast<int>(one.as_int()));
  return list;
}

/// `parameters`: every parameter of Keras's function of this name (upconv/activations.py fills in the defaults).
Activation with_parameters(const std::string& name, const Config& parameters) {
  using namespace activations;
  if (name == "relu") {
    Relu relu{.negative_slope = number(parameters, "negative_slope"), .threshold = number(parameters, "threshold")};
    if (!parameters.at("max_value").is_null()) relu.max_value = number(parameters, "max_value");
    return relu;
  }
  if (name == "leaky_relu") return LeakyRelu{number(parameters, "negative_slope")};
  if (name == "elu") return Elu{number(parameters, "alpha")};
  if (name == "celu") return Celu{number(parameters, "alpha")};
  if (name == "gelu") return Gelu{parameters.at("approximate").as_bool()};
  if (name == "squareplus") return Squareplus{number(parameters, "b")};
  if (name == "soft_shrink") return SoftShrink{number(parameters, "threshold")};
  if (name == "hard_shrink") return HardShrink{number(parameters, "threshold")};
  if (name == "threshold") return Threshold{number(parameters, "threshold"), number(parameters, "default_value")};
  if (name == "softmax") return Softmax{axes(parameters)};
  if (name == "log_softmax") return LogSoftmax{axes(parameters)};
  if (name == "glu") return Glu{axes(parameters).front()};
  if (name == "sparsemax") return Sparsemax{axes(parameters).front()};
  throw ArgumentError("activation", base::cat("The activation '", name, "' has no parameters."));
}

nb::object activate(const Activation& activation, const Array& x, bool bfloat16) {
  Tensor y;
  {
    const nb::gil_scoped_release released;
    y = activation(view_of(x, bfloat16));
  }
  return to_numpy(std::move(y));
}

}  // namespace

void bind_activations(nb::module_& m) {
  m.def("activate", [](const std::string& json, const Array& x, bool bfloat16) {
    return activate(Activation::from_config(config_of(json)), x, bfloat16);
  });
  m.def("activate_with", [](const std::string& name, const std::string& parameters, const Array& x, bool bfloat16) {
    return activate(with_parameters(name, config_of(parameters)), x, bfloat16);
  });
  m.def("activation_names", [] { return activation_names(); });
  m.def("activation_config", [](const std::string& json) { return Activation::from_config(config_of(json)).config().json(); });
}

}  // namespace upconv::python
