// SPDX-License-Identifier: Apache-2.0
// The operation behind the layer: plan once a shape, pack the kernel once, run many times without allocating.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "kernels/elementwise.h"
#include "ops/geometry.h"

namespace upconv::ops {

/// What a plan is made for. dtype is that of x, kernel, bias and y; half types are summed in float32, bias and
/// activation are applied in float32, and the result is rounded once.
struct Problem {
  Geometry geometry;
  DType dtype = DType::float32;
  bool has_bias = true;
  kernels::ActivationSpec activation;     ///< fused; element-wise functions only
};

/// A kernel (kh,kw,co,ci) in the order an algorithm reads it. Immutable, shared by threads.
class PackedKernel {
 public:
  virtual ~PackedKernel() = default;
  virtual std::size_t bytes() const noexcept = 0;
};

/// One shape, one algorithm, one way of splitting the work. Immutable; run() may be called from many threads at once,
/// each with its own workspace.
class ForwardPlan {
 public:
  virtual ~ForwardPlan() = default;

  /// Throws ArgumentError for an unknown or inapplicable algorithm, ISA or thread count, listing what is possible.
  /// `unpacked`: for run_unpacked(), where packing the kernel is part of every call and counts in the choice.
  static std::shared_ptr<const ForwardPlan> make(const Problem& problem, const ExecutionOptions& options, bool unpacked = false);

  virtual const std::string& algorithm() const noexcept = 0;
  virtual const std::string& reason() const noexcept = 0;       ///< why this algorithm: one line for explain and bench
  virtual std::size_t workspace_bytes() const noexcept = 0;     ///< 64-byte aligned memory run() needs, for all threads

  /// Packs the kernel for this plan's algorithm. Plans of one layer that differ only in n, h, w, threads and have equal
  /// packing_key() can share the result. May throw std::bad_alloc.
  virtual std::shared_ptr<const PackedKernel> pack(const void* kernel) const = 0;
  virtual std::string packing_key() const = 0;

  /// x, y in the problem's data format; kernel packed by pack(); bias (co) or null. Neither allocates nor throws.
  virtual void run(const void* x, const PackedKernel& kernel, const void* bias, void* y, void* workspace) const noexcept = 0;

  /// The same with the kernel as it lies in another owner's array (kh,kw,co,ci), packed panel by panel on the way.
  virtual void run_unpacked(const void* x, const void* kernel, const void* bias, void* y, void* workspace) const noexcept = 0;
  virtual std::size_t unpacked_workspace_bytes() const noexcept = 0;
};

/// Names of all algorithms in a fixed order, and of those that apply to a problem.
const std::vector<std::string>& algorithm_names();
std::vector<std::string> applicable_algorithms(const Problem& problem, Math math);

/// Gradients of y = conv(x, kernel) + bias with respect to each; null outputs are skipped. dy is the gradient after the
/// activation's derivative has been applied. float32 and float64: x, kernel, dy and the results in the problem's dtype.
/// Half types: dx is rounded once to the dtype; dkernel and dbias are summed in float32 and rounded once to the dtype.
/// The same bits for any number of threads.
struct GradientOutputs {
  void* input = nullptr;    ///< like x
  void* kernel = nullptr;   ///< (kh,kw,co,ci)
  void* bias = nullptr;     ///< (co)
};
/// Math::fast chooses dx by one sample, dkernel by the whole call; a value that is not finite sends the whole call the exact way.
enum class GradientOf { input, kernel };
/// "winograd" or "direct": how the call below computes a gradient, unless a value turns out not to be finite.
std::string gradient_algorithm(const Geometry& geometry, DType dtype, GradientOf gradient, const ExecutionOptions& options);
void conv_transpose_gradients(const Geometry& geometry, DType dtype, const void* x, const void* kernel, const void* dy,
                              const GradientOutputs& outputs, const ExecutionOptions& options);

/// dsums = dy * f'(x), x being the sums before the activation (or any tensor with the same slopes), and dbias (co), the sum of
/// dsums, in one pass where the layout allows; dbias may be null. All of one dtype and shape.
void activation_bias_gradient(const Geometry& geometry, const kernels::ActivationSpec& spec, ConstTensorView x, ConstTensorView dy,
                              TensorView dsums, void* dbias, const ExecutionOptions& options);

/// What relu's gradient needs of its result y, a bit an element: samples follow each other, relu_sample_bytes() each. channels_last, float32
/// or float64.
std::vector<std::uint8_t> relu_bits(const Geometry& geometry, ConstTensorView y, const ExecutionOptions& options);
std::int64_t relu_sample_bytes(const Geometry& geometry) noexcept;
/// activation_bias_gradient of relu from such bits.
void relu_bias_gradient(const Geometry& geometry, const std::uint8_t* bits, ConstTensorView dy, TensorView dsums, void* dbias,
                        const ExecutionOptions& options);

}  // namespace upconv::ops
