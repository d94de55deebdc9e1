// SPDX-License-Identifier: Apache-2.0
// What a planned call may not do: allocate, wake threads for little work, or stumble after fork() and inside other people's
// parallel regions. malloc and mmap are this program's own, so that calls of every library are counted.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <thread>

#include "ops/conv_transpose.h"
#include "support/ramp.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__)
#define UPCONV_COUNTS_MALLOC 1
static std::atomic<long> allocations{0};
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void* malloc(std::size_t size) { return ++allocations, __libc_malloc(size); }
void* calloc(std::size_t count, std::size_t size) { return ++allocations, __libc_calloc(count, size); }
void* realloc(void* memory, std::size_t size) { return ++allocations, __libc_realloc(memory, size); }
void* memalign(std::size_t alignment, std::size_t size) { return ++allocations, __libc_memalign(alignment, size); }
void* aligned_alloc(std::size_t alignment, std::size_t size) { return ++allocations, __libc_memalign(alignment, size); }
void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) noexcept {
  return ++allocations, reinterpret_cast<void*>(::syscall(SYS_mmap, address, size, protection, flags, file, offset));
}
}
#endif

namespace upconv {
namespace {

using test::ramp;

bool same(const Tensor& a, const Tensor& b) { return a.byte_size() == b.byte_size() && std::memcmp(a.bytes(), b.bytes(), a.byte_size()) == 0; }

/// Threads that wait for work: an executor that allocates nothing, and counts its runs on more than one thread.
class Pool final : public Executor {
 public:
  Pool() {
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { serve(); });
  }
  ~Pool() override {
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  int concurrency() const noexcept override { return 3; }
  void run(std::int64_t tasks, int threads, void (*task)(void*, std::int64_t), void* context) override {
    if (threads > 1 && tasks > 1) ++parallel_runs;
    std::unique_lock lock(mutex_);
    task_ = task, context_ = context, tasks_ = tasks, next_ = 0, busy_ = 0;
    lock.unlock();
    wake_.notify_all();
    lock.lock();
    work(lock);
    done_.wait(lock, [&] { return busy_ == 0; });
  }
  std::atomic<int> parallel_runs{0};

 private:
  void work(std::unique_lock<std::mutex>& lock) {
    while (next_ < tasks_) {
      const std::int64_t i = next_++;
      ++busy_;
      lock.unlock();
      task_(context_, i);
      lock.lock();
      --busy_;
    }
    if (busy_ == 0) done_.notify_all();
  }
  void serve() {
    std::unique_lock lock(mutex_);
    while (!stopping_) {
      if (next_ < tasks_) work(lock);
      else wake_.wait(lock);
    }
  }
  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  void (*task_)(void*, std::int64_t) = nullptr;
  void* context_ = nullptr;
  std::int64_t tasks_ = 0, next_ = 0, busy_ = 0;
  bool stopping_ = false;
};

struct Case {
  Shape x;                                             // channels_last
  std::int64_t filters;
  Size2 kernel_size, strides;
};
const Case kCases[] = {{{2, 12, 12, 32}, 48, 4, 2},   {{1, 24, 24, 64}, 64, 3, 1},  {{4, 10, 8, 128}, 32, 2, 2}, {{1, 16, 16, 24}, 3, 4, 2},
                       {{1, 2, 2, 256}, 128, 4, 2},   {{1, 9, 7, 20}, 21, 5, 3},    {{1, 1, 60, 64}, 32, Size2(1, 8), Size2(1, 4)},
                       {{1, 4, 4, 256}, 512, 4, 2},   {{1, 64, 64, 32}, 3, 4, 2}};

class Calls : public testing::TestWithParam<std::string> {};

/// Every case in every format and dtype that the algorithm takes.
template <class Body>
int for_each_call(const std::string& algorithm, const ExecutionOptions& options, const Body& body) {
  int calls = 0;
  for (const Case& c : kCases)
    for (const char* format : {"channels_last", "channels_first"})
      for (const char* dtype : {"float32", "float64", "float16", "bfloat16"}) {
        const bool first = std::string(format) == "channels_first";
        const Tensor x = ramp(first ? Shape{c.x[0], c.x[3], c.x[1], c.x[2]} : c.x, parse_dtype(dtype));
        Conv2DTranspose layer(c.filters, c.kernel_size, {.strides = c.strides, .padding = "same", .data_format = format, .activation = "relu", .dtype = dtype});
        layer.build(x.shape());
        try {
          ExecutionOptions forced = options;
          forced.algorithm = algorithm;
          body(layer, x, layer.plan(x.shape(), forced));
          ++calls;
        } catch (const ArgumentError& e) {
          EXPECT_EQ(e.argument(), "algorithm") << e.what();
        }
      }
  return calls;
}

#ifdef UPCONV_COUNTS_MALLOC
TEST_P(Calls, AllocateNothing) {
  const auto pool = std::make_shared<Pool>();
  for (const ExecutionOptions& options : {ExecutionOptions{.threads = 1}, ExecutionOptions{.threads = 3, .executor = pool}}) {
    const int calls = for_each_call(GetParam(), options, [](const Conv2DTranspose&, const Tensor& x, const Conv2DTranspose::Plan& plan) {
      Tensor y(plan.output_shape(), x.dtype()), workspace({static_cast<std::int64_t>(plan.workspace_bytes()) / 4 + 1});
      const std::span<std::byte> bytes = std::as_writable_bytes(workspace.span<float>());
      const long before = allocations;
      plan.run(x, y, bytes);
      EXPECT_EQ(allocations - before, 0) << x.shape().str() << " " << name_of(x.dtype());
    });
    EXPECT_GE(calls, 4);
  }
  EXPECT_EQ(pool->parallel_runs > 0, GetParam() != "reference");
}

TEST(Calls, TheExecutorsOwnAllocationsAreReported) {
  const long before = allocations;
  std::atomic<long> sum{0};
  for (int i = 0; i < 10; ++i)
    default_executor()->run(8, 2, [](void* context, std::int64_t index) { *static_cast<std::atomic<long>*>(context) += index; }, &sum);
  EXPECT_EQ(sum, 280);
  std::cout << "oneTBB: " << allocations - before << " allocations in its first ten runs on two threads\n";
  EXPECT_NE(allocations, 0);                           // the counter counts
}
#endif

TEST_P(Calls, WakeNoThreadBelowTwoMegaflop) {
  const auto pool = std::make_shared<Pool>();
  int small = 0, large = 0;
  for_each_call(GetParam(), {.threads = 3, .executor = pool}, [&](const Conv2DTranspose& layer, const Tensor& x, const Conv2DTranspose::Plan& plan) {
    Tensor y(plan.output_shape(), x.dtype()), workspace({static_cast<std::int64_t>(plan.workspace_bytes()) / 4 + 1});
    const auto [kh, kw] = layer.kernel_size();
    const double flop = 2.0 * static_cast<double>(x.elements() * layer.filters() * kh * kw);
    pool->parallel_runs = 0;
    plan.run(x, y, std::as_writable_bytes(workspace.span<float>()));
    EXPECT_TRUE(flop >= 2e6 || pool->parallel_runs == 0) << x.shape().str();
    (flop < 2e6 ? small : large) += 1;
  });
  EXPECT_GT(small + large, 0);
  // A layer of its own, small for every algorithm.
  Conv2DTranspose layer(8, 4, {.strides = 2, .padding = "same"});
  const Tensor x = ramp({1, 8, 8, 16});
  layer.build(x.shape());
  pool->parallel_runs = 0;
  layer(x, {.execution = {.threads = 3, .executor = pool}});
  EXPECT_EQ(pool->parallel_runs, 0);
}

INSTANTIATE_TEST_SUITE_P(Algorithm, Calls, testing::ValuesIn(ops::algorithm_names()), [](const auto& info) { return info.param; });

TEST(Calls, StayRightAfterFork) {
  Conv2DTranspose layer(64, 3, {.strides = 2, .padding = "same", .activation = "relu"});
  const Tensor x = ramp({2, 32, 32, 64});
  const Tensor y = layer(x, {.execution = {.threads = 2}});          // the pool's threads are there now
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(60);
    ::_exit(same(layer(x, {.execution = {.threads = 2}}), y) ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

TEST(Calls, RunInlineInsideAnOpenMpRegion) {
  Conv2DTranspose layer(64, 3, {.strides = 2, .padding = "same", .activation = "relu"});
  const Tensor x = ramp({2, 32, 32, 64});
  const Tensor y = layer(x, {.execution = {.threads = 2}});
  std::atomic<int> right{0}, members{0}, elsewhere{0};
#pragma omp parallel num_threads(3)
  {
    ++members;
    struct { std::thread::id caller; std::atomic<int>* elsewhere; } context{std::this_thread::get_id(), &elsewhere};
    default_executor()->run(16, 2, [](void* c, std::int64_t) {
      const auto* own = static_cast<decltype(context)*>(c);
      if (std::this_thread::get_id() != own->caller) ++*own->elsewhere;
    }, &context);
    if (same(layer(x, {.execution = {.threads = 2}}), y)) ++right;
  }
  EXPECT_EQ(right, members);
#ifdef _OPENMP
  EXPECT_EQ(members, 3);
  EXPECT_EQ(elsewhere, 0);
#endif
}

}  // namespace
}  // namespace upconv
