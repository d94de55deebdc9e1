// SPDX-License-Identifier: Apache-2.0
#include "bench_machine.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <numeric>

#include "kernels/peak.h"
#include "upconv/runtime.h"

namespace upconv::cli {
namespace {

constexpr std::int64_t kPeakRounds = 400'000;
constexpr std::size_t kCopyBytes = std::size_t{64} << 20;

/// Seconds of task(0), ..., task(threads - 1) on so many threads.
template <class Task>
double seconds_of(int threads, Task task) {
  const auto start = std::chrono::steady_clock::now();
  default_executor()->run(threads, threads, [](void* context, std::int64_t i) { (*static_cast<Task*>(context))(i); }, &task);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

double peak_gflops(int threads, int isa) {
  std::vector<double> operations(static_cast<std::size_t>(threads));
  const double seconds = seconds_of(threads, [&](std::int64_t i) {
    operations[static_cast<std::size_t>(i)] = kernels::multiply_adds(kPeakRounds, isa);
  });
  double total = 0;
  for (const double o : operations) total += o;
  return total / seconds * 1e-9;
}

CopyMeter::CopyMeter(int threads) : threads_(threads), from_(kCopyBytes, 1), to_(kCopyBytes, 2) {}

double CopyMeter::gbs() {
  const std::size_t part = kCopyBytes / static_cast<std::size_t>(threads_);
  const double seconds = seconds_of(threads_, [&](std::int64_t i) {
    const std::size_t at = static_cast<std::size_t>(i) * part;
    std::memcpy(to_.data() + at, from_.data() + at, part);
  });
  return 2e-9 * static_cast<double>(part * static_cast<std::size_t>(threads_)) / seconds;
}

CacheSweep::CacheSweep(int threads) : threads_(threads) {
  const long l3 = ::sysconf(_SC_LEVEL3_CACHE_SIZE);              // 0 or -1 where the system does not know
  const std::size_t bytes = std::clamp(2 * static_cast<std::size_t>(std::max(l3, 0L)), std::size_t{256} << 20, std::size_t{1} << 30);
  words_.assign(bytes / sizeof(std::uint64_t), 1);
}

double CacheSweep::gbs() {
  const std::size_t part = words_.size() / static_cast<std::size_t>(threads_);
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(threads_));
  const double seconds = seconds_of(threads_, [&](std::int64_t i) {
    const auto begin = words_.begin() + i * static_cast<std::ptrdiff_t>(part);
    sums[static_cast<std::size_t>(i)] = std::accumulate(begin, begin + static_cast<std::ptrdiff_t>(part), std::uint64_t{0});
  });
  if (std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}) == 0) return 0;   // never: keeps the sums
  return static_cast<double>(part * static_cast<std::size_t>(threads_) * sizeof(std::uint64_t)) / seconds * 1e-9;
}

}  // namespace upconv::cli
