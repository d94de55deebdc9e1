// SPDX-License-Identifier: Apache-2.0
// A model's weights in the layouts of Keras's HDF5 files.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/hdf5_writer.h"
#include "io/keras_tree.h"
#include "upconv/optimizer.h"

namespace upconv::io {

/// Keras 3: /layers/<class in snake case, numbered>/vars/<index>, models nested in place; `optimizer` adds /optimizer/vars/<index>.
std::vector<std::byte> weights_h5(const KerasEntry& root, const Optimizer* optimizer = nullptr);
/// The same cut into files of at most `max_bytes` of weights (0: one file), named STEM_00000.weights.h5, ...; and the index.
struct Shards {
  std::vector<std::pair<std::string, std::vector<std::byte>>> files;
  Config index;
};
Shards weight_shards(const KerasEntry& root, const std::string& stem, std::int64_t max_bytes);
/// Keras's older layout: a group a top-level layer below `place` ("" or "model_weights"), with weight_names.
void add_legacy_weights(Hdf5Writer& file, const std::string& place, const KerasEntry& root);
/// Whole model in HDF5, without optimizer state.
std::vector<std::byte> legacy_h5(const KerasTree& tree);

inline constexpr const char* kKerasVersion = "3.15.1";      ///< whose files these are

}  // namespace upconv::io
