// SPDX-License-Identifier: Apache-2.0
// What every optimiser does around its update, in Keras's order.
#include "upconv/optimizer.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "nn/identifier.h"
#include "nn/optimizer_updates.h"
#include "upconv/error.h"

namespace upconv {

namespace {

using namespace optimizers;

[[noreturn]] void refuse(const char* argument, const std::string& message) { throw ArgumentError(argument, message); }

std::string shown(const std::optional<double>& value) { return value ? base::python_repr(*value) : "None"; }

void check(const OptimizerOptions& o) {
  if (int{o.clipnorm.has_value()} + int{o.clipvalue.has_value()} + int{o.global_clipnorm.has_value()} > 1)
    refuse("clipnorm", base::cat("Only one of `clipnorm`, `clipvalue` and `global_clipnorm` can be set. Received: clipnorm=", shown(o.clipnorm),
                                 ", clipvalue=", shown(o.clipvalue), ", global_clipnorm=", shown(o.global_clipnorm)));
  if (o.gradient_accumulation_steps && *o.gradient_accumulation_steps < 2)
    refuse("gradient_accumulation_steps", base::cat("`gradient_accumulation_steps` must be an integer >= 2. Received: "
                                                    "gradient_accumulation_steps=", *o.gradient_accumulation_steps));
  if (o.use_ema && !(o.ema_momentum >= 0 && o.ema_momentum <= 1))
    refuse("ema_momentum", base::cat("`ema_momentum` must be in the range [0, 1]. Received: ema_momentum=", base::python_repr(o.ema_momentum)));
  if (o.ema_overwrite_frequency && *o.ema_overwrite_frequency < 1)
    refuse("ema_overwrite_frequency", base::cat("`ema_overwrite_frequency` must be an integer >= 1 or None. Received: ema_overwrite_frequency=",
                                                *o.ema_overwrite_frequency));
}

void check_momentum(double momentum) {
  if (!(momentum >= 0 && momentum <= 1)) refuse("momentum", "`momentum` must be a float between [0, 1].");
}

/// The initial values of a parameter's slots.
struct InitialSlots {
  const Tensor& value;
  Tensor filled(double with) const {
    Tensor t(value.shape(), value.dtype());
    if (with != 0)
      for (std::int64_t i = 0; i < t.elements(); ++i) base::write_element(t, i, with);
    return t;
  }
  std::vector<Tensor> zeros(int count) const { return std::vector<Tensor>(static_cast<std::size_t>(count), filled(0)); }

  std::vector<Tensor> operator()(const SGD& o) const { return zeros(o.momentum == 0 ? 0 : 1); }
  std::vector<Tensor> operator()(const RMSprop& o) const { return zeros(1 + (o.momentum > 0) + o.centered); }
  std::vector<Tensor> operator()(const Adam& o) const { return zeros(o.amsgrad ? 3 : 2); }
  std::vector<Tensor> operator()(const AdamW& o) const { return zeros(o.amsgrad ? 3 : 2); }
  std::vector<Tensor> operator()(const Adagrad& o) const { return {filled(o.initial_accumulator_value)}; }
  std::vector<Tensor> operator()(const Ftrl& o) const { return {filled(o.initial_accumulator_value), filled(0)}; }
  std::vector<Tensor> operator()(const Lion&) const { return zeros(1); }
  std::vector<Tensor> operator()(const Adafactor&) const {
    if (value.shape().rank() < 2) return {Tensor({}, value.dtype()), Tensor({}, value.dtype()), filled(0)};
    Shape r, c;
    for (std::size_t i = 0; i < value.shape().rank(); ++i) {
      if (i + 1 < value.shape().rank()) r.push_back(value.shape()[i]);
      if (i + 2 != value.shape().rank()) c.push_back(value.shape()[i]);
    }
    return {Tensor(r, value.dtype()), Tensor(c, value.dtype()), filled(0)};
  }
  template <class TwoSlots>
  std::vector<Tensor> operator()(const TwoSlots&) const { return zeros(2); }
};

template <DType kType>
void update_as(const OptimizerAlgorithm& algorithm, const nn::Parameter& parameter) {
  nn::Update<kType> update{parameter};
  std::visit([&](const auto& o) { update(o); }, algorithm);
}

void update(const OptimizerAlgorithm& algorithm, const nn::Parameter& parameter) {
  switch (parameter.value.dtype()) {
    case DType::float32: return update_as<DType::float32>(algorithm, parameter);
    case DType::float64: return update_as<DType::float64>(algorithm, parameter);
    case DType::float16: return update_as<DType::float16>(algorithm, parameter);
    case DType::bfloat16: return update_as<DType::bfloat16>(algorithm, parameter);
  }
}

/// t[i] = f(t[i]).
template <class F>
void each(Tensor& t, F f) {
  for (std::int64_t i = 0; i < t.elements(); ++i) base::write_element(t, i, f(base::read_element(t, i)));
}
template <class F>
void each(Tensor& t, const Tensor& other, F f) {
  for (std::int64_t i = 0; i < t.elements(); ++i)
    base::write_element(t, i, f(base::read_element(t, i), base::read_element(other, i)));
}

double square_norm(const Tensor& t) {
  double sum = 0;
  for (std::int64_t i = 0; i < t.elements(); ++i) sum += base::read_element(t, i) * base::read_element(t, i);
  return sum;
}

/// A weight with its gradient, while a step runs on copies.
struct Target {
  Layer* layer;
  std::size_t index;
  Tensor value, gradient;
  std::size_t slot;                          // place in the optimiser's state
};

}  // namespace

struct Optimizer::Impl {
  OptimizerAlgorithm algorithm;
  OptimizerOptions options;
  std::int64_t raw_step = 0;                 // counts applied gradients; updates are raw_step / accumulation steps
  double u_product = 1;
  std::vector<std::vector<Tensor>> slots;
  std::vector<Tensor> averages, accumulators;

  std::int64_t accumulation() const { return options.gradient_accumulation_steps.value_or(1); }
  std::int64_t iterations() const { return raw_step / accumulation(); }
  double learning_rate() const {
    return std::visit([&](const auto& o) { return o.learning_rate.at(raw_step); }, algorithm);
  }
  std::optional<double> weight_decay() const {
    if (!options.weight_decay && std::holds_alternative<AdamW>(algorithm)) return 0.004;
    return options.weight_decay;
  }

  void prepare(const std::vector<Model::WeightRef>& weights) {
    if (slots.size() == weights.size()) return;
    if (!slots.empty())
      refuse("model", base::cat("The optimizer holds the state of ", slots.size(), " weights. Received a model with ", weights.size(), "."));
    for (const Model::WeightRef& ref : weights) {
      const Tensor& value = ref.variable().value;
      slots.push_back(std::visit(InitialSlots{value}, algorithm));
      averages.push_back(options.use_ema ? Tensor(value.shape(), value.dtype()) : Tensor());
      accumulators.push_back(options.gradient_accumulation_steps ? Tensor(value.shape(), value.dtype()) : Tensor());
    }
  }

  void apply(const std::vector<Model::WeightRef>& weights, std::span<const Tensor> gradients) {
    if (gradients.size() != weights.size())
      refuse("gradients", base::cat("An optimizer takes one gradient for each of the ", weights.size(), " weights. Received: ", gradients.size(), "."));
    std::vector<Target> targets;
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const Variable& variable = weights[i].variable();
      if (gradients[i].elements() == 0 || !variable.trainable || !weights[i].layer->trainable()) continue;
      if (gradients[i].shape() != variable.value.shape())
        refuse("gradients", base::cat("The gradient of ", variable.path, " must have shape ", variable.value.shape().str(), ". Received: ",
                                      gradients[i].shape().str(), "."));
      targets.push_back({weights[i].layer, weights[i].index, variable.value, gradients[i].cast(variable.value.dtype()), i});
    }
    if (targets.empty()) refuse("gradients", "No gradients provided for any variable.");
    prepare(weights);
    if (options.loss_scale_factor)
      for (Target& t : targets) each(t.gradient, [&](double g) { return g / *options.loss_scale_factor; });
    const bool updates = (raw_step + 1) % accumulation() == 0;
    accumulate(targets, updates);
    if (updates) update_all(targets);
    // The moving average and the constraints run on accumulating steps too, as in Keras.
    average(targets);
    for (Target& t : targets) {
      t.layer->variables()[t.index].constraint.project(t.value);
      t.layer->assign(t.index, std::move(t.value));
    }
    ++raw_step;
  }

  void accumulate(std::vector<Target>& targets, bool updates) {
    if (!options.gradient_accumulation_steps) return;
    for (Target& t : targets) {
      Tensor& sum = accumulators[t.slot];
      if (!updates) {
        each(sum, t.gradient, [](double a, double g) { return a + g; });
        continue;
      }
      const auto steps = static_cast<double>(accumulation());
      const DType dtype = sum.dtype();
      each(t.gradient, sum, [&](double g, double a) { return base::rounded(g + a, dtype) / steps; });
      each(sum, [](double) { return 0.0; });
    }
  }

  void clip(std::vector<Target>& targets) const {
    const auto scale = [](Tensor& t, double numerator, double denominator) {
      each(t, [&](double g) { return base::rounded(g * numerator, t.dtype()) / denominator; });
    };
    if (options.clipnorm && *options.clipnorm > 0)
      for (Target& t : targets) {
        const double norm = base::rounded(std::sqrt(square_norm(t.gradient)), t.gradient.dtype());
        if (norm > 0) scale(t.gradient, *options.clipnorm, std::max(norm, *options.clipnorm));
      }
    if (options.global_clipnorm && *options.global_clipnorm > 0) {
      double square = 0;
      for (const Target& t : targets) square += square_norm(t.gradient);
      const double norm = std::sqrt(square), c = *options.global_clipnorm;
      const double factor = c * std::min(1 / norm, 1 / c) + (norm - norm);       // NaN where the norm is not finite
      for (Target& t : targets) each(t.gradient, [&](double g) { return g * factor; });
    }
    if (options.clipvalue && *options.clipvalue > 0)
      for (Target& t : targets)
        each(t.gradient, [&](double g) { return g < -*options.clipvalue ? -*options.clipvalue : g > *options.clipvalue ? *options.clipvalue : g; });
  }

  void update_all(std::vector<Target>& targets) {
    clip(targets);
    const double rate = learning_rate();
    const std::int64_t step = iterations() + 1;
    if (const auto decay = weight_decay())
      for (Target& t : targets) {
        const std::string& path = t.layer->variables()[t.index].path;
        const bool excluded = std::any_of(options.exclude_from_weight_decay.begin(), options.exclude_from_weight_decay.end(),
                                          [&](const std::string& part) { return path.find(part) != std::string::npos; });
        const DType dtype = t.value.dtype();
        if (!excluded)
          each(t.value, [&](double w) { return w - base::rounded(base::rounded(w * *decay, dtype) * base::rounded(rate, dtype), dtype); });
      }
    if (const auto* nadam = std::get_if<Nadam>(&algorithm))
      u_product = base::rounded(u_product * nadam->beta_1 * (1 - 0.5 * std::pow(0.96, static_cast<double>(step))), DType::float32);
    for (Target& t : targets) update(algorithm, {t.value, t.gradient, slots[t.slot], rate, step, u_product});
  }

  void average(std::vector<Target>& targets) {
    if (!options.use_ema) return;
    const double momentum = options.ema_momentum * (iterations() != 0 ? 1 : 0);
    for (Target& t : targets) {
      each(averages[t.slot], t.value, [&](double a, double v) { return momentum * a + (1 - momentum) * v; });
      if (options.ema_overwrite_frequency && (iterations() + 1) % *options.ema_overwrite_frequency == 0) t.value = averages[t.slot];
    }
  }
};

Optimizer::Optimizer(OptimizerAlgorithm algorithm, OptimizerOptions options)
    : impl_(std::make_unique<Impl>(Impl{std::move(algorithm), std::move(options), 0, 1, {}, {}, {}})) {
  check(impl_->options);
  if (const auto* sgd = std::get_if<SGD>(&impl_->algorithm)) check_momentum(sgd->momentum);
  if (const auto* rms = std::get_if<RMSprop>(&impl_->algorithm)) check_momentum(rms->momentum);
}
Optimizer::Optimizer(Optimizer&&) noexcept = default;
Optimizer& Optimizer::operator=(Optimizer&&) noexcept = default;
Optimizer::~Optimizer() = default;

static std::vector<Model::WeightRef> weights_of(Layer& layer) {
  std::vector<Model::WeightRef> refs;
  for (std::size_t i = 0; i < layer.variables().size(); ++i) refs.push_back({&layer, i});
  return refs;
}

void Optimizer::apply(Model& model, std::span<const Tensor> gradients) { impl_->apply(model.weights(), gradients); }
void Optimizer::apply(Layer& layer, std::span<const Tensor> gradients) { impl_->apply(weights_of(layer), gradients); }

void Optimizer::finalize(Layer& layer) {
  if (!impl_->options.use_ema) return;
  for (std::size_t i = 0; i < layer.variables().size() && i < impl_->averages.size(); ++i) layer.assign(i, impl_->averages[i]);
}

std::int64_t Optimizer::iterations() const noexcept { return impl_->iterations(); }
double Optimizer::learning_rate() const { return impl_->learning_rate(); }

// ------------------------------------------------------------------------------------------------ configuration

namespace {

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

}  // namespace

Optimizer Optimizer::from_config(const Config& identifier) {
  const nn::Identifier id = nn::parse_identifier(identifier, "optimizer");
  return Optimizer(algorithm_from(base::lower(id.class_name), id.config), options_from(id.config));
}

}  // namespace upconv
