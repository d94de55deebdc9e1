// SPDX-License-Identifier: Apache-2.0
#include "upconv/constraint.h"

#include <algorithm>
#include <cmath>

#include "base/element.h"
#include "base/lines.h"
#include "base/text.h"
#include "nn/custom.h"
#include "nn/identifier.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv {

ConstraintFunction::~ConstraintFunction() = default;

namespace {

using constraints::Axis;

/// Axes counted from the front; throws ArgumentError where one does not exist.
std::vector<int> normalized(const Shape& shape, std::vector<int> axes) {
  for (int& axis : axes) {
    shape.at(axis);
    if (axis < 0) axis += static_cast<int>(shape.rank());
  }
  return axes;
}

/// w * wanted(norm) / (epsilon + norm), norms over the axes.
template <class F>
void rescale(TensorView w, const std::vector<int>& axes, F wanted) {
  const double epsilon = default_epsilon();
  const base::Lines lines = base::lines_along(w.shape, normalized(w.shape, axes));
  for (const std::int64_t start : lines.starts) {
    double square = 0;
    for (const std::int64_t step : lines.steps) {
      const double v = base::read_element(w, start + step);
      square += v * v;
    }
    const double norm = std::sqrt(square), factor = wanted(norm) / (epsilon + norm);
    for (const std::int64_t step : lines.steps) base::write_element(w, start + step, base::read_element(w, start + step) * factor);
  }
}

double clip(double x, double low, double high) { return x < low ? low : x > high ? high : x; }

class Projection final : public ConstraintFunction {
 public:
  Projection(std::string name, Config config, std::function<void(TensorView)> project)
      : name_(std::move(name)), config_(std::move(config)), project_(std::move(project)) {}
  std::string name() const override { return name_; }
  Config config() const override {
    if (config_.is_null())
      throw ArgumentError("constraint", base::cat("The constraint '", name_, "' has no form in a Keras configuration."));
    return nn::keras_object("constraints", name_, config_);
  }
  void project(TensorView w) const override { project_(w); }

 private:
  std::string name_;
  Config config_;
  std::function<void(TensorView)> project_;
};

Constraint make(const char* name, Config config, std::function<void(TensorView)> project) {
  return Constraint(std::make_shared<Projection>(name, std::move(config), std::move(project)));
}

Config axis_config(const Axis& axis) {
  if (axis.single) return axis.axes.front();
  return Config(Config::List(axis.axes.begin(), axis.axes.end()));
}

Axis axis_from(const Config& config) {
  const Config* axis = config.find("axis");
  if (!axis) return 0;
  if (!axis->is_list()) return static_cast<int>(axis->as_int());
  std::vector<int> axes;
  for (const Config& one : axis->as_list()) axes.push_back(static_cast<int>(one.as_int()));
  return Axis(std::move(axes));
}

/// Numbers keep their kind (2 or 2.0) from the configuration they came in.
Constraint from_identifier(const Config& config) {
  const nn::Identifier id = nn::parse_identifier(config, "constraint");
  const std::string& name = id.class_name;
  const auto number = [&](const char* key, Config missing) {
    const Config* value = id.config.find(key);
    return value ? *value : missing;
  };
  const Axis axis = axis_from(id.config);
  if (name == "MaxNorm" || name == "max_norm") {
    nn::check_keys(id, {"max_value", "axis"});
    const Config max = number("max_value", 2);
    return make("MaxNorm", Config::dict({{"max_value", max}, {"axis", axis_config(axis)}}),
                [axes = axis.axes, m = max.as_double()](TensorView w) { rescale(w, axes, [m](double n) { return clip(n, 0, m); }); });
  }
  if (name == "MinMaxNorm" || name == "min_max_norm") {
    nn::check_keys(id, {"min_value", "max_value", "rate", "axis"});
    const Config low = number("min_value", 0.0), high = number("max_value", 1.0), rate = number("rate", 1.0);
    return make("MinMaxNorm", Config::dict({{"min_value", low}, {"max_value", high}, {"rate", rate}, {"axis", axis_config(axis)}}),
                [axes = axis.axes, l = low.as_double(), h = high.as_double(), r = rate.as_double()](TensorView w) {
                  rescale(w, axes, [=](double n) { return r * clip(n, l, h) + (1 - r) * n; });
                });
  }
  if (name == "UnitNorm" || name == "unit_norm") {
    nn::check_keys(id, {"axis"});
    return make("UnitNorm", Config::dict({{"axis", axis_config(axis)}}),
                [axes = axis.axes](TensorView w) { rescale(w, axes, [](double) { return 1.0; }); });
  }
  if (name == "NonNeg" || name == "non_neg") {
    nn::check_keys(id, {});
    return make("NonNeg", Config(Config::Dict{}), [](TensorView w) {
      for (std::int64_t i = 0; i < w.elements(); ++i)
        if (base::read_element(w, i) <= 0) base::write_element(w, i, 0);      // a NaN stays
    });
  }
  nn::unknown_identifier("constraint", config.is_string() ? name : config.json(),
                         {"max_norm", "min_max_norm", "unit_norm", "non_neg", "MaxNorm", "MinMaxNorm", "UnitNorm", "NonNeg"});
}

Constraint from_parts(const char* name, Config config) {
  return from_identifier(Config::dict({{"class_name", name}, {"config", std::move(config)}}));
}

}  // namespace

Constraint::Constraint(const char* name) : Constraint(from_identifier(name)) {}
Constraint::Constraint(std::string_view name) : Constraint(from_identifier(name)) {}
Constraint::Constraint(const std::string& name) : Constraint(from_identifier(name)) {}
Constraint::Constraint(std::shared_ptr<const ConstraintFunction> function) : function_(std::move(function)) {}
Constraint::Constraint(std::function<void(TensorView)> callable, std::string name)
    : function_(std::make_shared<Projection>(std::move(name), Config(), std::move(callable))) {}
Constraint Constraint::from_config(const Config& config) {
  if (config.is_null()) return {};
  if (auto custom = nn::registered<Constraint>(config)) return *custom;
  return from_identifier(config);
}
Config Constraint::config() const { return function_ ? function_->config() : Config(); }

namespace constraints {

MaxNorm::operator Constraint() const {
  return from_parts("MaxNorm", Config::dict({{"max_value", max_value}, {"axis", axis_config(axis)}}));
}
MinMaxNorm::operator Constraint() const {
  return from_parts("MinMaxNorm", Config::dict({{"min_value", min_value}, {"max_value", max_value}, {"rate", rate},
                                                {"axis", axis_config(axis)}}));
}
NonNeg::operator Constraint() const { return from_parts("NonNeg", Config(Config::Dict{})); }
UnitNorm::operator Constraint() const { return from_parts("UnitNorm", Config::dict({{"axis", axis_config(axis)}})); }

}  // namespace constraints

}  // namespace upconv
