// SPDX-License-Identifier: Apache-2.0
// What a trainer holds and does: a step (trainer.cc) and the epochs around it (fit.cc).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "upconv/training.h"

namespace upconv {

struct Trainer::Impl {
  struct CompiledMetric {
    Metric metric;
    std::size_t output;
    bool weighted;
    std::size_t state_size = 0;
  };
  /// A piece of the global batch that this rank works on.
  struct Chunk {
    Batch batch;
    std::int64_t samples = 0;
    std::vector<Tensor> outputs, gradients;            // gradients of the outputs
    ModelTape tape;
    const Tensor* weight() const { return batch.sample_weight ? &*batch.sample_weight : nullptr; }
  };
  /// A step on its way; the numbers are those of the whole global batch.
  struct Step {
    std::vector<Chunk> chunks;
    std::optional<ModelTape> tape = {};                // of all chunks together, where they went forward as one
    std::int64_t samples = 0;
    double loss = 0;
    std::vector<double> output_losses, metric_states;
  };
  /// Sums over steps, from which logs are made: Keras weighs each batch's loss by its samples.
  struct Totals {
    double samples = 0, loss = 0;
    std::vector<double> output_losses, metric_states;
    void add(const Step& step);
  };
  /// Loads samples [from, to) of the current global batch.
  using LoadChunk = std::function<Batch(std::int64_t from, std::int64_t to)>;

  Impl(Model model, Optimizer optimizer, std::vector<Loss> losses, TrainerOptions options);

  Model model;
  Optimizer optimizer;
  std::vector<Loss> losses;
  TrainerOptions options;
  std::vector<CompiledMetric> metrics = {};
  int chunks_per_batch = chunks;
  bool scaled_by_policy = false;
  TrainingPosition position = {};
  bool resumes = false;                                // the next fit() goes on at `position`

  int rank() const { return options.communicator ? options.communicator->rank() : 0; }
  int ranks() const { return options.communicator ? options.communicator->size() : 1; }
  std::string output_name(std::size_t output) const;

  Step run_step(const LoadChunk& load, std::int64_t samples, bool training);
  void learn(Step& step);
  std::string first_layer_not_finite(const Step& step) const;
  Logs logs(const Totals& totals, const std::string& prefix);
  void check_data(const Dataset& data, std::int64_t batch_size) const;
  /// With several ranks: rank 0's weights everywhere; then a comparison of weights and optimiser state. StateError when they differ.
  void share_weights();
  void compare_ranks();
  void agree(bool& flag);                              // true everywhere where it is true on one rank
  Logs run_evaluation(const Dataset& data, std::int64_t batch_size, const std::string& prefix);

 private:
  template <class Work> void together(Work work);
  bool goes_together() const;
  Step forward(const LoadChunk& load, std::int64_t samples, bool training);
  void evaluate(Step& step, bool training);
  std::vector<Tensor> backward(Step& step);
};

namespace nn {

std::vector<std::int64_t> range(std::int64_t from, std::int64_t to);
bool all_finite(const Tensor& t);
/// A copy of samples [from, to).
Tensor samples_of(const Tensor& t, std::int64_t from, std::int64_t to);
/// Outputs of batches (parts[batch][output]) along the first axis.
std::vector<Tensor> concatenated(const std::vector<std::vector<Tensor>>& parts);

}  // namespace nn
}  // namespace upconv
