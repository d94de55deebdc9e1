// SPDX-License-Identifier: Apache-2.0
// Constraints: projections applied to a weight after each optimiser update. https://keras.io/api/layers/constraints/
// On this layer's kernel (kh,kw,filters,in) the norm of one filter is axis {0, 1, 3}; Keras's default axis 0 is over kh only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv {

/// Derive from it for your own constraint. Immutable; used from many threads.
class UPCONV_EXPORT ConstraintFunction {
 public:
  virtual ~ConstraintFunction();
  virtual std::string name() const = 0;                ///< "MaxNorm"; "" cannot be saved
  virtual Config config() const = 0;
  virtual void project(TensorView w) const = 0;        ///< in place
};

class UPCONV_EXPORT Constraint {
 public:
  Constraint() = default;                              ///< None
  Constraint(std::nullptr_t) {}
  Constraint(const char* name);                        ///< "non_neg", "NonNeg", "max_norm", ...; throws ArgumentError
  Constraint(std::string_view name);
  Constraint(const std::string& name);
  Constraint(std::shared_ptr<const ConstraintFunction> function);
  Constraint(std::function<void(TensorView)> callable, std::string name = "");
  static Constraint from_config(const Config& config);

  explicit operator bool() const noexcept { return static_cast<bool>(function_); }
  const ConstraintFunction& function() const { return *function_; }
  Config config() const;                               ///< null for None
  void project(TensorView w) const { if (function_) function_->project(w); }

 private:
  std::shared_ptr<const ConstraintFunction> function_;
};

namespace constraints {
/// `axis`: a number or several; the norm is over these.
struct Axis {
  std::vector<int> axes;
  bool single = true;                                  ///< written as a number in get_config
  Axis(int axis) : axes{axis} {}
  Axis(std::initializer_list<int> list) : axes(list), single(false) {}
  explicit Axis(std::vector<int> list) : axes(std::move(list)), single(false) {}
};
struct UPCONV_EXPORT MaxNorm { double max_value = 2; Axis axis = 0; operator Constraint() const; };
struct UPCONV_EXPORT MinMaxNorm { double min_value = 0, max_value = 1, rate = 1; Axis axis = 0; operator Constraint() const; };
struct UPCONV_EXPORT NonNeg { operator Constraint() const; };
struct UPCONV_EXPORT UnitNorm { Axis axis = 0; operator Constraint() const; };
}  // namespace constraints

}  // namespace upconv
