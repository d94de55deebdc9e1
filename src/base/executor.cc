// SPDX-License-Identifier: Apache-2.0
// The default executor on oneTBB. The calling thread always works too; after fork() (whose child has no workers) and
// inside a foreign parallel region (oneTBB's, or OpenMP's where its library is among the process's global symbols) it runs inline.
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/text.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

#include <sched.h>

namespace upconv {

Executor::~Executor() = default;

namespace {

int usable_processors() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// 0.2 us, on calls that take 10 at least. Asked each time: the library may come later.
bool inside_openmp() noexcept {
  const auto in_parallel = reinterpret_cast<int (*)()>(::dlsym(RTLD_DEFAULT, "omp_in_parallel"));
  return in_parallel && in_parallel() != 0;
}

class TbbExecutor final : public Executor {
 public:
  int concurrency() const noexcept override { return processors_; }

  void run(std::int64_t tasks, int threads, void (*task)(void*, std::int64_t), void* context) override {
    const bool inline_only = threads <= 1 || tasks <= 1 || getpid() != owner_ ||
                             tbb::this_task_arena::current_thread_index() > 0 || inside_openmp();
    if (inline_only) {
      for (std::int64_t i = 0; i < tasks; ++i) task(context, i);
      return;
    }
    const int wanted = std::min(threads, processors_);       // oneTBB prints a warning when asked for more
    std::unique_ptr<tbb::task_arena> arena = borrow(wanted);
    arena->execute([&] {
      tbb::parallel_for(std::int64_t{0}, tasks, std::int64_t{1}, [&](std::int64_t i) { task(context, i); },
                        tbb::simple_partitioner());
    });
    const std::lock_guard lock(mutex_);
    idle_[static_cast<std::size_t>(wanted)].push_back(std::move(arena));
  }

 private:
  /// An arena of its own for every call that runs at once, kept between calls: workers linger in it for a while, and are
  /// there at once for a next call that comes within a millisecond. A new arena waits 50 us for them.
  std::unique_ptr<tbb::task_arena> borrow(int threads) {
    {
      const std::lock_guard lock(mutex_);
      auto& idle = idle_[static_cast<std::size_t>(threads)];
      if (!idle.empty()) {
        std::unique_ptr<tbb::task_arena> arena = std::move(idle.back());
        idle.pop_back();
        return arena;
      }
    }
    return std::make_unique<tbb::task_arena>(threads);
  }

  const int processors_ = usable_processors();
  const pid_t owner_ = getpid();
  std::mutex mutex_;
  std::vector<std::vector<std::unique_ptr<tbb::task_arena>>> idle_{static_cast<std::size_t>(processors_) + 1};   // by threads
};

std::mutex executor_mutex;
std::shared_ptr<Executor> chosen_executor;
std::atomic<int> chosen_threads{0};

}  // namespace

std::shared_ptr<Executor> default_executor() {
  const std::lock_guard lock(executor_mutex);
  if (!chosen_executor) chosen_executor = std::make_shared<TbbExecutor>();
  return chosen_executor;
}

void set_default_executor(std::shared_ptr<Executor> executor) {
  const std::lock_guard lock(executor_mutex);
  chosen_executor = std::move(executor);
}

int default_threads() {
  if (const int threads = chosen_threads.load(); threads > 0) return threads;
  static const int from_environment = [] {
    const char* text = std::getenv("UPCONV_THREADS");
    if (!text || !*text) return 0;
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end || value < 1 || value > 4096)
      throw ArgumentError("UPCONV_THREADS", base::cat("UPCONV_THREADS must be a whole number from 1 to 4096. Received: ",
                                                      base::escaped(text), "."));
    return static_cast<int>(value);
  }();
  return from_environment > 0 ? from_environment : usable_processors();
}

void set_default_threads(int threads) {
  if (threads < 0 || threads > 4096)
    throw ArgumentError("threads", base::cat("`threads` must be from 0 (the default) to 4096. Received: ", threads, "."));
  chosen_threads = threads;
}

}  // namespace upconv
