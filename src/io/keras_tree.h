// SPDX-License-Identifier: Apache-2.0
// A model as Keras files see it: Keras 3's configuration, and the tree of entries that hold the model's own layers.
#pragma once

#include "io/keras_architecture.h"

namespace upconv::io {

struct KerasTree {
  Config serialized;                         // {"module", "class_name", "config", "registered_name", "build_config", "compile_config"}
  KerasEntry root;
};

/// A configuration that Keras wrote is kept, with the layers' own parts brought up to date; one of Keras 2, and a graph made in
/// C++, is written anew, nested models in place. Throws ArgumentError for a model that no configuration can describe (a
/// callable without a name).
KerasTree keras_tree(const Model& model);
/// The entries alone, as places of weights: also for a model that no configuration can describe.
KerasEntry weights_tree(const Model& model);

/// The layers, nested ones too, by their names joined with '/'; each layer once. The root's own name is left out. The tree owns
/// those that are not the model's (inputs), so it must outlive the result.
std::vector<std::pair<std::string, Layer*>> layers_by_path(const KerasEntry& root);
std::vector<std::pair<std::string, Layer*>> layers_by_path(const KerasEntry&& root) = delete;

}  // namespace upconv::io
