// SPDX-License-Identifier: Apache-2.0
// The parts of a Keras file, whatever container holds them: the architecture, the weights, the version.
#pragma once

#include <optional>
#include <string>

#include "io/bytes.h"
#include "io/hdf5.h"

namespace upconv::io {

struct KerasParts {
  std::string path, layout;                // of the file; "a .keras archive", "legacy HDF5", ...
  std::string keras_version = "";          // "" where the file does not say
  Config metadata = {};                    // of metadata.json; null where there is none
  Config config = {};                      // {"class_name", "config", ...} of the model; null when the file has none
  std::optional<Hdf5Node> weights = {};
  std::int64_t bytes = 0;
  bool has_optimizer_state = false;

  /// Keras 2 and before; files that do not say are taken for Keras 3.
  bool from_keras2() const { return !keras_version.empty() && keras_version[0] < '3'; }
};

/// By content: a ZIP, an HDF5 file, JSON (an architecture, or the index of sharded weights), or a folder. Decoded where
/// options.isolation says.
KerasParts read_keras_file(const std::string& path, const LoadOptions& options);
KerasParts read_keras_bytes(const Bytes& file, const LoadOptions& options);

/// One file's bytes decoded in this process; an index of shards is decoded as the JSON that it is.
KerasParts decode_keras_bytes(const Bytes& file, const LoadLimits& limits, Tensors tensors = Tensors::read);

/// The group that holds the legacy layers (attribute layer_names), or nullptr for the newer layout.
Hdf5Node* legacy_layers(Hdf5Node& weights);

}  // namespace upconv::io
