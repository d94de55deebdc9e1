// SPDX-License-Identifier: Apache-2.0
// What `upconv train` shows: a progress line, a line an epoch, the loss curve, sample pictures.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "upconv/training.h"

namespace upconv::cli {

/// One step's loss of one curve.
struct LossPoint { double step, loss; };

/// A picture of the losses by step, the loss on a logarithmic scale. Points that are not positive are left out.
std::string loss_svg(const std::vector<LossPoint>& training, const std::vector<LossPoint>& validation, const std::string& title);

/// Shows the run on stderr, keeps the curves, and stops at a signal after the current batch. Silent on ranks other than 0.
class TrainReport final : public Callback {
 public:
  void on_train_begin(TrainingContext& context) override;
  void on_batch_end(TrainingContext& context, const Logs& logs) override;
  void on_epoch_end(TrainingContext& context, Logs& logs) override;

  const std::vector<LossPoint>& training() const noexcept { return training_; }
  const std::vector<LossPoint>& validation() const noexcept { return validation_; }

 private:
  std::chrono::steady_clock::time_point start_, drawn_;
  std::int64_t first_step_ = -1;
  std::vector<LossPoint> training_, validation_;
  bool terminal_ = false;
};

}  // namespace upconv::cli
