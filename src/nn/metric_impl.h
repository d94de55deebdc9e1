// SPDX-License-Identifier: Apache-2.0
// The one interface behind every metric: sums that add up, and a result made of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "upconv/loss.h"
#include "upconv/metric.h"

namespace upconv {

struct Metric::Impl {
  virtual ~Impl() = default;
  virtual std::unique_ptr<Impl> clone() const = 0;
  virtual std::string_view class_name() const noexcept = 0;
  virtual void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) = 0;
  virtual double result() const = 0;
  /// get_config() behind name and dtype.
  virtual Config::Dict own_config() const { return {}; }
  virtual bool separable() const noexcept { return true; }

  std::string name;
  std::vector<double> state = {};            // grows with the first update where its size depends on the data
};

namespace nn {

/// Keras's Mean over values of rank >= 1 (the first axis counts samples): values and weights are averaged over the other axes,
/// then summed. Adds to state[0] (total) and state[1] (count).
void add_mean(std::vector<double>& state, const Tensor& values, const Tensor* sample_weight);

std::unique_ptr<Metric::Impl> make_iou(const std::string& class_name, const Config& config);        // null: another class
std::unique_ptr<Metric::Impl> make_image_metric(const std::string& class_name, const Config& config);

}  // namespace nn
}  // namespace upconv
