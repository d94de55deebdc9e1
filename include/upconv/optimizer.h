// SPDX-License-Identifier: Apache-2.0
// Keras's optimisers and learning-rate schedules. One apply() does, in Keras's order: loss-scale factor, gradient
// accumulation, clipping, decoupled weight decay, the update, the moving average, the constraints, the iteration count.
// Every operation is rounded to the variable's dtype, as Keras computes it there. https://keras.io/api/optimizers/
// Muon, ScheduleFreeAdamW and MultiOptimizer are refused by name: the first two have no reference that backends agree on.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "upconv/config.h"
#include "upconv/model.h"

namespace upconv {

/// Learning rates as functions of the raw step; evaluated in float32.
namespace schedules {
struct ExponentialDecay { double initial_learning_rate; std::int64_t decay_steps; double decay_rate; bool staircase = false; };
struct InverseTimeDecay { double initial_learning_rate; std::int64_t decay_steps; double decay_rate; bool staircase = false; };
struct PolynomialDecay {
  double initial_learning_rate;
  std::int64_t decay_steps;
  double end_learning_rate = 1e-4, power = 1;
  bool cycle = false;
};
/// values[i] for a step <= boundaries[i], the last value behind them; one value more than boundaries.
struct PiecewiseConstantDecay { std::vector<std::int64_t> boundaries; std::vector<double> values; };
struct CosineDecay {
  double initial_learning_rate;
  std::int64_t decay_steps;
  double alpha = 0;
  std::optional<double> warmup_target = {};
  std::int64_t warmup_steps = 0;
};
struct CosineDecayRestarts { double initial_learning_rate; std::int64_t first_decay_steps; double t_mul = 2, m_mul = 1, alpha = 0; };
}  // namespace schedules

/// A number, or a schedule. Throws ArgumentError for a number that is not finite or negative.
class UPCONV_EXPORT LearningRate {
 public:
  LearningRate(double value);
  template <class Schedule>
    requires(!std::is_arithmetic_v<Schedule> && !std::is_same_v<std::decay_t<Schedule>, LearningRate>)
  LearningRate(Schedule schedule) : rate_(std::move(schedule)) {}
  /// A number, or Keras's schedule dictionary.
  static LearningRate from_config(const Config& config);

  bool is_schedule() const noexcept { return rate_.index() != 0; }
  double at(std::int64_t step) const;
  Config config() const;                               ///< the number (rounded to float32, as Keras holds it) or the dictionary

 private:
  std::variant<double, schedules::ExponentialDecay, schedules::InverseTimeDecay, schedules::PolynomialDecay,
               schedules::PiecewiseConstantDecay, schedules::CosineDecay, schedules::CosineDecayRestarts>
      rate_;
};

/// Each with Keras's defaults.
namespace optimizers {
struct SGD { LearningRate learning_rate = 0.01; double momentum = 0; bool nesterov = false; };
struct RMSprop { LearningRate learning_rate = 0.001; double rho = 0.9, momentum = 0, epsilon = 1e-7; bool centered = false; };
struct Adam { LearningRate learning_rate = 0.001; double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7; bool amsgrad = false; };
/// weight_decay belongs to OptimizerOptions; where it is not given there, AdamW takes 0.004.
struct AdamW { LearningRate learning_rate = 0.001; double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7; bool amsgrad = false; };
struct Adamax { LearningRate learning_rate = 0.001; double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7; };
struct Nadam { LearningRate learning_rate = 0.001; double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7; };
struct Adagrad { LearningRate learning_rate = 0.001; double initial_accumulator_value = 0.1, epsilon = 1e-7; };
struct Adadelta { LearningRate learning_rate = 0.001; double rho = 0.95, epsilon = 1e-7; };
struct Lion { LearningRate learning_rate = 0.001; double beta_1 = 0.9, beta_2 = 0.99; };
struct Lamb { LearningRate learning_rate = 0.001; double beta_1 = 0.9, beta_2 = 0.999, epsilon = 1e-7; };
struct Ftrl {
  LearningRate learning_rate = 0.001;
  double learning_rate_power = -0.5, initial_accumulator_value = 0.1, l1_regularization_strength = 0, l2_regularization_strength = 0;
  double l2_shrinkage_regularization_strength = 0, beta = 0;
};
struct Adafactor {
  LearningRate learning_rate = 0.001;
  double beta_2_decay = -0.8, epsilon_1 = 1e-30, epsilon_2 = 1e-3, clip_threshold = 1;
  bool relative_step = true;
};
}  // namespace optimizers

using OptimizerAlgorithm =
    std::variant<optimizers::SGD, optimizers::RMSprop, optimizers::Adam, optimizers::AdamW, optimizers::Adamax, optimizers::Nadam,
                 optimizers::Adagrad, optimizers::Adadelta, optimizers::Lion, optimizers::Lamb, optimizers::Ftrl, optimizers::Adafactor>;

/// Whether T is one of them. (clang 14 cannot ask here whether the variant is constructible from T.)
template <class T, class Variant = OptimizerAlgorithm> inline constexpr bool is_optimizer_algorithm = false;
template <class T, class... Algorithms>
inline constexpr bool is_optimizer_algorithm<T, std::variant<Algorithms...>> = (std::is_same_v<T, Algorithms> || ...);

/// Keras's LossScaleOptimizer around the optimiser: the loss is multiplied by a scale that halves when a gradient is not finite
/// (that step is skipped) and doubles after dynamic_growth_steps good ones.
struct LossScaling { double initial_scale = 32768; std::int64_t dynamic_growth_steps = 2000; };

/// What every optimiser takes, in Keras's words. At most one of the three clips.
struct OptimizerOptions {
  std::optional<double> weight_decay = {}, clipnorm = {}, clipvalue = {}, global_clipnorm = {};
  bool use_ema = false;
  double ema_momentum = 0.99;
  std::optional<std::int64_t> ema_overwrite_frequency = {};
  std::optional<double> loss_scale_factor = {};
  std::optional<std::int64_t> gradient_accumulation_steps = {};     ///< at least 2
  /// Variables whose path holds one of these are not decayed.
  std::vector<std::string> exclude_from_weight_decay = {};
  std::optional<LossScaling> loss_scaling = {};
  std::string name = "";                               ///< Keras's default when empty: "adam"
};

/// One variable of an optimiser's state: a counter or a tensor. `path` is Keras's: "adam/iteration", "adam/sequential_..._momentum".
struct OptimizerVariable {
  std::string path;
  std::variant<std::int64_t, Tensor> value;
};

/// An optimiser with its state. The state belongs to parameters by their order; the first apply() fixes their shapes.
/// Not for use from several threads at once.
class UPCONV_EXPORT Optimizer {
 public:
  Optimizer(OptimizerAlgorithm algorithm, OptimizerOptions options = {});          ///< throws ArgumentError
  template <class Algorithm>
    requires is_optimizer_algorithm<Algorithm>
  Optimizer(Algorithm algorithm, OptimizerOptions options = {}) : Optimizer(OptimizerAlgorithm(std::move(algorithm)), std::move(options)) {}
  Optimizer(const char* name);                         ///< "adam", ...: from_config(name)
  Optimizer(Optimizer&&) noexcept;
  Optimizer& operator=(Optimizer&&) noexcept;
  ~Optimizer();
  /// From a Keras name (any letter case) or {"class_name", "config"}. Throws ArgumentError.
  static Optimizer from_config(const Config& identifier);

  /// One step on a model or a layer. `gradients` in the order of all weights; an empty tensor, or an untrainable weight, is
  /// passed over. Throws ArgumentError "No gradients provided" when all are empty, and when a shape differs, and what a
  /// constraint throws; nothing has changed then.
  void apply(Model& model, std::span<const Tensor> gradients);
  void apply(Model& model, std::vector<Tensor>&& gradients);          ///< takes them over: no copy
  void apply(Layer& layer, std::span<const Tensor> gradients);
  /// At the end of a fit: variables take their moving averages where use_ema is set.
  void finalize(Layer& layer);
  void finalize(Model& model);

  std::int64_t iterations() const noexcept;            ///< completed updates
  double learning_rate() const;                        ///< of the next step
  void set_learning_rate(double value);                ///< throws ArgumentError when it is a schedule
  /// What the loss is to be multiplied by before its gradients come to apply(); 1 without loss scaling.
  double loss_scale() const noexcept;
  /// As wrapping it in Keras's LossScaleOptimizer. Throws StateError once the state is made.
  void set_loss_scaling(const LossScaling& scaling);

  std::string_view class_name() const noexcept;        ///< "Adam"; "LossScaleOptimizer" where it scales
  Config get_config() const;                           ///< Keras's, in Keras's key order
  Config serialize() const;                            ///< {"module", "class_name", "config", "registered_name"}

  /// Makes the state for a model's weights; apply() does it at its first call.
  void build(const Model& model);
  bool built() const noexcept;
  /// The state in Keras's order: iteration, learning_rate (no schedule), moving averages, accumulators, slots; before them
  /// step_counter and dynamic_scale of the loss scaling. Only trainable weights have state, as in Keras.
  std::vector<OptimizerVariable> variables() const;
  /// Takes what variables() of such an optimiser gave. Throws ArgumentError on another number or shapes; nothing has changed then.
  void set_variables(std::span<const OptimizerVariable> variables);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace upconv
