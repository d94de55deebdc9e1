// SPDX-License-Identifier: Apache-2.0
// Activations: an immutable value handle, made from a Keras name, a built-in object, a Keras configuration, or the
// caller's own type or callable. "None" and "linear" are the default-made handle.
// Names, formulas and defaults: https://keras.io/api/layers/activations/ ; deviations: docs/keras_parity.md.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv {

namespace kernels { struct ActivationSpec; }

/// What an activation does. Derive from it for your own; a derived class is immutable and used from many threads at once.
class UPCONV_EXPORT ActivationFunction {
 public:
  virtual ~ActivationFunction();
  /// Keras's canonical name ("silu"), or the registered name of a custom one; "" cannot be saved.
  virtual std::string name() const = 0;
  /// What get_config() holds: the name, or a Keras dictionary (a layer object, a registered function).
  virtual Config config() const;
  virtual Shape output_shape(const Shape& input) const { return input; }
  virtual DType output_dtype(DType input) const { return input; }
  /// y = f(x); y has output_shape and output_dtype. x and y do not overlap.
  virtual void forward(ConstTensorView x, TensorView y) const = 0;
  /// dx = gradient of sum(dy * f(x)); y = f(x) is given. Default: throws StateError "inference only".
  virtual void backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy, TensorView dx) const;
  /// For the library's own element-wise functions: what a kernel can fuse where output_dtype is the input's; else nullptr.
  virtual const kernels::ActivationSpec* fusable() const noexcept { return nullptr; }
};

class UPCONV_EXPORT Activation {
 public:
  Activation();                                        ///< linear
  Activation(std::nullptr_t);                          ///< None: linear
  Activation(const char* name);                        ///< exact, case-sensitive Keras name; throws ArgumentError
  Activation(std::string_view name);
  Activation(const std::string& name);
  Activation(std::shared_ptr<const ActivationFunction> function);   ///< your own type
  /// Your own callable on the whole array: inference only (its backward says so). It gets the array in the compute dtype
  /// and must return the same dtype, and the same shape unless `output_shape` says otherwise; a lie is an ArgumentError.
  Activation(std::function<Tensor(ConstTensorView)> callable, std::string name = "");
  template <class F>
    requires(std::is_invocable_r_v<Tensor, F, ConstTensorView> && !std::is_same_v<std::decay_t<F>, Activation>)
  Activation(F callable) : Activation(std::function<Tensor(ConstTensorView)>(std::move(callable))) {}

  /// null, a name, or the dictionary of a layer object; anything that names a callable is refused. Throws ArgumentError.
  static Activation from_config(const Config& config);

  bool is_linear() const noexcept;
  const ActivationFunction& function() const noexcept { return *function_; }
  std::string name() const { return function_->name(); }
  Config config() const { return function_->config(); }

  /// f(x), any shape, any dtype.
  Tensor operator()(ConstTensorView x) const;
  Tensor backward(ConstTensorView x, ConstTensorView y, ConstTensorView dy) const;

 private:
  std::shared_ptr<const ActivationFunction> function_;
};

/// The 32 names that Activation takes.
UPCONV_EXPORT const std::vector<std::string>& activation_names();

/// Built-in objects, for the parameters that a name cannot carry. Each converts to Activation.
/// `axis`: which axis or axes; negative counts from the end. The layer itself always uses the last axis, as Keras does.
namespace activations {
struct UPCONV_EXPORT Relu {
  double negative_slope = 0, max_value = std::numeric_limits<double>::infinity(), threshold = 0;
  operator Activation() const;
};
struct UPCONV_EXPORT LeakyRelu { double negative_slope = 0.2; operator Activation() const; };
struct UPCONV_EXPORT Elu { double alpha = 1; operator Activation() const; };
struct UPCONV_EXPORT Celu { double alpha = 1; operator Activation() const; };
struct UPCONV_EXPORT Gelu { bool approximate = false; operator Activation() const; };
struct UPCONV_EXPORT Squareplus { double b = 4; operator Activation() const; };
struct UPCONV_EXPORT SoftShrink { double threshold = 0.5; operator Activation() const; };
struct UPCONV_EXPORT HardShrink { double threshold = 0.5; operator Activation() const; };
struct UPCONV_EXPORT Threshold { double threshold = 0, default_value = 0; operator Activation() const; };
struct UPCONV_EXPORT Softmax { std::vector<int> axis = {-1}; operator Activation() const; };
struct UPCONV_EXPORT LogSoftmax { std::vector<int> axis = {-1}; operator Activation() const; };
struct UPCONV_EXPORT Glu { int axis = -1; operator Activation() const; };
struct UPCONV_EXPORT Sparsemax { int axis = -1; operator Activation() const; };
}  // namespace activations

}  // namespace upconv
