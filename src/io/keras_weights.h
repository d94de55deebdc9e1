// SPDX-License-Identifier: Apache-2.0
// Weights of a file to layers. Newer layout: /layers/<class in snake case, numbered>/vars/<index>, models nested in place.
// Legacy layout: a group a top-level layer, whose attribute weight_names lists its datasets in order.
#pragma once

#include "io/keras_architecture.h"

namespace upconv::io {

/// One layer's weights as the file holds them.
struct LayerWeights {
  const KerasEntry* entry;
  std::string where;
  std::vector<Hdf5Node*> datasets;
};

/// The weights of every layer that has some, in order; FileError where the file's layout does not fit the architecture.
std::vector<LayerWeights> match_weights(const KerasEntry& root, Hdf5Node& file, const std::string& path);

/// The kernel's shape against the layer's arguments, before anything of their size is allocated. FileError naming both.
void check_shapes(const LayerWeights& weights, const std::string& path);
/// Builds the layer for its kernel where it is not built, and sets it from the datasets, which are given up. FileError naming both shapes.
void set_weights(const LayerWeights& weights, const std::string& path);

}  // namespace upconv::io
