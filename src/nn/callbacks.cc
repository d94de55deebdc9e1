// SPDX-License-Identifier: Apache-2.0
// Keras's callbacks that watch a log and steer the run.
#include <cmath>
#include <limits>

#include "base/text.h"
#include "upconv/error.h"
#include "upconv/training.h"

namespace upconv::callbacks {

namespace {

/// Whether larger is better, as Keras decides it where it is not said: by the name of the log.
bool larger_is_better(const std::string& monitor, Mode mode) {
  if (mode != Mode::automatic) return mode == Mode::max;
  for (const char* part : {"acc", "auc", "iou", "psnr", "ssim", "precision", "recall", "f1", "cosine_similarity"})
    if (monitor.find(part) != std::string::npos) return true;
  return false;
}

const double& watched(const Logs& logs, const std::string& monitor) {
  if (const double* value = find_log(logs, monitor)) return *value;
  std::vector<std::string> names;
  for (const auto& [name, value] : logs) names.push_back(name);
  throw ArgumentError("monitor", base::cat("The callback watches '", base::escaped(monitor), "', which is not among the logs: ", base::join(names, ", "), "."));
}

/// The best value so far; a change smaller than min_delta is none.
struct Best {
  bool larger;
  double min_delta, value;
  Best(bool larger, double min_delta) : larger(larger), min_delta(std::abs(min_delta)) { reset(); }
  void reset() { value = larger ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity(); }
  bool improved(double now) const { return larger ? now - min_delta > value : now + min_delta < value; }
};

class EarlyStopping final : public Callback {
 public:
  explicit EarlyStopping(EarlyStoppingOptions o) : o_(std::move(o)), best_(larger_is_better(o_.monitor, o_.mode), o_.min_delta) {}

  void on_train_begin(TrainingContext&) override {
    wait_ = 0, weights_.clear();
    best_.reset();
  }
  void on_epoch_end(TrainingContext& context, Logs& logs) override {
    if (context.epoch < o_.start_from_epoch) return;
    const double now = watched(logs, o_.monitor);
    if (o_.restore_best_weights && weights_.empty()) weights_ = kept(context);
    ++wait_;
    if (best_.improved(now)) {
      best_.value = now;
      if (o_.restore_best_weights) weights_ = kept(context);
      if (!o_.baseline || (best_.larger ? now > *o_.baseline : now < *o_.baseline)) wait_ = 0;
      return;
    }
    if (wait_ >= o_.patience && context.epoch > 0) context.stop_training = true;
  }
  void on_train_end(TrainingContext& context) override {
    if (context.interrupt || weights_.empty()) return;
    const std::vector<Model::WeightRef> refs = context.trainer.model().weights();
    for (std::size_t i = 0; i < refs.size(); ++i) refs[i].layer->assign(refs[i].index, weights_[i]);
  }

 private:
  static std::vector<Tensor> kept(TrainingContext& context) {
    std::vector<Tensor> weights;
    for (const Model::WeightRef& ref : context.trainer.model().weights()) weights.push_back(ref.variable().value);
    return weights;
  }

  EarlyStoppingOptions o_;
  Best best_;
  std::int64_t wait_ = 0;
  std::vector<Tensor> weights_;
};

class ReduceLROnPlateau final : public Callback {
 public:
  explicit ReduceLROnPlateau(ReduceLROnPlateauOptions o) : o_(std::move(o)), best_(larger_is_better(o_.monitor, o_.mode), o_.min_delta) {
    if (!(o_.factor >= 0 && o_.factor < 1))
      throw ArgumentError("factor", base::cat("ReduceLROnPlateau does not support a factor >= 1.0. Received factor=", base::python_repr(o_.factor)));
  }
  void on_train_begin(TrainingContext&) override {
    wait_ = cooldown_ = 0;
    best_.reset();
  }
  void on_epoch_end(TrainingContext& context, Logs& logs) override {
    Optimizer& optimizer = context.trainer.optimizer();
    const double now = watched(logs, o_.monitor), rate = optimizer.learning_rate();
    logs.emplace_back("learning_rate", rate);
    if (cooldown_ > 0) --cooldown_, wait_ = 0;
    if (best_.improved(now)) {
      best_.value = now, wait_ = 0;
    } else if (cooldown_ == 0 && ++wait_ >= o_.patience && rate > o_.min_lr) {
      optimizer.set_learning_rate(std::max(rate * o_.factor, o_.min_lr));
      cooldown_ = o_.cooldown, wait_ = 0;
    }
  }

 private:
  ReduceLROnPlateauOptions o_;
  Best best_;
  std::int64_t wait_ = 0, cooldown_ = 0;
};

class TerminateOnNaN final : public Callback {
 public:
  void on_batch_end(TrainingContext& context, const Logs& logs) override {
    const double* loss = find_log(logs, "loss");
    if (loss && !std::isfinite(*loss)) context.stop_training = true;
  }
};

}  // namespace

std::shared_ptr<Callback> early_stopping(EarlyStoppingOptions options) { return std::make_shared<EarlyStopping>(std::move(options)); }
std::shared_ptr<Callback> reduce_lr_on_plateau(ReduceLROnPlateauOptions options) { return std::make_shared<ReduceLROnPlateau>(std::move(options)); }
std::shared_ptr<Callback> terminate_on_nan() { return std::make_shared<TerminateOnNaN>(); }

}  // namespace upconv::callbacks
