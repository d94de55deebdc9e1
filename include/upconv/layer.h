// SPDX-License-Identifier: Apache-2.0
// The one interface of every layer, its variables, and what a training step passes around.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "upconv/config.h"
#include "upconv/constraint.h"
#include "upconv/conv_transpose.h"
#include "upconv/regularizer.h"
#include "upconv/tensor.h"

namespace upconv {

/// Keras's dtype policy: what variables are stored in and what a call computes in.
struct UPCONV_EXPORT DTypePolicy {
  std::string name;                                    ///< "float32", "mixed_float16", ...
  DType compute_dtype = DType::float32, variable_dtype = DType::float32;
  DTypePolicy();                                       ///< the global default policy
  DTypePolicy(const char* name);                       ///< throws ArgumentError in Keras's words
  DTypePolicy(std::string_view name);
  DTypePolicy(const std::string& name);
  static DTypePolicy from_config(const Config& config);   ///< a string, or Keras 2's and 3's policy dictionaries
  Config config() const;                               ///< {"module": "keras", "class_name": "DTypePolicy", ...}
  friend bool operator==(const DTypePolicy& a, const DTypePolicy& b) { return a.name == b.name; }
};

/// A weight. Read it through value(); writing goes through the layer (set_weights, assign), which drops packed copies.
struct UPCONV_EXPORT Variable {
  std::string name;                                    ///< "kernel", "bias"
  std::string path;                                    ///< "conv2d_transpose/kernel"
  Tensor value;
  bool trainable = true;
  Regularizer regularizer;
  Constraint constraint;
};

struct CallOptions {
  bool training = false;
  ExecutionOptions execution = {};
  double activity_scale = 1;                           ///< backward(): what dy was multiplied by (a loss scale)
  /// backward(): samples of the pieces of the batch (their sum is the batch) whose weight gradients are formed one by one and
  /// added in a binary tree; empty: the whole batch is one piece. The same bits as pieces given to backward() on their own.
  std::vector<std::int64_t> pieces = {};
  bool input_gradient = true;                          ///< backward(): false leaves Gradients::inputs empty where that saves work
};

/// What a forward pass leaves for its backward pass. Owns everything it needs; movable; good for one layer's backward.
class UPCONV_EXPORT Tape {
 public:
  Tape() = default;
  template <class T>
    requires(!std::is_same_v<T, Tape>)
  explicit Tape(T state) : state_(std::make_shared<const T>(std::move(state))) {}
  /// The state the layer stored; T must be the type it stored.
  template <class T> const T& as() const { return *static_cast<const T*>(state_.get()); }
  bool empty() const noexcept { return !state_; }
  double activity_loss = 0;                            ///< activity regulariser of this call's output / batch
  bool has_activity_loss = false;

 private:
  std::shared_ptr<const void> state_;
};

/// Gradients of one backward pass: `inputs` in the order of the inputs, `weights` in the order of Layer::variables()
/// (an empty tensor of shape (0) for an untrainable one).
struct Gradients {
  std::vector<Tensor> inputs;
  std::vector<Tensor> weights;
  const Tensor& input() const { return inputs.at(0); }
  const Tensor& kernel() const { return weights.at(0); }
  const Tensor& bias() const { return weights.at(1); }
};

/// A layer. const member functions may be called from any number of threads at once; the others need exclusive access.
class UPCONV_EXPORT Layer {
 public:
  virtual ~Layer();
  Layer& operator=(const Layer&) = delete;

  virtual std::string_view class_name() const noexcept = 0;         ///< Keras's: "Conv2DTranspose"
  const std::string& name() const noexcept { return name_; }
  bool trainable() const noexcept { return trainable_; }
  void set_trainable(bool trainable);
  const DTypePolicy& dtype_policy() const noexcept { return dtype_policy_; }

  /// Creates the weights for an input of this shape (unknown sizes allowed where Keras allows them).
  virtual void build(std::span<const Shape> input_shapes) = 0;
  void build(const Shape& input_shape);
  /// build() where that has not happened. Any number of threads may call this, build(Shape) and built() at once: those that come to
  /// one layer together wait for the first, and nobody waits for another layer.
  void build_once(std::span<const Shape> input_shapes);
  void build_once(const Shape& input_shape) { build_once(std::span(&input_shape, 1)); }
  bool built() const noexcept { return built_; }
  /// The shape build() was given; what build_config holds.
  const Shape& built_input_shape() const noexcept { return built_input_shape_; }

  /// Unknown dimensions pass through. Needs no build.
  virtual Shape compute_output_shape(std::span<const Shape> input_shapes) const = 0;
  Shape compute_output_shape(const Shape& input_shape) const { return compute_output_shape(std::span(&input_shape, 1)); }
  virtual DType compute_output_dtype(DType input) const;            ///< default: the policy's compute dtype

  /// The output. Throws ArgumentError on a wrong rank, size or dtype; StateError on a const layer that is not built.
  virtual Tensor call(std::span<const ConstTensorView> inputs, const CallOptions& options) const = 0;
  /// The output with the tape for backward(). Moving an owned input in avoids its copy.
  virtual std::pair<Tensor, Tape> forward(std::vector<Tensor> inputs, const CallOptions& options) const = 0;
  /// From the gradient of the loss with respect to the output. The activity regulariser's term is added here; the weights'
  /// penalties are not (Variable::regularizer adds them).
  virtual Gradients backward(ConstTensorView dy, const Tape& tape, const CallOptions& options = {}) const = 0;

  /// Weights in Keras's order: trainable first ([kernel, bias]), then non-trainable state.
  std::span<const Variable> variables() const noexcept { return built_ ? std::span<const Variable>(variables_) : std::span<const Variable>(); }
  std::vector<Tensor> get_weights() const;
  /// Throws ArgumentError in Keras's words on a wrong count or shape (naming the Conv2D and torch layouts where the shapes
  /// look like one of those). All or nothing. Values are converted to the variable's dtype and copied into its memory, which
  /// lives as long as the layer: a call that runs meanwhile computes with old weights, new ones or a mixture.
  void set_weights(std::span<const Tensor> weights);
  /// Sets one variable's value (same shape), converted to its dtype.
  void assign(std::size_t index, ConstTensorView value);
  /// Changes one variable where it lies: `write` gets its memory, in its dtype, and must not throw after a first change.
  void update(std::size_t index, const std::function<void(TensorView)>& write);
  /// Drops packed copies of the weights; the next call makes them again. A training step does it when they have served.
  virtual void drop_packed() const noexcept {}
  std::int64_t count_params() const;                                ///< throws StateError before build, in Keras's words
  /// Penalties of the trainable weights, in order (kernel, bias).
  std::vector<double> losses() const;
  virtual const Regularizer& activity_regularizer() const noexcept;

  /// Keras's get_config(), in Keras's key order.
  virtual Config get_config() const = 0;
  /// {"module", "class_name", "config", "registered_name"[, "build_config"]}.
  Config serialize() const;

 protected:
  Layer(std::string name, std::string_view default_prefix, bool trainable, DTypePolicy policy);
  Layer(const Layer&) = default;
  Layer(Layer&&) noexcept = default;
  Config base_config() const;                          ///< name, trainable, dtype
  /// Runs `write`, which changes the variables' values, and drops what was packed from them.
  virtual void rewrite(const std::function<void()>& write) { write(); }

  /// A flag: whoever reads true sees all that was written before it was set. The mutex is held while the layer is built.
  struct Built {
    std::atomic<bool> value{false};
    std::recursive_mutex mutex;                        // an initialiser of the caller's may ask for the layer again
    Built() = default;
    Built(const Built& other) noexcept : value(bool{other}) {}
    operator bool() const noexcept { return value.load(std::memory_order_acquire); }
    Built& operator=(bool now) noexcept { value.store(now, std::memory_order_release); return *this; }
  };

  std::string name_;
  bool trainable_ = true;
  Built built_;
  DTypePolicy dtype_policy_;
  Shape built_input_shape_;
  std::vector<Variable> variables_;
};

/// The closed list of layers that a configuration may name.
UPCONV_EXPORT std::vector<std::string> layer_class_names();
/// A layer from Keras's dictionary {"class_name", "config", ...}. Throws ArgumentError; only names of the list are accepted.
UPCONV_EXPORT std::shared_ptr<Layer> layer_from_config(const Config& serialized);

}  // namespace upconv
