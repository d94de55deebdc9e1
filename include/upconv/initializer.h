// SPDX-License-Identifier: Apache-2.0
// Initialisers: an immutable value handle, made from a Keras name, a built-in object, a Keras configuration, a tensor, or
// the caller's own type or callable. Random ones draw from counter-based Philox4x32-10: distribution, limits, shape, dtype
// and same-seed-same-values are promised (for any number of threads), the bits of a Keras backend are not.
// https://keras.io/api/layers/initializers/ . Fans of this layer's kernel (kh,kw,filters,in), as Keras computes them:
// fan_in = kh*kw*filters, fan_out = kh*kw*in.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv {

/// Derive from it for your own initialiser. Immutable; used from many threads.
class UPCONV_EXPORT InitializerFunction {
 public:
  virtual ~InitializerFunction();
  virtual std::string name() const = 0;                ///< Keras class name ("GlorotUniform"); "" cannot be saved
  virtual Config config() const = 0;                   ///< the whole Keras dictionary
  /// Fills `out`; its shape and dtype are the variable's. The same values at each call.
  virtual void fill(TensorView out) const = 0;
};

class UPCONV_EXPORT Initializer {
 public:
  Initializer() = default;                             ///< None: the layer puts glorot_uniform (kernel) or zeros (bias)
  Initializer(std::nullptr_t) {}
  Initializer(const char* name);                       ///< case-sensitive class or snake_case name; throws ArgumentError
  Initializer(std::string_view name);
  Initializer(const std::string& name);
  Initializer(Tensor value);                           ///< these values; the shape must be the variable's
  Initializer(std::shared_ptr<const InitializerFunction> function);
  Initializer(std::function<Tensor(const Shape&, DType)> callable, std::string name = "");
  template <class F>
    requires(std::is_invocable_r_v<Tensor, F, const Shape&, DType> && !std::is_same_v<std::decay_t<F>, Initializer>)
  Initializer(F callable) : Initializer(std::function<Tensor(const Shape&, DType)>(std::move(callable))) {}

  /// null, a name, or {"class_name", "config", ...}. Throws ArgumentError.
  static Initializer from_config(const Config& config);

  explicit operator bool() const noexcept { return static_cast<bool>(function_); }
  const InitializerFunction* function() const noexcept { return function_.get(); }
  Config config() const;                               ///< null for None
  /// A new tensor. An initialiser with a fixed seed (or none given: one drawn at its construction) gives the same values
  /// at each call, as Keras's do. Throws ArgumentError (Identity on a 4-D kernel, a tensor of another shape, ...).
  Tensor operator()(const Shape& shape, DType dtype = DType::float32) const;

 private:
  std::shared_ptr<const InitializerFunction> function_;
};

/// (fan_in, fan_out) as keras.initializers.compute_fans.
UPCONV_EXPORT std::pair<std::int64_t, std::int64_t> compute_fans(const Shape& shape);

/// Built-in objects; each converts to Initializer. `seed` empty: drawn from the system at construction of the handle.
/// input_axes and output_axes (both or neither): the axes whose product is a fan, as in Keras 3.15.
namespace initializers {
using Seed = std::optional<std::int64_t>;
using Axes = std::optional<std::vector<int>>;
struct UPCONV_EXPORT Zeros { operator Initializer() const; };
struct UPCONV_EXPORT Ones { operator Initializer() const; };
struct UPCONV_EXPORT Constant { double value = 0; operator Initializer() const; };
struct UPCONV_EXPORT RandomNormal { double mean = 0, stddev = 0.05; Seed seed = {}; operator Initializer() const; };
struct UPCONV_EXPORT TruncatedNormal { double mean = 0, stddev = 0.05; Seed seed = {}; operator Initializer() const; };
struct UPCONV_EXPORT RandomUniform { double minval = -0.05, maxval = 0.05; Seed seed = {}; operator Initializer() const; };
struct UPCONV_EXPORT VarianceScaling {
  double scale = 1;
  std::string mode = "fan_in", distribution = "truncated_normal";
  Seed seed = {};
  Axes input_axes = {}, output_axes = {};
  operator Initializer() const;
};
struct UPCONV_EXPORT GlorotNormal { Seed seed = {}; Axes input_axes = {}, output_axes = {}; operator Initializer() const; };
struct UPCONV_EXPORT GlorotUniform { Seed seed = {}; Axes input_axes = {}, output_axes = {}; operator Initializer() const; };
struct UPCONV_EXPORT HeNormal { Seed seed = {}; Axes input_axes = {}, output_axes = {}; operator Initializer() const; };
struct UPCONV_EXPORT HeUniform { Seed seed = {}; Axes input_axes = {}, output_axes = {}; operator Initializer() const; };
struct UPCONV_EXPORT LecunNormal { Seed seed = {}; Axes input_axes = {}, output_axes = {}; operator Initializer() const; };
struct UPCONV_EXPORT LecunUniform { Seed seed = {}; Axes input_axes = {}, output_axes = {}; operator Initializer() const; };
struct UPCONV_EXPORT Orthogonal { double gain = 1; Seed seed = {}; operator Initializer() const; };
struct UPCONV_EXPORT Identity { double gain = 1; operator Initializer() const; };
/// Not in Keras: bilinear interpolation by the stride (kernel size / 2, rounded up), channel i to filter i.
struct UPCONV_EXPORT Bilinear { operator Initializer() const; };
/// Not in Keras: `initializer` on one phase, copied to all scale*scale phases (Aitken et al., https://arxiv.org/abs/1707.02937).
struct UPCONV_EXPORT ICNR { int scale = 2; Initializer initializer = "he_normal"; operator Initializer() const; };
}  // namespace initializers

}  // namespace upconv
