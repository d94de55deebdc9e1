// SPDX-License-Identifier: Apache-2.0
// keras.layers.Conv2DTranspose. Specification: https://keras.io/api/layers/convolution_layers/convolution2d_transpose/ and
// Keras 3.15 where the page is silent. References of the page: "A guide to convolution arithmetic for deep learning",
// https://arxiv.org/abs/1603.07285v1 ; "Deconvolutional Networks",
// https://www.matthewzeiler.com/mattzeiler/deconvolutionalnetworks.pdf
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "upconv/activation.h"
#include "upconv/initializer.h"
#include "upconv/layer.h"

namespace upconv {

/// The arguments after filters and kernel_size, in Keras's order (C++ wants designators in this order too).
struct Conv2DTransposeOptions {
  Size2 strides = 1;                                   ///< > 0
  /// "valid" or "same" in any letter case.
  std::string padding = "valid";
  std::optional<Size2> output_padding = {};            ///< None is not 0; else 0 <= output_padding < strides
  std::string data_format = {};                        ///< "": the default of keras.json, "channels_last"
  Size2 dilation_rate = 1;                             ///< > 0; strides > 1 with dilation_rate > 1 is an error
  Activation activation = {};                          ///< None: linear
  bool use_bias = true;
  Initializer kernel_initializer = "glorot_uniform";   ///< None: glorot_uniform
  Initializer bias_initializer = "zeros";              ///< None: zeros, as the page says (real Keras draws glorot_uniform)
  Regularizer kernel_regularizer = {};
  Regularizer bias_regularizer = {};
  Regularizer activity_regularizer = {};               ///< penalty of the output / batch size
  Constraint kernel_constraint = {};                   ///< applied after each optimiser update
  Constraint bias_constraint = {};
  std::string name = {};                               ///< "": conv2d_transpose, conv2d_transpose_1, ...
  bool trainable = true;
  std::string dtype = {};                              ///< a policy name; "": the global policy
  bool autocast = true;                                ///< false: an input of another float dtype is an error
  /// Accepted with a note, as Keras does: the layer is built at once for this input shape without the batch.
  std::optional<Shape> input_shape = {};
};

/// Transposed convolution: (n,h,w,ci) -> (n,oh,ow,filters), or channels first. kernel: (kh,kw,filters,ci); bias: (filters,).
/// y = activation(conv2d_transpose(x, kernel) + bias). Sizes: the rule at the head of conv_transpose.h.
class UPCONV_EXPORT Conv2DTranspose final : public Layer {
 public:
  /// Throws ArgumentError, checking in Keras's order and words.
  Conv2DTranspose(std::int64_t filters, Size2 kernel_size, Conv2DTransposeOptions options = {});
  Conv2DTranspose(const Conv2DTranspose& other);       ///< copies the weights; the copy keeps the name
  Conv2DTranspose(Conv2DTranspose&& other) noexcept;
  ~Conv2DTranspose() override;
  /// From get_config()'s dictionary. Unknown keys are an ArgumentError, as in Keras.
  static Conv2DTranspose from_config(const Config& config);

  /// Builds the layer on the first call, then computes. May be called from several threads at once.
  Tensor operator()(ConstTensorView x, const CallOptions& options = {});
  Tensor operator()(ConstTensorView x, const CallOptions& options = {}) const;   ///< StateError when not built
  /// Into the caller's memory: `out` has the output's shape and dtype.
  void call_into(ConstTensorView x, TensorView out, const CallOptions& options = {}) const;

  using Layer::build;
  using Layer::compute_output_shape;
  std::string_view class_name() const noexcept override { return "Conv2DTranspose"; }
  void build(std::span<const Shape> input_shapes) override;
  Shape compute_output_shape(std::span<const Shape> input_shapes) const override;
  DType compute_output_dtype(DType input) const override;
  Tensor call(std::span<const ConstTensorView> inputs, const CallOptions& options) const override;
  std::pair<Tensor, Tape> forward(std::vector<Tensor> inputs, const CallOptions& options) const override;
  std::pair<Tensor, Tape> forward(Tensor x, const CallOptions& options = {}) const;
  Gradients backward(ConstTensorView dy, const Tape& tape, const CallOptions& options = {}) const override;
  const Regularizer& activity_regularizer() const noexcept override;
  Config get_config() const override;

  std::int64_t filters() const noexcept;
  Size2 kernel_size() const noexcept;
  const Conv2DTransposeOptions& options() const noexcept;
  const Tensor& kernel() const;                        ///< StateError before build
  const Tensor* bias() const;                          ///< nullptr when use_bias is false; StateError before build
  /// losses() of the weights after the activity term of an output computed from x, as Keras lists them after a call.
  std::vector<double> evaluate_losses(ConstTensorView x, const CallOptions& options = {}) const;

  /// The hot path: everything decided for one input shape, and nothing allocated in run(). May run from many threads at once,
  /// each with a workspace of its own, and outlives the layer.
  class UPCONV_EXPORT Plan {
   public:
    /// `workspace` begins on a multiple of 64. ArgumentError for shapes or dtypes that are not the plan's, and for a workspace
    /// of less than workspace_bytes().
    void run(ConstTensorView x, TensorView out, std::span<std::byte> workspace) const;
    std::size_t workspace_bytes() const noexcept;
    const std::string& algorithm() const noexcept;
    const std::string& reason() const noexcept;
    std::size_t packed_bytes() const noexcept;         ///< memory of the packed kernel, shared with the layer
    const Shape& output_shape() const noexcept;

   private:
    friend class Conv2DTranspose;
    struct State;
    std::shared_ptr<const State> state_;
  };
  /// For inputs of exactly this shape and the compute dtype; the activation must be a built-in element-wise one.
  Plan plan(const Shape& input_shape, const ExecutionOptions& options = {}) const;

  void drop_packed() const noexcept override;

 protected:
  void rewrite(const std::function<void()>& write) override;   ///< no call packs meanwhile

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

using Convolution2DTranspose = Conv2DTranspose;

}  // namespace upconv
