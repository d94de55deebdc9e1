// SPDX-License-Identifier: Apache-2.0
// Keras's metrics: running sums over batches. https://keras.io/api/metrics/ PSNR and SSIM follow tf.image's definitions.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv {

/// A running measure of predictions. Copying copies the state. Not for use from several threads at once.
class UPCONV_EXPORT Metric {
 public:
  /// A loss's name or alias as a running mean ("mse", "binary_crossentropy", "huber", ...), or "accuracy" (which of the three, by the
  /// shapes of the first batch, as Keras's compile does), "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
  /// "root_mean_squared_error", "psnr", "ssim". Throws ArgumentError listing the names.
  Metric(const char* name);
  Metric(std::string_view name);
  Metric(const std::string& name);
  /// A name, or Keras's {"class_name", "config"}: the classes behind the names above and BinaryIoU, IoU, MeanIoU, OneHotIoU,
  /// OneHotMeanIoU; losses that Keras has no metric of are its MeanMetricWrapper; PSNR{max_val} and SSIM{max_val, filter_size, filter_sigma, k1, k2} are upconv's own.
  static Metric from_config(const Config& identifier);
  Metric(const Metric& other);
  Metric(Metric&&) noexcept;
  Metric& operator=(Metric other) noexcept;
  ~Metric();

  const std::string& name() const noexcept;
  std::string_view class_name() const noexcept;
  Config get_config() const;
  Config serialize() const;

  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight = nullptr);
  double result() const;                               ///< 0 before the first update, as Keras
  void reset();
  /// The sums that result() is made of; the sums of two runs of one metric add up to those of both.
  std::span<double> state() noexcept;
  /// False where one number depends on a whole batch (Dice and Tversky without an axis): update() then takes no pieces of one.
  bool separable() const noexcept;

  struct Impl;

 private:
  explicit Metric(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace upconv
