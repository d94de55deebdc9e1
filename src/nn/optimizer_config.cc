// SPDX-License-Identifier: Apache-2.0
// Optimisers from and to Keras's configurations.
#include "base/text.h"
#include "nn/identifier.h"
#include "nn/optimizer_impl.h"
#include "upconv/error.h"

namespace upconv {

namespace nn {

std::string_view optimizer_class_name(const OptimizerAlgorithm& algorithm) noexcept {
  constexpr std::string_view names[] = {"SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Lion", "Lamb", "Ftrl", "Adafactor"};
  return names[algorithm.index()];
}

}  // namespace nn

namespace {

using namespace optimizers;

[[noreturn]] void refuse(const char* argument, const std::string& message) { throw ArgumentError(argument, message); }

std::optional<double> optional_number(const Config& c, const char* key) {
  const Config* value = c.find(key);
  return value && !value->is_null() ? std::optional(value->as_double()) : std::nullopt;
}
std::optional<std::int64_t> optional_integer(const Config& c, const char* key) {
  const Config* value = c.find(key);
  return value && !value->is_null() ? std::optional(value->as_int()) : std::nullopt;
}

OptimizerOptions options_from(const Config& c) {
  OptimizerOptions o;
  o.weight_decay = optional_number(c, "weight_decay"), o.clipnorm = optional_number(c, "clipnorm");
  o.clipvalue = optional_number(c, "clipvalue"), o.global_clipnorm = optional_number(c, "global_clipnorm");
  if (const Config* use = c.find("use_ema")) o.use_ema = use->as_bool();
  o.ema_momentum = nn::number_or(c, "ema_momentum", 0.99);
  o.ema_overwrite_frequency = optional_integer(c, "ema_overwrite_frequency");
  o.loss_scale_factor = optional_number(c, "loss_scale_factor");
  o.gradient_accumulation_steps = optional_integer(c, "gradient_accumulation_steps");
  if (const Config* name = c.find("name"); name && name->is_string()) o.name = name->as_string();
  return o;
}

/// Fills an algorithm's fields from a configuration: (key, field) pairs.
template <class T>
T filled(const Config& c, T o, std::initializer_list<std::pair<const char*, double T::*>> numbers,
         std::initializer_list<std::pair<const char*, bool T::*>> flags = {}) {
  if (const Config* rate = c.find("learning_rate")) o.learning_rate = LearningRate::from_config(*rate);
  for (const auto& [key, field] : numbers) o.*field = nn::number_or(c, key, o.*field);
  for (const auto& [key, field] : flags)
    if (const Config* value = c.find(key)) o.*field = value->as_bool();
  return o;
}

template <class T>
T adam_like(const Config& c) {
  return filled(c, T{}, {{"beta_1", &T::beta_1}, {"beta_2", &T::beta_2}, {"epsilon", &T::epsilon}});
}

OptimizerAlgorithm algorithm_from(const std::string& name, const Config& c) {
  if (name == "sgd") return filled(c, SGD{}, {{"momentum", &SGD::momentum}}, {{"nesterov", &SGD::nesterov}});
  if (name == "rmsprop")
    return filled(c, RMSprop{}, {{"rho", &RMSprop::rho}, {"momentum", &RMSprop::momentum}, {"epsilon", &RMSprop::epsilon}},
                  {{"centered", &RMSprop::centered}});
  if (name == "adam") {
    Adam o = adam_like<Adam>(c);
    if (const Config* value = c.find("amsgrad")) o.amsgrad = value->as_bool();
    return o;
  }
  if (name == "adamw") {
    AdamW o = adam_like<AdamW>(c);
    if (const Config* value = c.find("amsgrad")) o.amsgrad = value->as_bool();
    return o;
  }
  if (name == "adamax") return adam_like<Adamax>(c);
  if (name == "nadam") return adam_like<Nadam>(c);
  if (name == "lamb") return adam_like<Lamb>(c);
  if (name == "adagrad")
    return filled(c, Adagrad{}, {{"initial_accumulator_value", &Adagrad::initial_accumulator_value}, {"epsilon", &Adagrad::epsilon}});
  if (name == "adadelta") return filled(c, Adadelta{}, {{"rho", &Adadelta::rho}, {"epsilon", &Adadelta::epsilon}});
  if (name == "lion") return filled(c, Lion{}, {{"beta_1", &Lion::beta_1}, {"beta_2", &Lion::beta_2}});
  if (name == "ftrl")
    return filled(c, Ftrl{}, {{"learning_rate_power", &Ftrl::learning_rate_power}, {"initial_accumulator_value", &Ftrl::initial_accumulator_value},
                              {"l1_regularization_strength", &Ftrl::l1_regularization_strength},
                              {"l2_regularization_strength", &Ftrl::l2_regularization_strength},
                              {"l2_shrinkage_regularization_strength", &Ftrl::l2_shrinkage_regularization_strength}, {"beta", &Ftrl::beta}});
  if (name == "adafactor")
    return filled(c, Adafactor{}, {{"beta_2_decay", &Adafactor::beta_2_decay}, {"epsilon_1", &Adafactor::epsilon_1},
                                   {"epsilon_2", &Adafactor::epsilon_2}, {"clip_threshold", &Adafactor::clip_threshold}},
                  {{"relative_step", &Adafactor::relative_step}});
  if (name == "muon" || name == "schedulefreeadamw" || name == "multioptimizer")
    refuse("optimizer", base::cat("The optimizer '", name, "' is not supported: docs/why.md says why."));
  nn::unknown_identifier("optimizer", name, {"sgd", "rmsprop", "adam", "adamw", "adamax", "nadam", "adagrad", "adadelta", "lion", "lamb", "ftrl", "adafactor"});
}

/// The algorithm's own part of get_config().
struct OwnConfig {
  using Dict = Config::Dict;
  template <class A> static Dict betas(const A& o) { return {{"beta_1", o.beta_1}, {"beta_2", o.beta_2}, {"epsilon", o.epsilon}}; }
  template <class A> static Dict adam(const A& o) { Dict d = betas(o); d.emplace_back("amsgrad", o.amsgrad); return d; }
  Dict operator()(const SGD& o) const { return {{"momentum", o.momentum}, {"nesterov", o.nesterov}}; }
  Dict operator()(const RMSprop& o) const { return {{"rho", o.rho}, {"momentum", o.momentum}, {"epsilon", o.epsilon}, {"centered", o.centered}}; }
  Dict operator()(const Adam& o) const { return adam(o); }
  Dict operator()(const AdamW& o) const { return adam(o); }
  Dict operator()(const Adamax& o) const { return betas(o); }
  Dict operator()(const Nadam& o) const { return betas(o); }
  Dict operator()(const Lamb& o) const { return betas(o); }
  Dict operator()(const Adagrad& o) const { return {{"initial_accumulator_value", o.initial_accumulator_value}, {"epsilon", o.epsilon}}; }
  Dict operator()(const Adadelta& o) const { return {{"rho", o.rho}, {"epsilon", o.epsilon}}; }
  Dict operator()(const Lion& o) const { return {{"beta_1", o.beta_1}, {"beta_2", o.beta_2}}; }
  Dict operator()(const Ftrl& o) const {
    return {{"learning_rate_power", o.learning_rate_power}, {"initial_accumulator_value", o.initial_accumulator_value},
            {"l1_regularization_strength", o.l1_regularization_strength}, {"l2_regularization_strength", o.l2_regularization_strength},
            {"l2_shrinkage_regularization_strength", o.l2_shrinkage_regularization_strength}, {"beta", o.beta}};
  }
  Dict operator()(const Adafactor& o) const {
    return {{"beta_2_decay", o.beta_2_decay}, {"epsilon_1", o.epsilon_1}, {"epsilon_2", o.epsilon_2}, {"clip_threshold", o.clip_threshold},
            {"relative_step", o.relative_step}};
  }
};

Config optional(const auto& value) { return value ? Config(*value) : Config(); }

/// Without the wrapper of the loss scaling.
Config plain_config(const OptimizerAlgorithm& algorithm, const OptimizerOptions& o, const std::string& name,
                           const std::optional<double>& weight_decay) {
  const Config rate = std::visit([](const auto& a) { return a.learning_rate.config(); }, algorithm);
  Config config = Config::dict({{"name", name}, {"learning_rate", rate}, {"weight_decay", optional(weight_decay)}, {"clipnorm", optional(o.clipnorm)},
                                {"global_clipnorm", optional(o.global_clipnorm)}, {"clipvalue", optional(o.clipvalue)}, {"use_ema", o.use_ema},
                                {"ema_momentum", o.ema_momentum}, {"ema_overwrite_frequency", optional(o.ema_overwrite_frequency)},
                                {"loss_scale_factor", optional(o.loss_scale_factor)},
                                {"gradient_accumulation_steps", optional(o.gradient_accumulation_steps)}});
  for (auto& [key, value] : std::visit(OwnConfig{}, algorithm)) config.set(key, std::move(value));
  return config;
}

/// Throws ArgumentError in Keras's words on keys that the optimizer does not take. `decay`, of Keras 2, is passed over.
void check_arguments(const Config& given, const OptimizerAlgorithm& algorithm) {
  const Config taken = plain_config(algorithm, {}, "", {});
  Config unknown(Config::Dict{});
  for (const auto& [key, value] : given.as_dict())
    if (!taken.find(key) && key != "decay") unknown.set(key, value);
  if (!unknown.as_dict().empty())
    refuse(unknown.as_dict().front().first.c_str(), base::cat("Argument(s) not recognized: ", unknown.json()));
}

OptimizerAlgorithm checked_algorithm(const nn::Identifier& id) {
  OptimizerAlgorithm algorithm = algorithm_from(base::lower(id.class_name), id.config);
  check_arguments(id.config, algorithm);
  return algorithm;
}

}  // namespace

Optimizer Optimizer::from_config(const Config& identifier) {
  const nn::Identifier id = nn::parse_identifier(identifier, "optimizer");
  if (base::lower(id.class_name) != "lossscaleoptimizer")
    return Optimizer(checked_algorithm(id), options_from(id.config));
  for (const char* key : {"weight_decay", "clipnorm", "global_clipnorm", "clipvalue", "ema_overwrite_frequency", "loss_scale_factor", "gradient_accumulation_steps"})
    if (const Config* value = id.config.find(key); value && !value->is_null())
      refuse(key, base::cat("LossScaleOptimizer does not support `", key, "`. Instead, set `", key, "` on the `inner_optimizer`."));
  const Config* inner = id.config.find("inner_optimizer");
  if (!inner) refuse("inner_optimizer", "LossScaleOptimizer needs an `inner_optimizer`.");
  const nn::Identifier inside = nn::parse_identifier(*inner, "optimizer");
  OptimizerOptions options = options_from(inside.config);
  options.loss_scale_factor.reset();
  options.loss_scaling = LossScaling{nn::number_or(id.config, "initial_scale", 32768), static_cast<std::int64_t>(nn::number_or(id.config, "dynamic_growth_steps", 2000))};
  return Optimizer(checked_algorithm(inside), std::move(options));
}

Optimizer::Optimizer(const char* name) : Optimizer(from_config(Config(name))) {}

std::string_view Optimizer::class_name() const noexcept {
  return impl_->options.loss_scaling ? "LossScaleOptimizer" : nn::optimizer_class_name(impl_->algorithm);
}

Config Optimizer::get_config() const {
  const OptimizerOptions& o = impl_->options;
  Config config = plain_config(impl_->algorithm, o, impl_->name(), impl_->weight_decay());
  if (!o.loss_scaling) return config;
  return Config::dict({{"name", "loss_scale_optimizer"},
                       {"inner_optimizer", nn::keras_object("optimizers", nn::optimizer_class_name(impl_->algorithm), std::move(config))},
                       {"initial_scale", o.loss_scaling->initial_scale}, {"dynamic_growth_steps", o.loss_scaling->dynamic_growth_steps}});
}

Config Optimizer::serialize() const { return nn::keras_object("optimizers", class_name(), get_config()); }

}  // namespace upconv
