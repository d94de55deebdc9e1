// SPDX-License-Identifier: Apache-2.0
// Layers without weights: activations, and those that do nothing at inference.
#pragma once

#include "upconv/activation.h"
#include "upconv/layer.h"

namespace upconv::nn {

/// y = function(x), or x for an identity. Keeps the configuration it came from.
class StatelessLayer final : public Layer {
 public:
  /// `config`: Keras's own, with name, trainable, dtype where it has them; get_config() gives it back, whole.
  StatelessLayer(std::string class_name, std::shared_ptr<const ActivationFunction> function, std::string name, bool trainable,
                 DTypePolicy policy, Config config);

  std::string_view class_name() const noexcept override { return class_name_; }
  void build(std::span<const Shape> input_shapes) override;
  Shape compute_output_shape(std::span<const Shape> input_shapes) const override;
  Tensor call(std::span<const ConstTensorView> inputs, const CallOptions& options) const override;
  std::pair<Tensor, Tape> forward(std::vector<Tensor> inputs, const CallOptions& options) const override;
  Gradients backward(ConstTensorView dy, const Tape& tape, const CallOptions& options) const override;
  Config get_config() const override;
  /// Null for an identity.
  const ActivationFunction* function() const noexcept { return function_.get(); }

 private:
  std::string class_name_;
  std::shared_ptr<const ActivationFunction> function_;   // null: identity
  Config config_;
};

/// The entry of a model: its batch_shape and dtype come from the configuration.
class UPCONV_EXPORT InputLayer final : public Layer {
 public:
  InputLayer(std::string name, Shape batch_shape, DType dtype);

  std::string_view class_name() const noexcept override { return "InputLayer"; }
  const Shape& batch_shape() const noexcept { return batch_shape_; }
  DType dtype() const noexcept { return dtype_; }
  void build(std::span<const Shape> input_shapes) override;
  Shape compute_output_shape(std::span<const Shape> input_shapes) const override;
  Tensor call(std::span<const ConstTensorView> inputs, const CallOptions& options) const override;
  std::pair<Tensor, Tape> forward(std::vector<Tensor> inputs, const CallOptions& options) const override;
  Gradients backward(ConstTensorView dy, const Tape& tape, const CallOptions& options) const override;
  Config get_config() const override;

 private:
  Shape batch_shape_;
  DType dtype_;
};

/// Keras's layer Activation with a function that `config`, where "activation" is left out, need not be able to name.
std::shared_ptr<Layer> activation_layer(const Activation& activation, const Config& config);

/// A shape written as Keras writes it, [null, 5, 3], and back. Throws ArgumentError.
Config shape_config(const Shape& shape);
Shape shape_from_config(const Config& config);

}  // namespace upconv::nn
