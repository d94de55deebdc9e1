// SPDX-License-Identifier: Apache-2.0
#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

namespace upconv {
namespace {

TEST(Memory, IsAlignedAndWritable) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{65}, std::size_t{64} << 10, std::size_t{3} << 20}) {
    void* memory = base::allocate(bytes);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 64, 0u);
    std::memset(memory, 1, bytes);
    base::deallocate(memory, bytes);
  }
}

TEST(Memory, ABigBlockComesBackForItsSizeOnly) {
  constexpr std::size_t size = (std::size_t{5} << 20) + 64;
  void* first = base::allocate(size);
  void* other = base::allocate(size + 64);
  base::deallocate(first, size);
  base::deallocate(other, size + 64);
  other = base::allocate(size + 64);
  EXPECT_NE(other, first);
  void* again = base::allocate(size);
  EXPECT_EQ(again, first);
  base::deallocate(other, size + 64);
  base::deallocate(again, size);
}

TEST(Memory, WhatIsKeptGivesWayBeforeTheProcessGrows) {
  constexpr std::size_t size = std::size_t{40} << 20;         // more than anything before
  void* first = base::allocate(size);
  std::memset(first, 1, size);
  base::deallocate(first, size);
  void* other = base::allocate(size - 64);                    // the most used at once stays one such block
  std::memset(other, 1, size - 64);
  base::deallocate(other, size - 64);
  void* again = base::allocate(size);
  EXPECT_NE(static_cast<unsigned char*>(again)[size / 2], 1); // given back to the system in between, not kept
  base::deallocate(again, size);
}

TEST(Memory, WhatIsKeptIsBounded) {
  // More than kKeptBytes in blocks of one size: the first ones given back are gone, the last ones are there.
  constexpr std::size_t size = base::kKeptBytes / 4;
  std::vector<void*> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(base::allocate(size));
  for (void* block : blocks) base::deallocate(block, size);
  int same = 0;
  std::vector<void*> again;
  for (int i = 0; i < 4; ++i) again.push_back(base::allocate(size)), same += again.back() == blocks[static_cast<std::size_t>(5 - i)];
  EXPECT_EQ(same, 4);
  for (void* block : again) base::deallocate(block, size);
  void* larger = base::allocate(base::kKeptBytes + 64);      // never kept
  base::deallocate(larger, base::kKeptBytes + 64);
}

TEST(Memory, ManyThreadsShareIt) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([t] {
      for (int i = 0; i < 300; ++i) {
        const std::size_t bytes = (std::size_t{64} << 10) * static_cast<std::size_t>(1 + (i + t) % 3);
        auto* memory = static_cast<unsigned char*>(base::allocate(bytes));
        memory[0] = memory[bytes - 1] = static_cast<unsigned char>(t);
        ASSERT_EQ(memory[0], t);
        ASSERT_EQ(memory[bytes - 1], t);
        base::deallocate(memory, bytes);
      }
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace upconv
