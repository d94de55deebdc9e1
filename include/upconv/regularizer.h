// SPDX-License-Identifier: Apache-2.0
// Regularisers: a penalty on a weight or on the layer's output. https://keras.io/api/layers/regularizers/
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv {

/// Derive from it for your own regulariser. Immutable; used from many threads.
class UPCONV_EXPORT RegularizerFunction {
 public:
  virtual ~RegularizerFunction();
  virtual std::string name() const = 0;                ///< "L2"; "" cannot be saved
  virtual Config config() const = 0;
  /// The penalty, rounded to w's dtype as Keras computes it there.
  virtual double penalty(ConstTensorView w) const = 0;
  /// dw += scale * gradient of penalty(w).
  virtual void add_gradient(ConstTensorView w, double scale, TensorView dw) const = 0;
};

class UPCONV_EXPORT Regularizer {
 public:
  Regularizer() = default;                             ///< None
  Regularizer(std::nullptr_t) {}
  Regularizer(const char* name);                       ///< "l1", "l2", "l1l2", "L1", ...; throws ArgumentError
  Regularizer(std::string_view name);
  Regularizer(const std::string& name);
  Regularizer(std::shared_ptr<const RegularizerFunction> function);
  static Regularizer from_config(const Config& config);

  explicit operator bool() const noexcept { return static_cast<bool>(function_); }
  const RegularizerFunction& function() const { return *function_; }
  const RegularizerFunction* operator->() const noexcept { return function_.get(); }
  Config config() const;                               ///< null for None

 private:
  std::shared_ptr<const RegularizerFunction> function_;
};

/// Factors must be finite and not negative: ArgumentError in Keras's words. L1's and OrthogonalRegularizer's factor is
/// rounded to float32, as Keras rounds it.
namespace regularizers {
struct UPCONV_EXPORT L1 { double l1 = 0.01; operator Regularizer() const; };
struct UPCONV_EXPORT L2 { double l2 = 0.01; operator Regularizer() const; };
struct UPCONV_EXPORT L1L2 { double l1 = 0, l2 = 0; operator Regularizer() const; };
struct UPCONV_EXPORT OrthogonalRegularizer { double factor = 0.01; std::string mode = "rows"; operator Regularizer() const; };
}  // namespace regularizers

}  // namespace upconv
