// SPDX-License-Identifier: Apache-2.0
// Memory whose end is the end of the world: one element further lies a page that may be neither read nor written. Vector code
// that overreads or overwrites a caller's array dies here, on every instruction set and at full speed.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <new>
#include <vector>

namespace upconv::test {

template <class T>
class Fenced {
 public:
  explicit Fenced(std::size_t count) : count_(count) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (count * sizeof(T) + page - 1) / page * page;
    bytes_ = inside + page;
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED || mprotect(static_cast<std::byte*>(memory_) + inside, page, PROT_NONE) != 0) throw std::bad_alloc();
    data_ = reinterpret_cast<T*>(static_cast<std::byte*>(memory_) + inside - count * sizeof(T));
  }
  explicit Fenced(const std::vector<T>& values) : Fenced(values.size()) { std::copy(values.begin(), values.end(), data_); }
  ~Fenced() { munmap(memory_, bytes_); }
  Fenced(const Fenced&) = delete;
  Fenced& operator=(const Fenced&) = delete;

  T* data() noexcept { return data_; }
  std::size_t size() const noexcept { return count_; }
  std::vector<T> values() const { return {data_, data_ + count_}; }
  /// What lies before the first element is still as the system gave it.
  bool untouched_before() const noexcept {
    return std::all_of(static_cast<const std::byte*>(memory_), reinterpret_cast<const std::byte*>(data_),
                       [](std::byte b) { return b == std::byte{0}; });
  }

 private:
  std::size_t count_, bytes_ = 0;
  void* memory_ = nullptr;
  T* data_ = nullptr;
};

}  // namespace upconv::test
