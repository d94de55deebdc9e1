// SPDX-License-Identifier: Apache-2.0
// HDF5 files as a plain tree: groups, attributes, datasets. Everything is checked before it is read: only hard links, no
// external, virtual or user-defined anything, only floats, bfloat16 (2-byte opaque with its mark) and integers, only the
// deflate and shuffle filters, declared sizes against stored ones.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/bytes.h"
#include "upconv/io.h"

namespace upconv::io {

struct Hdf5Node {
  std::string name;                                   // of the link
  bool is_group = true;
  std::vector<std::pair<std::string, Config>> attributes;
  std::vector<Hdf5Node> children;                     // of a group, by ascending names
  Tensor data;                                        // of a floating dataset
  std::vector<std::int64_t> integers;                 // of an integer dataset
  Shape shape;                                        // of a dataset

  /// By a path like "layers/conv2d_transpose/vars"; nullptr where there is none.
  const Hdf5Node* find(std::string_view path) const;
  Hdf5Node* find(std::string_view path) { return const_cast<Hdf5Node*>(std::as_const(*this).find(path)); }
  const Config* attribute(std::string_view name) const;
};

/// The whole file. Attributes of strings, lists of strings and numbers are kept, others dropped.
Hdf5Node read_hdf5(const Bytes& file, const LoadLimits& limits);

}  // namespace upconv::io
