// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <cstdlib>
#include <mutex>
#include <new>

namespace upconv::base {

namespace {

constexpr std::size_t kLeastBytes = std::size_t{64} << 10;   // from where malloc may go to the system each time
constexpr std::size_t kMostBlocks = 64;

struct Kept {
  void* memory;
  std::size_t bytes;
};

/// Oldest first. Never destroyed: tensors with static lifetime may be freed after everything else.
struct Store {
  std::mutex mutex;
  Kept blocks[kMostBlocks];
  std::size_t count = 0, bytes = 0;

  Kept remove(std::size_t index) noexcept {
    const Kept taken = blocks[index];
    for (std::size_t i = index + 1; i < count; ++i) blocks[i - 1] = blocks[i];
    --count, bytes -= taken.bytes;
    return taken;
  }
};

Store& store() noexcept {
  alignas(Store) static std::byte memory[sizeof(Store)];
  static Store* const made = new (memory) Store;
  return *made;
}

std::size_t padded(std::size_t bytes) noexcept { return (bytes + 63) & ~std::size_t{63}; }

}  // namespace

void* allocate(std::size_t bytes) {
  const std::size_t size = padded(bytes);
  if (size >= kLeastBytes) {
    Store& kept = store();
    const std::lock_guard lock(kept.mutex);
    for (std::size_t i = kept.count; i-- > 0;)        // the youngest: most of it may still be in the cache
      if (kept.blocks[i].bytes == size) return kept.remove(i).memory;
  }
  void* memory = std::aligned_alloc(64, size);
  if (!memory) throw std::bad_alloc();
  return memory;
}

void deallocate(void* memory, std::size_t bytes) noexcept {
  const std::size_t size = padded(bytes);
  if (size < kLeastBytes || size > kKeptBytes) return std::free(memory);
  Store& kept = store();
  const std::lock_guard lock(kept.mutex);
  while (kept.count == kMostBlocks || kept.bytes + size > kKeptBytes) std::free(kept.remove(0).memory);
  kept.blocks[kept.count++] = {memory, size};
  kept.bytes += size;
}

}  // namespace upconv::base
