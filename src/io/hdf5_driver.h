// SPDX-License-Identifier: Apache-2.0
// A read-only HDF5 file driver over Bytes: libhdf5 opens nothing itself.
#pragma once

#include <hdf5.h>

#include "io/bytes.h"

namespace upconv::io {

/// An open HDF5 file over `bytes`, which must outlive it; negative when libhdf5 refuses it. Close with H5Fclose.
hid_t open_hdf5(const Bytes& bytes);

}  // namespace upconv::io
