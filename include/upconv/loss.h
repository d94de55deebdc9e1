// SPDX-License-Identifier: Apache-2.0
// Keras's losses: value and gradient with respect to the prediction, every reduction, sample weights.
// https://keras.io/api/losses/
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv {

/// How the losses of the samples become one number, in Keras's words. Weighted sums divide by the number of samples for
/// sum_over_batch_size (also called mean), by the sum of the weights for mean_with_sample_weight.
enum class Reduction : unsigned char { sum_over_batch_size, sum, mean, mean_with_sample_weight, none };

/// Each with Keras's defaults. `axis` counts from the end when negative.
namespace losses {
struct MeanSquaredError {};
struct MeanAbsoluteError {};
struct MeanAbsolutePercentageError {};
struct MeanSquaredLogarithmicError {};
struct Huber { double delta = 1; };
struct LogCosh {};
struct BinaryCrossentropy { bool from_logits = false; double label_smoothing = 0; int axis = -1; };
struct BinaryFocalCrossentropy {
  bool apply_class_balancing = false;
  double alpha = 0.25, gamma = 2;
  bool from_logits = false;
  double label_smoothing = 0;
  int axis = -1;
};
struct CategoricalCrossentropy { bool from_logits = false; double label_smoothing = 0; int axis = -1; };
/// y_true holds class numbers: the shape of y_pred without its last axis, or with a last axis of 1. A number that is no
/// class has the loss 0.
struct SparseCategoricalCrossentropy { bool from_logits = false; std::optional<int> ignore_class = {}; int axis = -1; };
struct CategoricalFocalCrossentropy { double alpha = 0.25, gamma = 2; bool from_logits = false; double label_smoothing = 0; int axis = -1; };
struct CategoricalGeneralizedCrossEntropy { double q = 0.5; };             ///< y_true as for SparseCategoricalCrossentropy
struct KLDivergence {};
struct Poisson {};
struct CosineSimilarity { int axis = -1; };
/// Hinge and SquaredHinge take labels -1 and 1; 0 and 1 mean these where a batch (or piece of one) has no others.
struct Hinge {};
struct SquaredHinge {};
struct CategoricalHinge {};
/// Over the whole batch when `axis` is not given: such a loss is one number of all samples together.
struct Dice { std::optional<std::vector<int>> axis = {}; };
struct Tversky { double alpha = 0.5, beta = 0.5; std::optional<std::vector<int>> axis = {}; };
}  // namespace losses

using LossFunction =
    std::variant<losses::MeanSquaredError, losses::MeanAbsoluteError, losses::MeanAbsolutePercentageError,
                 losses::MeanSquaredLogarithmicError, losses::Huber, losses::LogCosh, losses::BinaryCrossentropy,
                 losses::BinaryFocalCrossentropy, losses::CategoricalCrossentropy, losses::SparseCategoricalCrossentropy,
                 losses::CategoricalFocalCrossentropy, losses::CategoricalGeneralizedCrossEntropy, losses::KLDivergence,
                 losses::Poisson, losses::CosineSimilarity, losses::Hinge, losses::SquaredHinge, losses::CategoricalHinge, losses::Dice, losses::Tversky>;

/// A loss. A value; its member functions may be called from any number of threads at once.
class UPCONV_EXPORT Loss {
 public:
  /// A Keras name or alias ("mean_squared_error", "mse", "MeanSquaredError", ...). Throws ArgumentError listing the names.
  Loss(const char* name);
  Loss(std::string_view name);
  Loss(const std::string& name);
  Loss(LossFunction function, Reduction reduction = Reduction::sum_over_batch_size, std::string name = "");
  template <class F>
    requires std::is_constructible_v<LossFunction, F> && (!std::is_convertible_v<F, std::string_view>)
  Loss(F function) : Loss(LossFunction(std::move(function))) {}
  /// A name, or Keras's {"class_name", "config"}. Throws ArgumentError.
  static Loss from_config(const Config& identifier);

  const std::string& name() const noexcept { return name_; }            ///< "mean_squared_error"
  std::string_view class_name() const noexcept;                          ///< "MeanSquaredError"
  Reduction reduction() const noexcept { return reduction_; }
  Config get_config() const;                                             ///< Keras's, in Keras's key order
  Config serialize() const;                                              ///< {"module", "class_name", "config", "registered_name"}

  /// The losses before the reduction, weighted: y_pred's shape without the axes the loss reduces, broadcast with
  /// sample_weight's (a weight a sample, of shape (n), always belongs to the first axis; Keras refuses it for images).
  /// Computed in float32, as in Keras, or in float64 where y_pred is. y_true, y_pred and sample_weight are squeezed or
  /// expanded by a last axis of 1 where Keras does that. Throws ArgumentError on shapes that differ (Keras broadcasts some).
  Tensor values(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight = nullptr) const;
  /// The reduced loss of a batch (the sum of values() for Reduction::none). An empty batch gives 0,
  /// but 1 where one number is made of all samples together (see separable).
  double operator()(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight = nullptr) const;

  struct Evaluation {
    double value;                ///< this batch's part: the parts of all pieces of a batch add up to its loss
    Tensor gradient;             ///< d value / d y_pred, times `scale`; shape of y_pred, and its dtype by one rounding
  };
  /// Value and gradient of a batch, or of a piece of one: `denominator` is what the reduction divides by, added up over all
  /// pieces (0: this piece's own). `scale` multiplies the gradient (a loss scale, a loss weight).
  Evaluation evaluate(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight = nullptr, double denominator = 0,
                      double scale = 1) const;
  /// What the reduction of such a batch divides by: the number of loss values, the sum of their weights, or 1.
  double denominator(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight = nullptr) const;
  /// False where one number depends on all samples together (Dice and Tversky without an axis, any loss along axis 0):
  /// a batch cannot be cut then.
  bool separable() const noexcept;

 private:
  LossFunction function_;
  Reduction reduction_ = Reduction::sum_over_batch_size;
  std::string name_;
};

}  // namespace upconv
