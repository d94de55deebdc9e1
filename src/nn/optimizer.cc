// SPDX-License-Identifier: Apache-2.0
// What every optimiser does around its update, in Keras's order.
#include "upconv/optimizer.h"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "base/text.h"
#include "nn/optimizer_impl.h"
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

void check_scaling(const OptimizerOptions& o) {
  if (!o.loss_scaling) return;
  if (!(o.loss_scaling->initial_scale > 0) || o.loss_scaling->dynamic_growth_steps < 1)
    refuse("loss_scaling", base::cat("`initial_scale` must be positive and `dynamic_growth_steps` at least 1. Received: initial_scale=",
                                     base::python_repr(o.loss_scaling->initial_scale), ", dynamic_growth_steps=", o.loss_scaling->dynamic_growth_steps));
}

void check_momentum(double momentum) {
  if (!(momentum >= 0 && momentum <= 1)) refuse("momentum", "`momentum` must be a float between [0, 1].");
}

void update(const OptimizerAlgorithm& algorithm, const nn::Parameter& parameter) {
  nn::for_dtype(parameter.value.dtype, [&]<DType kType>() { std::visit(nn::Update<kType>{parameter}, algorithm); });
}

/// x as a number of n's kind.
template <class N>
N like(N, double x) { return N(x); }

}  // namespace

double Optimizer::Impl::learning_rate() const {
  return std::visit([&](const auto& o) { return o.learning_rate.at(raw_step); }, algorithm);
}

std::optional<double> Optimizer::Impl::weight_decay() const {
  if (!options.weight_decay && std::holds_alternative<AdamW>(algorithm)) return 0.004;
  return options.weight_decay;
}

std::vector<OptimizerTarget> Optimizer::Impl::targets(const std::vector<Model::WeightRef>& weights, std::vector<Tensor> gradients) {
  if (gradients.size() != weights.size())
    refuse("gradients", base::cat("An optimizer takes one gradient for each of the ", weights.size(), " weights. Received: ", gradients.size(), "."));
  std::vector<OptimizerTarget> targets;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Variable& variable = weights[i].variable();
    if (gradients[i].elements() == 0 || !variable.trainable || !weights[i].layer->trainable()) continue;
    if (gradients[i].shape() != variable.value.shape())
      refuse("gradients", base::cat("The gradient of ", variable.path, " must have shape ", variable.value.shape().str(), ". Received: ",
                                    gradients[i].shape().str(), "."));
    targets.push_back({weights[i].layer, weights[i].index,
                       gradients[i].dtype() == variable.value.dtype() ? std::move(gradients[i]) : gradients[i].cast(variable.value.dtype()), i});
  }
  if (targets.empty()) refuse("gradients", "No gradients provided for any variable.");
  prepare(weights);
  for (const OptimizerTarget& t : targets)
    if (!tracked[t.slot])
      refuse("gradients", base::cat("Unknown variable: ", t.variable().path, ". This optimizer can only be called for the "
                                    "variables it was originally built with. When working with a new set of variables, you should recreate a "
                                    "new optimizer instance."));
  return targets;
}

/// Divides by the loss scale and moves it. False: a gradient is not finite, so this step is left out.
bool Optimizer::Impl::unscale(std::vector<OptimizerTarget>& targets) {
  if (!options.loss_scaling) return true;
  bool finite = true;
  for (const OptimizerTarget& t : targets)
    finite = finite && nn::all_finite(workers(), t.gradient);
  if (!finite) {
    step_counter = 0, dynamic_scale *= 0.5;
    return false;
  }
  for (OptimizerTarget& t : targets) nn::each(workers(), t.gradient, [scale = dynamic_scale](auto g) { return g / like(g, scale); });
  if (step_counter == options.loss_scaling->dynamic_growth_steps - 1) step_counter = 0, dynamic_scale *= 2;
  else ++step_counter;
  return true;
}

void Optimizer::Impl::apply(const std::vector<Model::WeightRef>& weights, std::vector<Tensor> gradients) {
  std::vector<OptimizerTarget> targets = this->targets(weights, std::move(gradients));
  const auto before = std::tuple(step_counter, dynamic_scale, u_product);
  if (!unscale(targets)) return;
  if (options.loss_scale_factor && !options.loss_scaling)
    for (OptimizerTarget& t : targets) nn::each(workers(), t.gradient, [scale = *options.loss_scale_factor](auto g) { return g / like(g, scale); });
  const bool updates = (raw_step + 1) % accumulation() == 0;
  if (updates) {
    add_accumulated(targets);
    clip(targets);
    if (const auto* nadam = std::get_if<Nadam>(&algorithm))
      u_product = base::rounded(u_product * nadam->beta_1 * (1 - 0.5 * std::pow(0.96, static_cast<double>(iterations() + 1))), DType::float32);
  }
  try {
    move_all(targets, updates);
  } catch (...) {
    std::tie(step_counter, dynamic_scale, u_product) = before;
    throw;
  }
  ++raw_step;
}

/// The gradients become their means with those of the steps before.
void Optimizer::Impl::add_accumulated(std::vector<OptimizerTarget>& targets) const {
  if (!options.gradient_accumulation_steps) return;
  for (OptimizerTarget& t : targets)
    nn::each(workers(), t.gradient, [steps = static_cast<double>(accumulation())](auto g, auto a) { return (g + a) / like(g, steps); }, accumulators[t.slot]);
}

/// One weight's way to its next value, but for the constraint. The moving average runs on accumulating steps too, as in Keras.
void Optimizer::Impl::move(const OptimizerTarget& t, bool updates, TensorView value, std::vector<Tensor>& slots, Tensor& average) const {
  if (updates) {
    const double rate = learning_rate();
    const auto& excluded = options.exclude_from_weight_decay;
    const auto decay = weight_decay();
    if (decay && std::none_of(excluded.begin(), excluded.end(), [&](const std::string& part) { return t.variable().path.find(part) != std::string::npos; }))
      nn::each(workers(), value, [decay = *decay, rate](auto w) { return w - w * like(w, decay) * like(w, rate); });
    update(algorithm, {value, t.gradient, slots, workers(), rate, iterations() + 1, u_product});
  }
  if (!options.use_ema) return;
  const double momentum = options.ema_momentum * (iterations() != 0 ? 1 : 0);
  nn::each(workers(), average, [momentum](auto a, auto v) { return like(a, momentum) * a + (like(a, 1) - like(a, momentum)) * v; }, value);
  if (options.ema_overwrite_frequency && (iterations() + 1) % *options.ema_overwrite_frequency == 0) convert(average, value);
}

/// Constraints may be the caller's and fail: weights with one move on copies, and nothing has changed until all have been
/// projected. The others move where they lie: copying them there and back cost 6-9 % of a step of the DCGAN generator.
void Optimizer::Impl::move_all(const std::vector<OptimizerTarget>& targets, bool updates) {
  struct Moved {
    const OptimizerTarget* target;
    Tensor value;
    std::vector<Tensor> slots;
    Tensor average;
  };
  std::vector<Moved> constrained;
  for (const OptimizerTarget& t : targets) {
    if (!t.variable().constraint) continue;
    Moved m{&t, t.variable().value, slots[t.slot], averages[t.slot]};
    move(t, updates, m.value, m.slots, m.average);
    t.variable().constraint.project(m.value);
    constrained.push_back(std::move(m));
  }
  for (Moved& m : constrained) {
    m.target->layer->assign(m.target->index, m.value);
    slots[m.target->slot] = std::move(m.slots), averages[m.target->slot] = std::move(m.average);
  }
  for (const OptimizerTarget& t : targets) {
    if (!t.variable().constraint)
      t.layer->update(t.index, [&](TensorView value) { move(t, updates, value, slots[t.slot], averages[t.slot]); });
    if (!options.gradient_accumulation_steps) continue;
    if (updates) nn::each(workers(), accumulators[t.slot], [](auto a) { return like(a, 0); });
    else nn::each(workers(), accumulators[t.slot], [](auto a, auto g) { return a + g; }, t.gradient);
  }
}

void Optimizer::Impl::clip(std::vector<OptimizerTarget>& targets) const {
  const nn::Workers workers = this->workers();
  if (options.clipnorm && *options.clipnorm > 0)
    for (OptimizerTarget& t : targets) {
      const double norm = base::rounded(std::sqrt(nn::square_norm(workers, t.gradient)), t.gradient.dtype());
      if (norm > 0)
        nn::each(workers, t.gradient, [c = *options.clipnorm, norm](auto g) { return g * like(g, c) / like(g, std::max(norm, c)); });
    }
  if (options.global_clipnorm && *options.global_clipnorm > 0) {
    double square = 0;
    for (const OptimizerTarget& t : targets) square += nn::square_norm(workers, t.gradient);
    const double norm = std::sqrt(square), c = *options.global_clipnorm;
    const double factor = c * std::min(1 / norm, 1 / c) + (norm - norm);       // NaN where the norm is not finite
    for (OptimizerTarget& t : targets) nn::each(workers, t.gradient, [factor](auto g) { return g * like(g, factor); });
  }
  if (options.clipvalue && *options.clipvalue > 0)
    for (OptimizerTarget& t : targets)
      nn::each(workers, t.gradient, [c = *options.clipvalue](auto g) { return nn::min(nn::max(g, like(g, -c)), like(g, c)); });
}

Optimizer::Optimizer(OptimizerAlgorithm algorithm, OptimizerOptions options)
    : impl_(std::make_unique<Impl>(Impl{.algorithm = std::move(algorithm), .options = std::move(options)})) {
  check(impl_->options);
  check_scaling(impl_->options);
  if (impl_->options.loss_scaling) impl_->dynamic_scale = impl_->options.loss_scaling->initial_scale;
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

void Optimizer::apply(Model& model, std::span<const Tensor> gradients) { apply(model, std::vector<Tensor>(gradients.begin(), gradients.end())); }
void Optimizer::apply(Model& model, std::vector<Tensor>&& gradients) { impl_->apply(model.weights(), std::move(gradients)); }
void Optimizer::apply(Layer& layer, std::span<const Tensor> gradients) {
  impl_->apply(weights_of(layer), std::vector<Tensor>(gradients.begin(), gradients.end()));
}
void Optimizer::finalize(Layer& layer) { impl_->finalize(weights_of(layer)); }
void Optimizer::finalize(Model& model) { impl_->finalize(model.weights()); }

void Optimizer::Impl::finalize(const std::vector<Model::WeightRef>& weights) {
  for (std::size_t i = 0; i < weights.size() && i < averages.size(); ++i)
    if (options.use_ema && tracked[i]) weights[i].layer->assign(weights[i].index, averages[i]);
}

std::int64_t Optimizer::iterations() const noexcept { return impl_->iterations(); }
double Optimizer::learning_rate() const { return impl_->learning_rate(); }
double Optimizer::loss_scale() const noexcept {
  return impl_->options.loss_scaling ? impl_->dynamic_scale : impl_->options.loss_scale_factor.value_or(1);
}

void Optimizer::set_loss_scaling(const LossScaling& scaling) {
  if (built()) throw StateError("The loss scaling of an optimizer is set before its state is made.");
  impl_->options.loss_scaling = scaling;
  check_scaling(impl_->options);
  impl_->options.loss_scale_factor.reset();
  impl_->dynamic_scale = scaling.initial_scale;
}

void Optimizer::set_learning_rate(double value) {
  std::visit([&](auto& o) {
    if (o.learning_rate.is_schedule())
      refuse("learning_rate", "This optimizer was created with a `LearningRateSchedule` object as its `learning_rate` constructor argument, hence "
                              "its learning rate is not settable.");
    o.learning_rate = LearningRate(value);
  }, impl_->algorithm);
}

}  // namespace upconv
