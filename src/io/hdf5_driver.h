// SPDX-License-Identifier: Apache-2.0
// What the reader and the writer of HDF5 share: a read-only file driver over Bytes (libhdf5 opens nothing itself), the lock
// around the library, and owners for its identifiers.
#pragma once

#include <hdf5.h>

#include <mutex>

#include "io/bytes.h"

namespace upconv::io {

/// An open HDF5 file over `bytes`, which must outlive it; negative when libhdf5 refuses it. Close with H5Fclose.
hid_t open_hdf5(const Bytes& bytes);

/// Held during every call of libhdf5. The first call prepares the library: no filter is ever loaded from a plugin folder.
[[nodiscard]] std::unique_lock<std::mutex> lock_hdf5();

/// Closes an identifier of libhdf5.
class Hdf5Id {
 public:
  Hdf5Id(hid_t id, herr_t (*close)(hid_t)) : id_(id), close_(close) {}
  Hdf5Id(const Hdf5Id&) = delete;
  Hdf5Id& operator=(const Hdf5Id&) = delete;
  ~Hdf5Id() {
    if (id_ >= 0) close_(id_);
  }
  operator hid_t() const noexcept { return id_; }
  bool ok() const noexcept { return id_ >= 0; }

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

}  // namespace upconv::io
