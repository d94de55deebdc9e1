// SPDX-License-Identifier: Apache-2.0
// HDF5 files as a plain tree: groups, attributes, datasets. Everything is checked before it is read: only hard links, no
// external, virtual or user-defined anything, only floats, bfloat16 (2-byte opaque with its mark) and integers, only the
// deflate and shuffle filters, declared sizes against stored ones.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "io/bytes.h"
#include "upconv/io.h"

namespace upconv::io {

/// Whether tensors that lie in the open file as they do in memory are read, or only told of (Hdf5Node::left).
enum class Tensors { read, left_in_file };

struct Hdf5Node {
  std::string name;                                   // of the link
  bool is_group = true;
  std::vector<std::pair<std::string, Config>> attributes;
  std::vector<Hdf5Node> children;                     // of a group, by ascending names
  Tensor data;                                        // of a floating dataset
  std::vector<std::int64_t> integers;                 // of an integer dataset
  Shape shape;                                        // of a dataset
  struct Left {
    std::int64_t position;                            // of the first byte in the open file
    DType dtype;
  };
  std::optional<Left> left = {};                      // of a floating dataset whose data was not read

  /// By a path like "layers/conv2d_transpose/vars"; nullptr where there is none.
  const Hdf5Node* find(std::string_view path) const;
  Hdf5Node* find(std::string_view path) { return const_cast<Hdf5Node*>(std::as_const(*this).find(path)); }
  const Config* attribute(std::string_view name) const;
};

/// The whole file. Attributes of strings, lists of strings and numbers are kept, others dropped.
Hdf5Node read_hdf5(const Bytes& file, const LoadLimits& limits, Tensors tensors = Tensors::read);

}  // namespace upconv::io
