// SPDX-License-Identifier: Apache-2.0
// Losses from and to Keras's names and configurations.
#include <algorithm>

#include "base/text.h"
#include "nn/identifier.h"
#include "nn/names.h"
#include "upconv/error.h"
#include "upconv/loss.h"

namespace upconv {

namespace {

using namespace losses;

struct Named {
  const char *class_name, *name;             // Keras's default name of the object and of the function
  LossFunction defaults;
};

/// In the order of LossFunction.
const std::vector<Named>& table() {
  static const std::vector<Named> names = {
      {"MeanSquaredError", "mean_squared_error", MeanSquaredError{}},
      {"MeanAbsoluteError", "mean_absolute_error", MeanAbsoluteError{}},
      {"MeanAbsolutePercentageError", "mean_absolute_percentage_error", MeanAbsolutePercentageError{}},
      {"MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", MeanSquaredLogarithmicError{}},
      {"Huber", "huber_loss", Huber{}},
      {"LogCosh", "log_cosh", LogCosh{}},
      {"BinaryCrossentropy", "binary_crossentropy", BinaryCrossentropy{}},
      {"BinaryFocalCrossentropy", "binary_focal_crossentropy", BinaryFocalCrossentropy{}},
      {"CategoricalCrossentropy", "categorical_crossentropy", CategoricalCrossentropy{}},
      {"SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", SparseCategoricalCrossentropy{}},
      {"CategoricalFocalCrossentropy", "categorical_focal_crossentropy", CategoricalFocalCrossentropy{}},
      {"CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy", CategoricalGeneralizedCrossEntropy{}},
      {"KLDivergence", "kl_divergence", KLDivergence{}},
      {"Poisson", "poisson", Poisson{}},
      {"CosineSimilarity", "cosine_similarity", CosineSimilarity{}},
      {"Hinge", "hinge", Hinge{}},
      {"SquaredHinge", "squared_hinge", SquaredHinge{}},
      {"CategoricalHinge", "categorical_hinge", CategoricalHinge{}},
      {"Dice", "dice", Dice{}},
      {"Tversky", "tversky", Tversky{}}};
  return names;
}

/// A short name in one letter case, as Keras takes "mse" and "MSE".
bool is_alias(const std::string& given, const char* alias) {
  std::string upper = alias;
  for (char& c : upper) c = static_cast<char>(c - 'a' + 'A');
  return given == alias || given == upper;
}

const Named& find(const std::string& given) {
  static const std::vector<std::pair<const char*, const char*>> aliases = {
      {"mse", "mean_squared_error"}, {"mae", "mean_absolute_error"}, {"mape", "mean_absolute_percentage_error"},
      {"msle", "mean_squared_logarithmic_error"}, {"bce", "binary_crossentropy"}, {"kld", "kl_divergence"}, {"huber", "huber_loss"}};
  std::string name = given;
  for (const auto& [alias, full] : aliases)
    if (is_alias(given, alias)) name = full;
  std::vector<std::string> known;
  for (const Named& n : table()) {
    if (name == n.class_name || name == n.name) return n;
    known.push_back(n.name);
  }
  throw ArgumentError("loss", base::cat("Could not interpret loss identifier: ", base::escaped(given), ".", base::did_you_mean(given, known),
                                        " The losses are: ", base::join(known, ", "), "."));
}

const std::pair<Reduction, const char*> reductions[] = {{Reduction::sum_over_batch_size, "sum_over_batch_size"}, {Reduction::sum, "sum"},
                                                        {Reduction::mean, "mean"}, {Reduction::mean_with_sample_weight, "mean_with_sample_weight"},
                                                        {Reduction::none, "none"}};

Reduction reduction_from(const Config& c) {
  const Config* value = c.find("reduction");
  if (!value) return Reduction::sum_over_batch_size;
  if (value->is_null()) return Reduction::none;
  for (const auto& [reduction, name] : reductions)
    if (value->is_string() && value->as_string() == name) return reduction;
  throw ArgumentError("reduction", base::cat("Invalid value for argument `reduction`. Expected one of sum_over_batch_size, sum, mean, "
                                             "mean_with_sample_weight, none. Received: reduction=", value->json()));
}

std::optional<std::vector<int>> axes_from(const Config& c) {
  const Config* value = c.find("axis");
  if (!value || value->is_null()) return {};
  std::vector<int> axes;
  if (value->is_number()) axes.push_back(static_cast<int>(value->as_int()));
  else
    for (const Config& axis : value->as_list()) axes.push_back(static_cast<int>(axis.as_int()));
  return axes;
}

/// Fills the fields that a configuration names.
struct Fill {
  const Config& c;
  void number(const char* key, double& field) const { field = nn::number_or(c, key, field); }
  void flag(const char* key, bool& field) const { if (const Config* v = c.find(key)) field = v->as_bool(); }
  void axis(int& field) const { field = static_cast<int>(nn::number_or(c, "axis", field)); }
  void crossentropy(auto& o) const { flag("from_logits", o.from_logits), number("label_smoothing", o.label_smoothing), axis(o.axis); }
  void operator()(Huber& o) const { number("delta", o.delta); }
  void operator()(CosineSimilarity& o) const { axis(o.axis); }
  void operator()(BinaryCrossentropy& o) const { crossentropy(o); }
  void operator()(CategoricalCrossentropy& o) const { crossentropy(o); }
  void operator()(BinaryFocalCrossentropy& o) const {
    crossentropy(o), flag("apply_class_balancing", o.apply_class_balancing), number("alpha", o.alpha), number("gamma", o.gamma);
  }
  void operator()(CategoricalFocalCrossentropy& o) const { crossentropy(o), number("alpha", o.alpha), number("gamma", o.gamma); }
  void operator()(SparseCategoricalCrossentropy& o) const {
    flag("from_logits", o.from_logits), axis(o.axis);
    if (const Config* v = c.find("ignore_class"); v && !v->is_null()) o.ignore_class = static_cast<int>(v->as_int());
  }
  void operator()(CategoricalGeneralizedCrossEntropy& o) const { number("q", o.q); }
  void operator()(Dice& o) const { o.axis = axes_from(c); }
  void operator()(Tversky& o) const { number("alpha", o.alpha), number("beta", o.beta), o.axis = axes_from(c); }
  template <class L> void operator()(L&) const {}
};

Config axes_config(const std::optional<std::vector<int>>& axes) {
  if (!axes) return {};
  Config::List list;
  for (const int axis : *axes) list.push_back(axis);
  return list;
}

/// What get_config() holds behind name and reduction.
struct OwnConfig {
  using Dict = Config::Dict;
  static Dict crossentropy(const auto& o) { return {{"from_logits", o.from_logits}, {"label_smoothing", o.label_smoothing}, {"axis", o.axis}}; }
  Dict operator()(const BinaryCrossentropy& o) const { return crossentropy(o); }
  Dict operator()(const CategoricalCrossentropy& o) const { return crossentropy(o); }
  Dict operator()(const BinaryFocalCrossentropy& o) const {
    Dict d = crossentropy(o);
    d.insert(d.end(), {{"apply_class_balancing", o.apply_class_balancing}, {"alpha", o.alpha}, {"gamma", o.gamma}});
    return d;
  }
  Dict operator()(const CategoricalFocalCrossentropy& o) const {
    Dict d = crossentropy(o);
    d.insert(d.end(), {{"alpha", o.alpha}, {"gamma", o.gamma}});
    return d;
  }
  Dict operator()(const SparseCategoricalCrossentropy& o) const {
    return {{"from_logits", o.from_logits}, {"ignore_class", o.ignore_class ? Config(*o.ignore_class) : Config()}};
  }
  Dict operator()(const CategoricalGeneralizedCrossEntropy& o) const { return {{"q", o.q}}; }
  Dict operator()(const Dice& o) const { return {{"axis", axes_config(o.axis)}}; }
  Dict operator()(const Tversky& o) const { return {{"alpha", o.alpha}, {"beta", o.beta}, {"axis", axes_config(o.axis)}}; }
  // Keras forgets these two when it saves; it reads them, so they are written where they are not the default.
  Dict operator()(const Huber& o) const { return o.delta == 1 ? Dict{} : Dict{{"delta", o.delta}}; }
  Dict operator()(const CosineSimilarity& o) const { return o.axis == -1 ? Dict{} : Dict{{"axis", o.axis}}; }
  template <class L> Dict operator()(const L&) const { return {}; }
};

}  // namespace

Loss::Loss(LossFunction function, Reduction reduction, std::string name)
    : function_(std::move(function)), reduction_(reduction), name_(name.empty() ? table()[function_.index()].name : std::move(name)) {}
Loss::Loss(const std::string& name) : Loss(find(name).defaults) {}
Loss::Loss(std::string_view name) : Loss(std::string(name)) {}
Loss::Loss(const char* name) : Loss(std::string(name)) {}

Loss Loss::from_config(const Config& identifier) {
  const nn::Identifier id = nn::parse_identifier(identifier, "loss");
  LossFunction function = find(id.class_name).defaults;
  std::visit(Fill{id.config}, function);
  const Config* name = id.config.find("name");
  return Loss(std::move(function), reduction_from(id.config), name && name->is_string() ? name->as_string() : "");
}

std::string_view Loss::class_name() const noexcept { return table()[function_.index()].class_name; }

Config Loss::get_config() const {
  Config config = Config::dict({{"name", name_}});
  for (const auto& [reduction, name] : reductions)
    if (reduction == reduction_) config.set("reduction", name);
  for (auto& [key, value] : std::visit(OwnConfig{}, function_)) config.set(key, std::move(value));
  return config;
}

Config Loss::serialize() const { return nn::keras_object("losses", class_name(), get_config()); }

}  // namespace upconv
