// SPDX-License-Identifier: Apache-2.0
#include "upconv/regularizer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/element.h"
#include "base/text.h"
#include "nn/custom.h"
#include "nn/identifier.h"
#include "upconv/error.h"

namespace upconv {

RegularizerFunction::~RegularizerFunction() = default;

namespace {

double checked_factor(double value, const char* name) {
  if (!std::isfinite(value) || value < 0)
    throw ArgumentError(name, base::cat("Invalid value for argument ", name, ": expected a non-negative float.Received: ", name, "=",
                                        base::python_repr(value)));
  return value;
}

/// Keras keeps these factors in a float32 tensor, and writes what is left of them.
double float_factor(double value, const char* name) { return static_cast<double>(static_cast<float>(checked_factor(value, name))); }

/// l1 * sum|w| + l2 * sum w^2, under any of three names.
class L1AndL2 final : public RegularizerFunction {
 public:
  L1AndL2(std::string name, Config config, double l1, double l2)
      : name_(std::move(name)), config_(std::move(config)), l1_(l1), l2_(l2) {}
  std::string name() const override { return name_; }
  Config config() const override { return nn::keras_object("regularizers", name_, config_); }

  double penalty(ConstTensorView w) const override {
    double absolute = 0, square = 0;
    const std::int64_t count = w.elements();
    for (std::int64_t i = 0; i < count; ++i) {
      const double v = base::read_element(w, i);
      absolute += std::abs(v), square += v * v;
    }
    double total = 0;
    if (l1_ != 0) total += base::rounded(l1_, w.dtype) * absolute;
    if (l2_ != 0) total += base::rounded(l2_, w.dtype) * square;
    return base::rounded(total, w.dtype);
  }

  void add_gradient(ConstTensorView w, double scale, TensorView dw) const override {
    const double l1 = scale * base::rounded(l1_, w.dtype), l2 = 2 * scale * base::rounded(l2_, w.dtype);
    const std::int64_t count = w.elements();
    for (std::int64_t i = 0; i < count; ++i) {
      const double v = base::read_element(w, i);
      const double sign = v > 0 ? 1 : v < 0 ? -1 : v;               // a NaN stays one
      base::write_element(dw, i, base::read_element(dw, i) + l1 * sign + l2 * v);
    }
  }

 private:
  std::string name_;
  Config config_;
  double l1_, l2_;
};

/// Keeps the rows (or columns) of a matrix apart: factor * mean over pairs of |cosine|.
class Orthogonal final : public RegularizerFunction {
 public:
  Orthogonal(double factor, bool rows) : factor_(factor), rows_(rows) {}
  std::string name() const override { return "OrthogonalRegularizer"; }
  Config config() const override {
    return nn::keras_object("regularizers", name(), Config::dict({{"factor", factor_}, {"mode", rows_ ? "rows" : "columns"}}));
  }

  double penalty(ConstTensorView w) const override {
    const Vectors v = normalized(w);
    double total = 0;
    for (std::size_t i = 0; i < v.unit.size(); ++i)
      for (std::size_t j = 0; j < v.unit.size(); ++j)
        if (i != j) total += std::abs(dot(v.unit[i], v.unit[j]));
    return base::rounded(factor_ * 0.5 * total / pairs(v), w.dtype);
  }

  void add_gradient(ConstTensorView w, double scale, TensorView dw) const override {
    const Vectors v = normalized(w);
    const double weight = scale * factor_ / pairs(v);
    for (std::size_t i = 0; i < v.unit.size(); ++i) {
      std::vector<double> d(v.unit[i].size(), 0.0);
      for (std::size_t j = 0; j < v.unit.size(); ++j) {
        if (i == j) continue;
        const double cosine = dot(v.unit[i], v.unit[j]), sign = cosine > 0 ? 1 : cosine < 0 ? -1 : 0;
        for (std::size_t k = 0; k < d.size(); ++k) d[k] += weight * sign * v.unit[j][k];
      }
      const double along = dot(d, v.unit[i]);
      for (std::size_t k = 0; k < d.size(); ++k) {
        const std::int64_t at = index(w.shape, i, k);
        base::write_element(dw, at, base::read_element(dw, at) + (d[k] - along * v.unit[i][k]) / v.norm[i]);
      }
    }
  }

 private:
  struct Vectors {
    std::vector<std::vector<double>> unit;
    std::vector<double> norm;
  };
  static double dot(const std::vector<double>& a, const std::vector<double>& b) {
    return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  }
  static double pairs(const Vectors& v) {
    const auto size = static_cast<double>(v.unit.size());
    return size * (size - 1) / 2;
  }
  std::int64_t index(const Shape& shape, std::size_t vector, std::size_t element) const {
    const auto v = static_cast<std::int64_t>(vector), e = static_cast<std::int64_t>(element);
    return rows_ ? v * shape[1] + e : e * shape[1] + v;
  }
  Vectors normalized(ConstTensorView w) const {
    if (w.shape.rank() != 2)
      throw ArgumentError("inputs", base::cat("Inputs to OrthogonalRegularizer must have rank 2. Received: inputs.shape=", w.shape.str()));
    Vectors v;
    const auto vectors = static_cast<std::size_t>(w.shape[rows_ ? 0 : 1]), length = static_cast<std::size_t>(w.shape[rows_ ? 1 : 0]);
    for (std::size_t i = 0; i < vectors; ++i) {
      std::vector<double> line;
      for (std::size_t k = 0; k < length; ++k) line.push_back(base::read_element(w, index(w.shape, i, k)));
      constexpr double kEpsilon = 1e-7;
      const double norm = std::sqrt(std::max(dot(line, line), kEpsilon * kEpsilon));
      for (double& value : line) value /= norm;
      v.unit.push_back(std::move(line));
      v.norm.push_back(norm);
    }
    return v;
  }

  double factor_;
  bool rows_;
};

double factor_or(const Config& config, const char* key, double missing) {
  const Config* value = config.find(key);
  return !value || value->is_null() ? missing : value->as_double();
}

Regularizer from_identifier(const Config& config) {
  const nn::Identifier id = nn::parse_identifier(config, "regularizer");
  const std::string& name = id.class_name;
  if (name == "L1" || name == "l1") {
    nn::check_keys(id, {"l1"});
    return regularizers::L1{factor_or(id.config, "l1", 0.01)};
  }
  if (name == "L2" || name == "l2") {
    nn::check_keys(id, {"l2"});
    return regularizers::L2{factor_or(id.config, "l2", 0.01)};
  }
  if (name == "L1L2" || name == "l1l2") {
    nn::check_keys(id, {"l1", "l2"});
    return regularizers::L1L2{factor_or(id.config, "l1", 0), factor_or(id.config, "l2", 0)};
  }
  if (name == "OrthogonalRegularizer" || name == "orthogonal_regularizer") {
    nn::check_keys(id, {"factor", "mode"});
    const Config* mode = id.config.find("mode");
    return regularizers::OrthogonalRegularizer{factor_or(id.config, "factor", 0.01), mode ? mode->as_string() : "rows"};
  }
  nn::unknown_identifier("regularizer", config.is_string() ? name : config.json(), {"l1", "l2", "l1l2", "orthogonal_regularizer"});
}

}  // namespace

Regularizer::Regularizer(const char* name) : Regularizer(from_identifier(name)) {}
Regularizer::Regularizer(std::string_view name) : Regularizer(from_identifier(name)) {}
Regularizer::Regularizer(const std::string& name) : Regularizer(from_identifier(name)) {}
Regularizer::Regularizer(std::shared_ptr<const RegularizerFunction> function) : function_(std::move(function)) {}
Regularizer Regularizer::from_config(const Config& config) {
  if (config.is_null()) return {};
  if (auto custom = nn::registered<Regularizer>(config)) return *custom;
  return from_identifier(config);
}
Config Regularizer::config() const { return function_ ? function_->config() : Config(); }

namespace regularizers {

L1::operator Regularizer() const {
  const double factor = float_factor(l1, "l1");
  return Regularizer(std::make_shared<L1AndL2>("L1", Config::dict({{"l1", factor}}), factor, 0));
}
L2::operator Regularizer() const {
  return Regularizer(std::make_shared<L1AndL2>("L2", Config::dict({{"l2", l2}}), 0, checked_factor(l2, "l2")));
}
L1L2::operator Regularizer() const {
  return Regularizer(std::make_shared<L1AndL2>("L1L2", Config::dict({{"l1", l1}, {"l2", l2}}), checked_factor(l1, "l1"),
                                               checked_factor(l2, "l2")));
}
OrthogonalRegularizer::operator Regularizer() const {
  if (mode != "rows" && mode != "columns")
    throw ArgumentError("mode", base::cat("Invalid value for argument `mode`. Expected one of {\"rows\", \"columns\"}. Received: mode=",
                                          base::escaped(mode)));
  return Regularizer(std::make_shared<Orthogonal>(float_factor(factor, "factor"), mode == "rows"));
}

}  // namespace regularizers

}  // namespace upconv
