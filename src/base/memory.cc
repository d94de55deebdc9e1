// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <new>

namespace upconv::base {

namespace {

constexpr std::size_t kLeastBytes = std::size_t{64} << 10;   // from where malloc may go to the system each time
constexpr std::size_t kMostBlocks = 64;
constexpr std::size_t kHugeBytes = std::size_t{4} << 20;     // from where pages of 2 MiB are worth asking for
constexpr std::size_t kMappedBytes = std::size_t{1} << 20;   // from where a block is a mapping, which can be cut and joined

struct Kept {
  std::byte* memory;
  std::size_t bytes;
  bool mapped() const noexcept { return bytes >= kMappedBytes; }   // of what is cut neither part is smaller
};

void* from_system(std::size_t size) noexcept {
  if (size < kMappedBytes) return std::aligned_alloc(64, size);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
#ifdef MADV_HUGEPAGE
  if (size >= kHugeBytes) madvise(memory, size, MADV_HUGEPAGE);
#endif
  return memory;
}

void to_system(const Kept& block) noexcept {
  if (block.mapped()) munmap(block.memory, block.bytes);
  else std::free(block.memory);
}

std::size_t rounded(std::size_t bytes, std::size_t unit) noexcept { return (bytes + unit - 1) / unit * unit; }
/// What is given for `bytes`. In units of 2 MiB a load held 10 % more at its peak: the last page of a mapping was a whole one.
std::size_t size_for(std::size_t bytes) noexcept { return rounded(bytes, bytes < kMappedBytes ? 64 : kLeastBytes); }

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

  /// The youngest block of this size, most of which may still be in the cache; else the head of the smallest mapping that is larger.
  void* take(std::size_t size) noexcept {
    std::size_t best = count;
    for (std::size_t i = count; i-- > 0;) {
      if (blocks[i].bytes == size) return remove(i).memory;
      if (size >= kMappedBytes && blocks[i].bytes >= size + kMappedBytes && (best == count || blocks[i].bytes < blocks[best].bytes)) best = i;
    }
    if (best == count) return nullptr;
    std::byte* const head = blocks[best].memory;
    blocks[best] = {head + size, blocks[best].bytes - size};
    bytes -= size;
    return head;
  }

  /// Keeps a block, joined with its neighbours.
  void keep(Kept block) noexcept {
    for (std::size_t i = count; block.mapped() && i-- > 0;) {
      const Kept other = blocks[i];
      if (!other.mapped() || (other.memory + other.bytes != block.memory && block.memory + block.bytes != other.memory)) continue;
      remove(i);
      block = {std::min(block.memory, other.memory), block.bytes + other.bytes};
    }
    if (count == kMostBlocks) to_system(remove(0));
    blocks[count++] = block;
    bytes += block.bytes;
  }

  /// Gives back to the system until no more than `most` is kept, the oldest first, and of a mapping no more than must be.
  void shrink(std::size_t most) noexcept {
    while (count > 0 && bytes > most) {
      const std::size_t excess = rounded(bytes - most, kLeastBytes);
      if (blocks[0].bytes < excess + kMappedBytes) {
        to_system(remove(0));
        continue;
      }
      blocks[0].bytes -= excess, bytes -= excess;
      munmap(blocks[0].memory + blocks[0].bytes, excess);
    }
  }
};

Store& store() noexcept {
  alignas(Store) static std::byte memory[sizeof(Store)];
  static Store* const made = new (memory) Store;
  return *made;
}

}  // namespace

void* allocate(std::size_t bytes) {
  const std::size_t size = size_for(bytes);
  if (size >= kLeastBytes) {
    Store& kept = store();
    const std::lock_guard lock(kept.mutex);
    if (void* memory = kept.take(size)) {
      kept.use(size);
      return memory;
    }
    kept.shrink(kept.most_used > kept.used + size ? kept.most_used - kept.used - size : 0);
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
  const std::size_t size = size_for(bytes);
  if (size < kLeastBytes) return std::free(memory);
  const Kept block{static_cast<std::byte*>(memory), size};
  Store& kept = store();
  const std::lock_guard lock(kept.mutex);
  kept.used -= size;
  if (size > kKeptBytes) return to_system(block);
  kept.shrink(kKeptBytes - size);
  kept.keep(block);
}

void drop_kept() noexcept {
  Store& kept = store();
  const std::lock_guard lock(kept.mutex);
  kept.shrink(0);
}

}  // namespace upconv::base
