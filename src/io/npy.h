// SPDX-License-Identifier: Apache-2.0
// NumPy's .npy arrays: versions 1 to 3, f2, f4 and f8 in either byte order, C and Fortran order.
#pragma once

#include <vector>

#include "io/bytes.h"
#include "upconv/io.h"

namespace upconv::io {

/// FileError for anything else: pickled objects, structured types, other dtypes, a size that is not the file's.
Tensor read_npy(const Bytes& file, const LoadLimits& limits = {});
/// Version 1.0, C order, little-endian; bfloat16 is written as its bits in uint16, as ml_dtypes' users store it.
std::vector<std::byte> npy_bytes(ConstTensorView tensor);

}  // namespace upconv::io
