// SPDX-License-Identifier: Apache-2.0
// HDF5 files in memory as h5py writes them for Keras: the oldest format version, contiguous datasets, texts as
// variable-length UTF-8, lists of names as byte strings of one length, no time stamps. The same calls give the same bytes.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "upconv/config.h"
#include "upconv/tensor.h"

namespace upconv::io {

/// Paths are "layers/conv2d_transpose/vars/0", "" the root; groups on the way are made. Each function throws StateError when
/// libhdf5 refuses, ArgumentError for a path that exists already or an attribute's value of another kind.
class Hdf5Writer {
 public:
  Hdf5Writer();
  ~Hdf5Writer();
  Hdf5Writer(const Hdf5Writer&) = delete;
  Hdf5Writer& operator=(const Hdf5Writer&) = delete;

  /// A group and its parents; nothing where it exists.
  void group(const std::string& path);
  /// A copy of the elements; bfloat16 becomes 2-byte opaque with the attribute dtype="bfloat16", as Keras has it.
  void dataset(const std::string& path, ConstTensorView values);
  /// A scalar of int64: the iteration counter of an optimizer.
  void counter(const std::string& path, std::int64_t value);
  /// On the group or dataset at `path`: a string, an integer, a double, a list of strings (empty: float64 of shape (0,), as
  /// h5py writes an empty list). A list over 64512 bytes is split into name0, name1, ... as Keras does.
  void attribute(const std::string& path, const std::string& name, const Config& value);
  /// The file's bytes; the writer is spent.
  std::vector<std::byte> finish();

 private:
  struct File;
  std::unique_ptr<File> file_;
};

}  // namespace upconv::io
