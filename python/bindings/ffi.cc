// SPDX-License-Identifier: Apache-2.0
// XLA's typed foreign functions: the forward pass and both backward passes on XLA's own buffers, without a copy, on XLA's own
// threads. https://docs.jax.dev/en/latest/ffi.html The header comes with jaxlib and is taken from there when the module is built.
#include <xla/ffi/api/ffi.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <limits>
#include <mutex>

#include "module.h"
#include "ops/conv_transpose.h"

namespace upconv::python {

namespace {

namespace ffi = xla::ffi;

/// XLA's pool behind the Executor seam. The caller works too and only waits for tasks that have begun, so it never waits for
/// a thread of the pool to become free.
class XlaExecutor final : public Executor {
 public:
  explicit XlaExecutor(ffi::ThreadPool pool) : pool_(pool) {}
  int concurrency() const noexcept override { return static_cast<int>(std::max<std::int64_t>(1, pool_.num_threads())); }

  void run(std::int64_t tasks, int threads, void (*task)(void*, std::int64_t), void* context) override {
    struct Shared {
      std::atomic<std::int64_t> next{0}, done{0};
      std::mutex mutex;
      std::condition_variable all_done;
    };
    const auto shared = std::make_shared<Shared>();
    const auto work = [shared, tasks, task, context] {
      for (std::int64_t i; (i = shared->next.fetch_add(1)) < tasks;) {
        task(context, i);
        if (shared->done.fetch_add(1) + 1 == tasks) {
          const std::lock_guard lock(shared->mutex);
          shared->all_done.notify_all();
        }
      }
    };
    const std::int64_t helpers = std::min<std::int64_t>({tasks, threads, concurrency()}) - 1;
    for (std::int64_t i = 0; i < helpers; ++i) pool_.Schedule(std::function<void()>(work));
    work();
    std::unique_lock lock(shared->mutex);
    shared->all_done.wait(lock, [&] { return shared->done.load() >= tasks; });
  }

 private:
  ffi::ThreadPool pool_;
};

DType dtype_of_buffer(const ffi::AnyBuffer& buffer) {
  switch (buffer.element_type()) {
    case ffi::DataType::F32: return DType::float32;
    case ffi::DataType::F64: return DType::float64;
    case ffi::DataType::F16: return DType::float16;
    case ffi::DataType::BF16: return DType::bfloat16;
    default: throw std::invalid_argument("upconv computes in float32, float64, float16 and bfloat16.");
  }
}

Shape shape_of_buffer(const ffi::AnyBuffer& buffer) { return Shape(std::span<const std::int64_t>(buffer.dimensions().begin(), buffer.dimensions().size())); }

/// What a call computes, on XLA's threads.
struct Call {
  ConvTransposeGeometry geometry;
  ExecutionOptions execution;
  Call(ffi::Span<const std::int64_t> numbers, ffi::ThreadPool pool) {
    std::tie(geometry, execution) = unpacked_geometry({numbers.begin(), numbers.size()});
    execution.executor = std::make_shared<XlaExecutor>(pool);
    execution.threads = execution.executor->concurrency();
  }
};

template <class F>
ffi::Error guarded(F f) {
  try {
    f();
    return ffi::Error::Success();
  } catch (const std::exception& e) {
    return ffi::Error(ffi::ErrorCode::kInvalidArgument, e.what());
  }
}

ffi::Error forward(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer kernel, ffi::AnyBuffer bias, ffi::Result<ffi::AnyBuffer> y,
                   ffi::Span<const std::int64_t> geometry, bool relu) {
  return guarded([&] {
    const Call call(geometry, pool);
    ops::Problem problem;
    problem.geometry = ops::make_geometry(shape_of_buffer(x), shape_of_buffer(kernel), call.geometry);
    problem.dtype = dtype_of_buffer(x);
    problem.has_bias = bias.element_count() > 0;
    if (relu) problem.activation = {kernels::Activation::relu, 0, std::numeric_limits<double>::infinity(), 0};
    const auto plan = ops::ForwardPlan::make(problem, call.execution, true);
    const Tensor workspace = Tensor::uninitialized({static_cast<std::int64_t>(plan->unpacked_workspace_bytes() / 4) + 1});
    plan->run_unpacked(x.untyped_data(), kernel.untyped_data(), problem.has_bias ? bias.untyped_data() : nullptr, y->untyped_data(),
                       const_cast<void*>(workspace.bytes()));
  });
}

ffi::Error input_gradient(ffi::ThreadPool pool, ffi::AnyBuffer kernel, ffi::AnyBuffer dy, ffi::Result<ffi::AnyBuffer> dx, ffi::Span<const std::int64_t> geometry) {
  return guarded([&] {
    const Call call(geometry, pool);
    const ops::Geometry g = ops::make_geometry(shape_of_buffer(*dx), shape_of_buffer(kernel), call.geometry);
    ops::conv_transpose_gradients(g, dtype_of_buffer(dy), nullptr, kernel.untyped_data(), dy.untyped_data(), {.input = dx->untyped_data()}, call.execution);
  });
}

ffi::Error kernel_gradient(ffi::ThreadPool pool, ffi::AnyBuffer x, ffi::AnyBuffer dy, ffi::Result<ffi::AnyBuffer> dkernel, ffi::Result<ffi::AnyBuffer> dbias,
                           ffi::Span<const std::int64_t> geometry) {
  return guarded([&] {
    const Call call(geometry, pool);
    const ops::Geometry g = ops::make_geometry(shape_of_buffer(x), shape_of_buffer(*dkernel), call.geometry);
    ops::conv_transpose_gradients(g, dtype_of_buffer(dy), x.untyped_data(), nullptr, dy.untyped_data(),
                                  {.kernel = dkernel->untyped_data(), .bias = dbias->element_count() > 0 ? dbias->untyped_data() : nullptr}, call.execution);
  });
}

XLA_FFI_DEFINE_HANDLER(kForward, forward,
                       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                           .Attr<ffi::Span<const std::int64_t>>("geometry").Attr<bool>("relu"));
XLA_FFI_DEFINE_HANDLER(kInputGradient, input_gradient,
                       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                           .Attr<ffi::Span<const std::int64_t>>("geometry"));
XLA_FFI_DEFINE_HANDLER(kKernelGradient, kernel_gradient,
                       ffi::Ffi::Bind().Ctx<ffi::ThreadPool>().Arg<ffi::AnyBuffer>().Arg<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>().Ret<ffi::AnyBuffer>()
                           .Attr<ffi::Span<const std::int64_t>>("geometry"));

}  // namespace

void bind_ffi(nb::module_& m) {
  m.def("ffi_handlers", [] {
    nb::dict handlers;
    const auto add = [&](const char* name, auto* handler) { handlers[name] = nb::capsule(reinterpret_cast<void*>(handler), "xla._CUSTOM_CALL_TARGET"); };
    add("upconv_forward", kForward);
    add("upconv_input_gradient", kInputGradient);
    add("upconv_kernel_gradient", kKernelGradient);
    return handlers;
  });
}

}  // namespace upconv::python
