// SPDX-License-Identifier: Apache-2.0
// Overlap-add: the taps' products of each input pixel are added to the output rows they fall on.
#pragma once

#include <cstdint>

namespace upconv::kernels {

/// For each pixel j and chunk c: rows[c][j * step + i] += from[j * width + c * length + i] for i < length. A null row is
/// skipped. Up to a vector is read behind the last chunk, and zeros are added to up to a vector behind rows[c][...].
template <class T>
struct OverlapTask {
  const T* from;
  std::int64_t pixels, width;
  T* const* rows;
  std::int64_t chunks, length, step;
};

/// Elements of padding that both sides need.
inline constexpr std::int64_t overlap_padding = 16;

void overlap_add(const OverlapTask<float>& task, int isa) noexcept;
void overlap_add(const OverlapTask<double>& task, int isa) noexcept;

}  // namespace upconv::kernels
