// SPDX-License-Identifier: Apache-2.0
// What the machine gives at most, measured in the same minutes as the layers.
#pragma once

#include <cstdint>
#include <vector>

namespace upconv::cli {

/// GFLOP/s of float32 multiply-adds on registers, `threads` at once: one block of about two milliseconds.
double peak_gflops(int threads, int isa);

/// Two buffers far larger than the caches, and the rate of copying one to the other.
class CopyMeter {
 public:
  explicit CopyMeter(int threads);
  /// GB/s of one copy, bytes read plus bytes written.
  double gbs();

 private:
  int threads_;
  std::vector<char> from_, to_;
};

/// A buffer larger than every cache: reading it leaves nothing else in them, and says how fast memory is read.
class CacheSweep {
 public:
  explicit CacheSweep(int threads);
  /// Reads the buffer once; GB/s.
  double gbs();

 private:
  int threads_;
  std::vector<std::uint64_t> words_;
};

}  // namespace upconv::cli
