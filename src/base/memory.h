// SPDX-License-Identifier: Apache-2.0
// Memory of tensors. A page that the system gives anew costs about as much as a layer takes to fill it, so big blocks that
// are given back are kept, up to kKeptBytes in all, for the next requests: a training step asks for the same ones each time.
// Blocks from 1 MiB up are cut for smaller requests and joined again. What is kept gives way before the process would grow beyond the most it has used at once.
#pragma once

#include <cstddef>

namespace upconv::base {

inline constexpr std::size_t kKeptBytes = std::size_t{256} << 20;   ///< at most; a block counts from 64 KiB up

/// 64-byte aligned, never null; throws std::bad_alloc. Thread-safe.
void* allocate(std::size_t bytes);
/// What allocate(bytes) returned, with the same `bytes`.
void deallocate(void* memory, std::size_t bytes) noexcept;
/// Gives what is kept back to the system.
void drop_kept() noexcept;

}  // namespace upconv::base
