// SPDX-License-Identifier: Apache-2.0
// Training a model: compile, fit, evaluate and predict in Keras's words. One step cuts the global batch into `chunks` pieces,
// whose gradients are added in a fixed tree, so 1, 2, 4 and 8 machines give equal bits (docs/distributed.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "upconv/loss.h"
#include "upconv/metric.h"
#include "upconv/model.h"
#include "upconv/optimizer.h"

namespace upconv {

/// Samples for one step: one tensor an input, one a target (the first axis counts samples), and at most one weight tensor.
struct Batch {
  std::vector<Tensor> inputs, targets;
  std::optional<Tensor> sample_weight = {};
  std::int64_t size() const { return inputs.empty() ? 0 : inputs.front().shape()[0]; }
};

/// Where samples come from. Called from one thread at a time.
class UPCONV_EXPORT Dataset {
 public:
  virtual ~Dataset();
  virtual std::int64_t size() const = 0;               ///< samples an epoch
  /// The samples with these numbers; `epoch` and a number decide everything random about a sample (a patch, a flip).
  virtual Batch batch(std::span<const std::int64_t> indices, std::int64_t epoch) const = 0;
  virtual bool has_targets() const { return true; }
};

/// Arrays in memory. Throws ArgumentError when the numbers of samples differ or there is none.
class UPCONV_EXPORT ArrayDataset final : public Dataset {
 public:
  ArrayDataset(std::vector<Tensor> inputs, std::vector<Tensor> targets, std::optional<Tensor> sample_weight = {});
  std::int64_t size() const override;
  Batch batch(std::span<const std::int64_t> indices, std::int64_t epoch) const override;
  bool has_targets() const override { return !targets_.empty(); }

 private:
  std::vector<Tensor> inputs_, targets_;
  std::optional<Tensor> sample_weight_;
};

/// The ranks of a data-parallel job, or this process alone. Errors are thrown on every rank.
class UPCONV_EXPORT Communicator {
 public:
  virtual ~Communicator();
  virtual int rank() const noexcept = 0;
  virtual int size() const noexcept = 0;
  /// Starts adding `values` of all ranks in place; the memory stays the caller's until finish_sums(). Ranks are added in a
  /// fixed binary tree, so all see the same bits whatever the order in which messages arrive.
  virtual void begin_sum(TensorView values) = 0;
  virtual void progress() = 0;                         ///< lets running sums move on; called between layers
  virtual void finish_sums() = 0;                      ///< waits for all started sums
  virtual void sum(std::span<double> values) = 0;      ///< adds small things in the same tree, at once
  virtual void broadcast(TensorView values) = 0;       ///< rank 0's values everywhere
  /// Throws StateError with the same message on all ranks when one of them passes a message that is not empty.
  virtual void check(const std::string& error) = 0;
};

/// Named numbers of an epoch or a batch, in Keras's order: loss, metrics, then val_loss, val_...
using Logs = std::vector<std::pair<std::string, double>>;
UPCONV_EXPORT const double* find_log(const Logs& logs, const std::string& name) noexcept;   ///< nullptr when absent

class Trainer;

/// What a callback sees. `stop_training` ends fit() after the current batch, with the end of its epoch; `interrupt` at once:
/// position() then says where to go on.
struct TrainingContext {
  Trainer& trainer;
  std::int64_t epoch = 0, epochs = 0;                  ///< counted from 0
  std::int64_t step = 0, steps = 0;                    ///< of this epoch
  std::int64_t batch_size = 0;
  int rank = 0;                                        ///< only rank 0 writes files
  bool stop_training = false, interrupt = false;
};

/// The one interface of everything that watches or steers fit(). Called on the training thread, on every rank.
class UPCONV_EXPORT Callback {
 public:
  virtual ~Callback();
  virtual void on_train_begin(TrainingContext&) {}
  virtual void on_epoch_begin(TrainingContext&) {}
  virtual void on_batch_end(TrainingContext&, const Logs&) {}
  virtual void on_epoch_end(TrainingContext&, Logs&) {}    ///< may add to the logs (ReduceLROnPlateau adds learning_rate)
  virtual void on_train_end(TrainingContext&) {}
};

/// Keras's callbacks that write no file; ModelCheckpoint and CSVLogger are in io.h.
namespace callbacks {
enum class Mode : unsigned char { automatic, min, max };

struct EarlyStoppingOptions {
  std::string monitor = "val_loss";
  double min_delta = 0;
  std::int64_t patience = 0;
  Mode mode = Mode::automatic;
  std::optional<double> baseline = {};
  bool restore_best_weights = false;
  std::int64_t start_from_epoch = 0;
};
UPCONV_EXPORT std::shared_ptr<Callback> early_stopping(EarlyStoppingOptions options = {});

struct ReduceLROnPlateauOptions {
  std::string monitor = "val_loss";
  double factor = 0.1;                                 ///< below 1
  std::int64_t patience = 10;
  Mode mode = Mode::automatic;
  double min_delta = 1e-4;
  std::int64_t cooldown = 0;
  double min_lr = 0;
};
UPCONV_EXPORT std::shared_ptr<Callback> reduce_lr_on_plateau(ReduceLROnPlateauOptions options = {});

/// Stops at a loss that is not finite.
UPCONV_EXPORT std::shared_ptr<Callback> terminate_on_nan();
}  // namespace callbacks

struct FitOptions {
  std::int64_t epochs = 1;                             ///< the number of the last epoch, as in Keras
  std::int64_t initial_epoch = 0;
  std::int64_t batch_size = 32;                        ///< of all ranks together
  std::optional<std::int64_t> steps_per_epoch = {};
  bool shuffle = true;
  std::uint64_t seed = 0;                              ///< of the shuffling and of what the dataset draws
  const Dataset* validation_data = nullptr;
  std::optional<std::int64_t> validation_batch_size = {};
  std::int64_t validation_freq = 1;
  std::vector<std::shared_ptr<Callback>> callbacks = {};
  bool stop_on_nan = false;                            ///< StateError naming step and layer at a loss that is not finite
};

/// Where a run stands; with the weights and the optimiser's variables, all that a resumed run needs.
struct TrainingPosition {
  std::int64_t epoch = 0, step = 0;                    ///< the next batch
  std::uint64_t seed = 0;
  std::int64_t batch_size = 0;
};

struct History {
  std::vector<std::int64_t> epoch;
  std::vector<Logs> logs;                              ///< of each epoch
  bool interrupted = false;
};

/// What Keras's compile() takes.
struct TrainerOptions {
  std::vector<double> loss_weights = {};               ///< one an output
  std::vector<Metric> metrics = {};                    ///< of every output
  std::vector<Metric> weighted_metrics = {};           ///< the same, with the sample weights
  bool auto_scale_loss = true;                         ///< LossScaleOptimizer under the mixed_float16 policy, as Keras
  std::shared_ptr<Communicator> communicator = {};
  std::int64_t compare_every = 100;                    ///< steps after which the ranks compare their weights
  bool fast_reduce = false;                            ///< one chunk a rank instead of eight: any number of ranks, other bits
  ExecutionOptions execution = {};
};

/// A model being trained: Keras's compiled model. Not for use from several threads at once. The model's layers are shared
/// with the caller; untrainable weights and layers keep their bits.
class UPCONV_EXPORT Trainer {
 public:
  static constexpr int chunks = 8;

  /// One loss for all outputs, or one an output. Throws ArgumentError.
  Trainer(Model model, Optimizer optimizer, std::vector<Loss> losses, TrainerOptions options = {});
  Trainer(Trainer&&) noexcept;
  Trainer& operator=(Trainer&&) noexcept;
  ~Trainer();

  Model& model() noexcept;
  Optimizer& optimizer() noexcept;
  /// Keras's get_compile_config(): optimizer, loss, loss_weights, metrics, weighted_metrics, run_eagerly, steps_per_execution, jit_compile.
  Config get_compile_config() const;

  /// Throws ArgumentError on empty data or shapes that do not match, StateError with the same text on all ranks when one fails.
  /// A run that goes on after load_trainer() equals an uninterrupted one bit for bit.
  History fit(const Dataset& data, const FitOptions& options = {});
  Logs evaluate(const Dataset& data, std::int64_t batch_size = 32);
  std::vector<Tensor> predict(const Dataset& data, std::int64_t batch_size = 32) const;

  Logs train_on_batch(const Batch& batch);
  Logs test_on_batch(const Batch& batch);

  /// Where fit() is, or where it will go on.
  const TrainingPosition& position() const noexcept;
  void set_position(const TrainingPosition& position);

  struct Impl;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace upconv
