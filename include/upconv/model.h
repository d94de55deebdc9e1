// SPDX-License-Identifier: Apache-2.0
// A graph of layers: Keras's Sequential and Functional models.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "upconv/activation.h"
#include "upconv/config.h"
#include "upconv/layer.h"

namespace upconv {

/// Where a value in the graph comes from: an input of the model, or an output of a call of a layer.
struct GraphNode {
  std::size_t layer = 0;                               ///< index into Model::layers()
  std::vector<std::size_t> inputs = {};                ///< indices of earlier nodes; empty for an InputLayer
};

/// Shape and dtype of an input of the model (the batch is part of the shape, usually unknown).
struct ModelInput {
  std::string name;
  Shape shape;
  DType dtype = DType::float32;
};

/// What one training forward leaves: a tape a node.
struct ModelTape {
  std::vector<Tape> nodes;
  std::vector<double> activity_losses;
};

/// Copying shares the layers (as Keras's models do); clone() copies them. A const model may be used from any number of threads.
class UPCONV_EXPORT Model {
 public:
  enum class Kind { sequential, functional };

  Model();
  /// A Sequential of layers; `input_shape` without the batch may have unknown sizes; without it the first call builds.
  explicit Model(std::vector<std::shared_ptr<Layer>> layers, std::string name = "", std::optional<Shape> input_shape = {});
  /// A general graph. `layers` holds InputLayers too; `nodes` in topological order. Throws ArgumentError.
  Model(Kind kind, std::string name, std::vector<std::shared_ptr<Layer>> layers, std::vector<GraphNode> nodes,
        std::vector<std::size_t> inputs, std::vector<std::size_t> outputs, Config config);

  Kind kind() const noexcept;
  const std::string& name() const noexcept;
  std::span<const std::shared_ptr<Layer>> layers() const noexcept;
  std::span<const GraphNode> nodes() const noexcept;
  std::span<const std::size_t> input_nodes() const noexcept;
  std::span<const std::size_t> output_nodes() const noexcept;
  const std::vector<ModelInput>& inputs() const noexcept;
  Layer& layer(std::string_view name) const;           ///< throws ArgumentError listing the names
  bool built() const noexcept;
  void build();                                        ///< from the inputs' shapes; throws ArgumentError
  void build(const Shape& input_shape);

  /// One input, one output. Throws ArgumentError when the model has several.
  Tensor operator()(ConstTensorView x, const CallOptions& options = {}) const;
  std::vector<Tensor> operator()(std::span<const ConstTensorView> inputs, const CallOptions& options = {}) const;
  std::vector<Tensor> operator()(std::initializer_list<ConstTensorView> inputs, const CallOptions& options = {}) const;
  std::vector<Shape> compute_output_shape(std::span<const Shape> inputs) const;

  /// Training: outputs with a tape, then gradients in the order of variables().
  std::pair<std::vector<Tensor>, ModelTape> forward(std::span<const ConstTensorView> inputs, const CallOptions& options) const;
  std::vector<Tensor> backward(std::span<const Tensor> output_gradients, const ModelTape& tape,
                               const CallOptions& options = {}) const;

  /// One piece of a batch on its way back; the walk frees its tapes as it goes.
  struct Piece {
    std::vector<Tensor> output_gradients;
    ModelTape tape;
    double activity_scale = 1;
  };
  /// The same for several pieces of one batch, layer by layer: all pieces pass a layer before any goes on, and `on_layer`
  /// gets the layer's gradients as soon as they are whole: gradients[piece][variable]. Layers below which nothing is
  /// trainable are not visited, and get no call.
  using LayerGradients = std::function<void(std::size_t layer, std::vector<std::vector<Tensor>> gradients)>;
  void backward(std::span<Piece> pieces, const CallOptions& options, const LayerGradients& on_layer) const;

  /// Weights of all layers, each layer once, in order.
  struct WeightRef { Layer* layer; std::size_t index; const Variable& variable() const { return layer->variables()[index]; } };
  std::vector<WeightRef> weights() const;
  std::vector<WeightRef> trainable_weights() const;
  std::int64_t count_params() const;
  std::vector<double> losses() const;

  Config get_config() const;                           ///< Keras's, from layers and nodes
  Model clone() const;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

/// An activation layer: class_name one of Activation, ReLU, LeakyReLU, ELU, Softmax, or a layer that does nothing at
/// inference (Dropout, SpatialDropout2D, GaussianNoise, GaussianDropout, ActivityRegularization, InputLayer, Identity).
UPCONV_EXPORT std::shared_ptr<Layer> make_activation_layer(Activation activation, std::string name = "");

}  // namespace upconv
