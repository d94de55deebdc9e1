// SPDX-License-Identifier: Apache-2.0
// A Keras configuration as a tree of layers and models, and as the graph of a Model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/keras_files.h"

namespace upconv::io {

/// A layer, or a model with its own entries, in the order of the configuration.
struct KerasEntry {
  std::string name, class_name;
  Config serialized;                                   // Keras's dictionary, brought to Keras 3's form
  std::string where;                                   // its place in the file, for messages
  std::shared_ptr<Layer> layer;                        // null for a model and for a layer that cannot be run
  std::vector<KerasEntry> entries;                     // of a model
  bool is_model = false;

  bool is_sequential() const { return class_name == "Sequential"; }
};

/// Reads the whole configuration. FileError for a class that Keras does not have, a callable, or a bad argument. Layers of
/// Keras that cannot be run stay without `layer`.
KerasEntry read_architecture(const KerasParts& parts, const LoadOptions& options);

/// The graph, nested models written out. FileError naming every layer that cannot be run.
Model make_model(const KerasEntry& root, const KerasParts& parts);

/// All entries that are neither runnable nor models, as "name (class)".
std::vector<std::string> unsupported_layers(const KerasEntry& root);

}  // namespace upconv::io
