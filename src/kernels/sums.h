// SPDX-License-Identifier: Apache-2.0
// Sums of columns, in double: the gradient of the bias.
#pragma once

#include <cstdint>

namespace upconv::kernels {

/// sums[c] += values[0][c] + ... + values[rows - 1][c], one row after the other.
void add_rows(const float* values, std::int64_t rows, std::int64_t columns, double* sums, int isa) noexcept;
void add_rows(const double* values, std::int64_t rows, std::int64_t columns, double* sums, int isa) noexcept;

}  // namespace upconv::kernels
