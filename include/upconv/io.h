// SPDX-License-Identifier: Apache-2.0
// Keras files. Every byte of a file is taken as hostile: sizes are checked before memory is allocated, links, external data
// and callables are refused, nothing is extracted to disk, no name from a file becomes a path, and on an error nothing has
// changed. All functions throw FileError with path, place and reason, and may be called from several threads at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "upconv/conv2d_transpose.h"
#include "upconv/model.h"
#include "upconv/training.h"

namespace upconv {

/// Limits of a file, summed over all its parts.
struct LoadLimits {
  std::int64_t tensor_bytes = std::int64_t{2} << 30;
  std::int64_t json_bytes = std::int64_t{16} << 20;
  int nesting = 64;                                    ///< depth of JSON, of HDF5 groups and of models in models
  std::int64_t layers = 10'000;
  std::int64_t hdf5_objects = 100'000;
  std::int64_t zip_members = 1'024;
  std::int64_t inflate_ratio = 100;                    ///< decoded / stored bytes, above 1 MiB
  std::int64_t seconds = 60;                           ///< a decoding process may take, and one more for each 4 MiB of the file
};

/// Where a file's bytes are decoded.
enum class Isolation {
  none,        ///< in this process
  automatic,   ///< in a sandboxed process of its own; where none can be had, here, with a note
  process,     ///< in a sandboxed process of its own; FileError where none can be had
};
/// "none", "automatic" or "process"; ArgumentError for anything else.
UPCONV_EXPORT Isolation parse_isolation(std::string_view name);

struct LoadOptions {
  /// A second file with the weights, for an architecture in JSON or to replace the file's own; "" for none.
  std::string weights = {};
  LoadLimits limits = {};
  /// Told about every lossy situation (an output_padding that old files do not hold, a bias_initializer of None).
  std::function<void(const std::string& note)> on_note = {};
  /// The sandboxed process, upconv-decode, holds the open file and nothing else: it can open nothing, start nothing and send
  /// nothing but the decoded parts, which are checked once more here. Its crash or end is a FileError. docs/security.md.
  Isolation isolation = Isolation::none;
};

/// Reads a Sequential or Functional model: .keras (zip or folder), .weights.h5 beside an architecture, legacy .h5 of Keras 2
/// and 3, or the JSON of model.to_json() with options.weights. A layer class that cannot be run is refused; the message
/// names all of them at once.
UPCONV_EXPORT Model load_model(const std::string& path, const LoadOptions& options = {});
/// The same from memory.
UPCONV_EXPORT Model load_model(std::span<const std::byte> bytes, const LoadOptions& options = {});
/// A file's model with newly initialised weights: an architecture in JSON, or any whole-model file.
UPCONV_EXPORT Model load_architecture(const std::string& path, const LoadOptions& options = {});
/// Takes one Conv2DTranspose out of any Keras model by its name, whatever the other layers are.
UPCONV_EXPORT std::shared_ptr<Conv2DTranspose> load_layer(const std::string& path, const std::string& name,
                                                          const LoadOptions& options = {});

/// The same with what compile() and fit() left in the file: optimiser, losses, metrics, optimiser state and, where upconv wrote
/// it, the position in the data. Throws FileError when the file was not compiled or holds no optimiser state of this model.
UPCONV_EXPORT Trainer load_trainer(const std::string& path, const LoadOptions& options = {}, TrainerOptions trainer_options = {});
/// A Trainer where the file was compiled and its own weights are taken, else a Model. The file is decoded once.
UPCONV_EXPORT std::variant<Model, Trainer> load_compiled(const std::string& path, const LoadOptions& options = {});

struct SaveOptions {
  bool overwrite = true;                               ///< false: FileError when the path exists
  std::optional<std::string> date_saved = {};          ///< of metadata.json; fixed unless asked, so equal models give equal bytes
  std::int64_t max_shard_bytes = 0;                    ///< .weights.json: the most a shard holds; 0: one shard
};

/// Writes a model as real Keras 3 reads it, by the path's ending: .keras, or .h5 (legacy, without optimiser state). The bytes
/// depend on the model alone. Through a temporary file, synced and renamed: the path holds the old or the new file, whole.
/// Throws FileError, and ArgumentError for another ending.
UPCONV_EXPORT void save_model(const Model& model, const std::string& path, const SaveOptions& options = {});
/// The .keras archive in memory.
UPCONV_EXPORT std::vector<std::byte> save_model(const Model& model, const SaveOptions& options = {});
/// A compiled .keras with the optimiser's state in Keras's layout and the training position in metadata.json: a checkpoint.
UPCONV_EXPORT void save_trainer(Trainer& trainer, const std::string& path, const SaveOptions& options = {});
/// Weights alone, by the ending: .weights.h5, .weights.json (with shards beside it), legacy .h5, .npz (by paths of variables).
UPCONV_EXPORT void save_weights(const Model& model, const std::string& path, const SaveOptions& options = {});
/// Replaces a model's weights from a file of any of those forms or from a whole model's file. All or nothing.
UPCONV_EXPORT void load_weights(Model& model, const std::string& path, const LoadOptions& options = {});

namespace callbacks {
struct ModelCheckpointOptions {
  std::string monitor = "val_loss";
  bool save_best_only = false, save_weights_only = false;
  Mode mode = Mode::automatic;
  std::int64_t save_freq_steps = 0;                    ///< 0: at the end of every epoch
};
/// Writes the trainer (or its weights) at rank 0. `path` may hold {epoch} and names of logs as Keras's does: "m_{epoch:02d}_{val_loss:.2f}.keras".
UPCONV_EXPORT std::shared_ptr<Callback> model_checkpoint(std::string path, ModelCheckpointOptions options = {});
/// One line an epoch: epoch, then the logs by name, as Keras's CSVLogger.
UPCONV_EXPORT std::shared_ptr<Callback> csv_logger(std::string path, std::string separator = ",", bool append = false);
}  // namespace callbacks

/// All weights of a file by "layer/variable" ("decoder/up/kernel" in a nested model, "dense/0" where the layer cannot be run), in
/// the order of the layers.
UPCONV_EXPORT std::vector<std::pair<std::string, Tensor>> read_weights(const std::string& path, const LoadOptions& options = {});

/// What a file holds, also where it cannot be run yet.
struct ModelDescription {
  struct LayerInfo {
    std::string name, class_name, output_shape, dtype;
    std::int64_t parameters = 0;
    bool runnable = true;
    int depth = 0;                                     ///< of nested models
  };
  std::string name, class_name, keras_version, layout;   ///< layout: ".keras archive", "legacy HDF5", ...
  std::vector<LayerInfo> layers;
  std::int64_t parameters = 0, file_bytes = 0;
  bool compiled = false, has_optimizer_state = false;
  bool runnable = true;
};
/// Judges the whole file as load_model does, but describes Keras layers that cannot be run. A class that Keras does not have,
/// a Lambda or any callable is a FileError.
UPCONV_EXPORT ModelDescription describe_model(const std::string& path, const LoadOptions& options = {});

}  // namespace upconv
