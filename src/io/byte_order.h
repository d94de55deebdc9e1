// SPDX-License-Identifier: Apache-2.0
// The byte order of an HDF5 dataset or a .npy file is one bit, without a check sum: numbers of absurd size show that it was turned.
#pragma once

#include <cstdint>
#include <vector>

#include "upconv/tensor.h"

namespace upconv::io {

struct Orders {
  bool as_read = false, exchanged = false;           // most elements that the order changes are of a usual size

  bool absurd() const { return exchanged && !as_read; }
};

/// Elements as read, and with their bytes exchanged. Both false where the order changes nothing.
Orders usual_sizes(const Tensor& tensor);
Orders usual_sizes(const std::vector<std::int64_t>& integers);

}  // namespace upconv::io
