// SPDX-License-Identifier: Apache-2.0
// What an optimiser holds, for its step (optimizer.cc), its state as a list (optimizer_state.cc) and its configuration.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nn/optimizer_arithmetic.h"
#include "upconv/optimizer.h"
#include "upconv/runtime.h"

namespace upconv {

/// A weight with its gradient.
struct OptimizerTarget {
  Layer* layer;
  std::size_t index;
  Tensor gradient;
  std::size_t slot;                          // place in the optimiser's state
  const Variable& variable() const { return layer->variables()[index]; }
};

struct Optimizer::Impl {
  OptimizerAlgorithm algorithm;
  OptimizerOptions options;
  std::int64_t raw_step = 0;                 // counts applied gradients; updates are raw_step / accumulation steps
  double u_product = 1;                      // Nadam's product of momentum factors
  std::int64_t step_counter = 0;             // good steps since the loss scale last changed
  double dynamic_scale = 1;
  std::vector<bool> tracked = {};            // by the order of the model's weights: which were trainable when the state was made
  std::vector<std::string> paths = {};
  std::vector<std::vector<Tensor>> slots = {};
  std::vector<Tensor> averages = {}, accumulators = {};
  std::shared_ptr<Executor> executor = default_executor();
  int threads = default_threads();

  std::int64_t accumulation() const { return options.gradient_accumulation_steps.value_or(1); }
  std::int64_t iterations() const { return raw_step / accumulation(); }
  double learning_rate() const;
  std::optional<double> weight_decay() const;
  std::string name() const;                  // Keras's default where none was given

  /// Makes the state at the first call; later calls check that the weights are those it was made for.
  void prepare(const std::vector<Model::WeightRef>& weights);
  void apply(const std::vector<Model::WeightRef>& weights, std::vector<Tensor> gradients);
  void finalize(const std::vector<Model::WeightRef>& weights);

 private:
  nn::Workers workers() const { return {*executor, threads}; }
  std::vector<OptimizerTarget> targets(const std::vector<Model::WeightRef>& weights, std::vector<Tensor> gradients);
  bool unscale(std::vector<OptimizerTarget>& targets);
  void add_accumulated(std::vector<OptimizerTarget>& targets) const;
  void clip(std::vector<OptimizerTarget>& targets) const;
  void move(const OptimizerTarget& target, bool updates, TensorView value, std::vector<Tensor>& slots, Tensor& average) const;
  void move_all(const std::vector<OptimizerTarget>& targets, bool updates);
};

namespace nn {

std::string_view optimizer_class_name(const OptimizerAlgorithm& algorithm) noexcept;

}  // namespace nn
}  // namespace upconv
