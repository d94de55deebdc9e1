// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <mutex>
#include <new>

namespace upconv::base {

namespace {

constexpr std::size_t kLeastBytes = std::size_t{64} << 10;   // from where malloc may go to the system each time
constexpr std::size_t kMostBlocks = 64;
constexpr std::size_t kHugeBytes = std::size_t{4} << 20;     // from where pages of 2 MiB are worth asking for
constexpr std::size_t kMappedBytes = std::size_t{1} << 20;   // from where a block is a mapping of its own, which goes back whole

struct Kept {
  void* memory;
  std::size_t bytes;
};

/// Oldest first. Never destroyed: tensors with static lifetime may be freed after everything else. Kept blocks never make the
/// process larger than its own use of memory has been: bytes + used <= most_used.
struct Store {
  std::mutex mutex;
  Kept blocks[kMostBlocks];
  std::size_t count = 0, bytes = 0;            // kept
  std::size_t used = 0, most_used = 0;         // given out, of blocks that count

  void use(std::size_t size) noexcept {
    used += size;
    if (used > most_used) most_used = used;
  }

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

void* from_system(std::size_t size) noexcept {
  if (size < kMappedBytes) return std::aligned_alloc(64, size);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  if (size >= kHugeBytes) madvise(memory, size, MADV_HUGEPAGE);
#endif
  return memory;
}

void to_system(void* memory, std::size_t size) noexcept {
  if (size < kMappedBytes) std::free(memory);
  else munmap(memory, size);
}

void to_system(const Kept& block) noexcept { to_system(block.memory, block.bytes); }

std::size_t padded(std::size_t bytes) noexcept { return (bytes + 63) & ~std::size_t{63}; }

}  // namespace

void* allocate(std::size_t bytes) {
  const std::size_t size = padded(bytes);
  if (size >= kLeastBytes) {
    Store& kept = store();
    const std::lock_guard lock(kept.mutex);
    for (std::size_t i = kept.count; i-- > 0;)        // the youngest: most of it may still be in the cache
      if (kept.blocks[i].bytes == size) {
        kept.use(size);
        return kept.remove(i).memory;
      }
    while (kept.count > 0 && kept.bytes + kept.used + size > kept.most_used) to_system(kept.remove(0));
  }
  void* memory = from_system(size);
  if (!memory) throw std::bad_alloc();
  if (size >= kLeastBytes) {
    Store& kept = store();
    const std::lock_guard lock(kept.mutex);
    kept.use(size);
  }
  return memory;
}

void deallocate(void* memory, std::size_t bytes) noexcept {
  const std::size_t size = padded(bytes);
  if (size < kLeastBytes) return std::free(memory);
  Store& kept = store();
  const std::lock_guard lock(kept.mutex);
  kept.used -= size;
  if (size > kKeptBytes) return to_system(memory, size);
  while (kept.count == kMostBlocks || kept.bytes + size > kKeptBytes) to_system(kept.remove(0));
  kept.blocks[kept.count++] = {memory, size};
  kept.bytes += size;
}

void drop_kept() noexcept {
  Store& kept = store();
  const std::lock_guard lock(kept.mutex);
  while (kept.count > 0) to_system(kept.remove(0));
}

}  // namespace upconv::base
