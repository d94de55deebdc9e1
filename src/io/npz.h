// SPDX-License-Identifier: Apache-2.0
// NumPy's .npz archives: a ZIP of NAME.npy members, stored (numpy.savez) or deflated (numpy.savez_compressed).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "io/bytes.h"
#include "upconv/io.h"

namespace upconv::io {

/// The arrays by name, sorted. FileError for a member that is no .npy or one that read_npy refuses.
std::vector<std::pair<std::string, Tensor>> read_npz(const Bytes& file, const LoadLimits& limits = {});
/// As numpy.savez writes them, in the given order; the same arrays give the same bytes.
std::vector<std::byte> npz_bytes(const std::vector<std::pair<std::string, ConstTensorView>>& arrays);

}  // namespace upconv::io
