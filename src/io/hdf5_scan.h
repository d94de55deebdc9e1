// SPDX-License-Identifier: Apache-2.0
// A look at the raw bytes before libhdf5 sees them: structures that are known to send it into endless recursion, endless
// loops or memory that is not its own.
#pragma once

#include "io/bytes.h"

namespace upconv::io {

/// FileError for a file without a superblock at byte 0 and 8-byte addresses, for a B-tree whose levels do not fall from a
/// node to its children (a cycle), and for a global heap whose objects leave it.
void scan_hdf5(const Bytes& file);

}  // namespace upconv::io
