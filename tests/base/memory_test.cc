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

constexpr std::size_t MiB = std::size_t{1} << 20;

TEST(Memory, ABigBlockComesBackForItsSize) {
  for (const std::size_t size : {5 * MiB + 64, 200 * MiB / 1024}) {
    void* first = base::allocate(size);
    void* other = base::allocate(2 * size);
    std::memset(first, 1, size), std::memset(other, 1, 2 * size);
    base::deallocate(first, size);
    base::deallocate(other, 2 * size);
    void* again = base::allocate(size);
    EXPECT_EQ(static_cast<unsigned char*>(again)[size / 2], 1);
    base::deallocate(again, size);
    base::drop_kept();
  }
}

TEST(Memory, AMappingIsCutAndJoinedAgain) {
  base::drop_kept();
  auto* whole = static_cast<std::byte*>(base::allocate(48 * MiB));
  base::deallocate(whole, 48 * MiB);
  std::vector<std::pair<void*, std::size_t>> parts;
  for (const std::size_t size : {20 * MiB, MiB + 5, 3 * MiB, 16 * MiB - 64}) {
    auto* part = static_cast<std::byte*>(base::allocate(size));
    EXPECT_TRUE(part >= whole && part + size <= whole + 48 * MiB);
    std::memset(part, static_cast<int>(parts.size()) + 1, size);
    parts.push_back({part, size});
  }
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto* bytes = static_cast<const unsigned char*>(parts[i].first);
    EXPECT_TRUE(bytes[0] == i + 1 && bytes[parts[i].second - 1] == i + 1) << "no two share memory";
  }
  for (const std::size_t i : {1u, 3u, 0u, 2u}) base::deallocate(parts[i].first, parts[i].second);
  EXPECT_EQ(base::allocate(48 * MiB), whole);
  base::deallocate(whole, 48 * MiB);
}

TEST(Memory, WhatIsKeptGivesWayBeforeTheProcessGrows) {
  constexpr std::size_t size = 400 * MiB, half = 200 * MiB;   // more than anything before, and more than is kept
  void* first = base::allocate(size);
  base::deallocate(first, size);
  void* a = base::allocate(half);
  std::memset(a, 1, half);
  base::deallocate(a, half);                                  // kept: 200 of the 400 MiB that were once used
  void* b = base::allocate(size - 100 * MiB);                 // leaves room for 100 of them
  void* c = base::allocate(100 * MiB);
  EXPECT_EQ(c, a);
  void* d = base::allocate(98 * MiB);                         // the rest went back to the system: these pages are new
  EXPECT_EQ(static_cast<unsigned char*>(d)[49 * MiB], 0);
  base::deallocate(b, size - 100 * MiB), base::deallocate(c, 100 * MiB), base::deallocate(d, 98 * MiB);
}

TEST(Memory, WhatIsKeptIsBounded) {
  // More than kKeptBytes in blocks of one size: what is kept serves four of them, and the fifth is new.
  constexpr std::size_t size = base::kKeptBytes / 4;
  std::vector<void*> blocks;
  for (int i = 0; i < 6; ++i) blocks.push_back(base::allocate(size)), std::memset(blocks.back(), 1, size);
  for (void* block : blocks) base::deallocate(block, size);
  std::vector<void*> again;
  for (int i = 0; i < 6; ++i) again.push_back(base::allocate(size));
  int old = 0;
  for (void* block : again) old += static_cast<unsigned char*>(block)[size / 2] == 1;
  EXPECT_EQ(old, 4);
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
