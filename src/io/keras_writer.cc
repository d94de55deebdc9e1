// SPDX-License-Identifier: Apache-2.0
// The public writers: the form is chosen by the ending of the path, the bytes depend on the model alone.
#include <sys/stat.h>

#include <map>

#include "base/text.h"
#include "io/atomic_file.h"
#include "io/keras_weights.h"
#include "io/keras_weights_writer.h"
#include "io/npz.h"
#include "io/zip_writer.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {

namespace {

using io::KerasTree;

bool ends_with(const std::string& text, std::string_view end) { return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0; }

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text.data(), text.size())); }

void check_built(const Model& model) {
  if (!model.built()) throw ArgumentError("model", base::cat("The model '", model.name(), "' has no weights yet: build it or call it once before it is saved."));
}

std::vector<std::byte> keras_archive(const KerasTree& tree, const Config& compile_config, const Optimizer* optimizer, const Config& position,
                                     const SaveOptions& options) {
  Config metadata = Config::dict({{"keras_version", io::kKerasVersion}, {"date_saved", options.date_saved.value_or("1980-01-01@00:00:00")}});
  if (!position.is_null()) metadata.set("upconv", position);
  Config config = tree.serialized;
  if (!compile_config.is_null()) config.set("compile_config", compile_config);
  const std::string metadata_json = metadata.json(), config_json = config.json();
  const std::vector<std::byte> weights = io::weights_h5(tree.root, optimizer);
  return io::zip_bytes({{"metadata.json", bytes_of(metadata_json)}, {"config.json", bytes_of(config_json)}, {"model.weights.h5", weights}});
}

void write(const std::string& path, std::span<const std::byte> bytes, const SaveOptions& options) {
  struct stat info {};
  if (!options.overwrite && ::lstat(path.c_str(), &info) == 0)
    throw FileError(path, "", "exists already, and overwrite is false", FileError::Kind::access);
  io::replace_file(path, bytes);
}

/// "layer/kernel" of every weight, as read_weights() names it.
std::vector<std::pair<std::string, Model::WeightRef>> named_weights(const Model& model) {
  const io::KerasEntry root = io::weights_tree(model);
  std::vector<std::pair<std::string, Model::WeightRef>> named;
  for (const auto& [path, layer] : io::layers_by_path(root))
    for (std::size_t i = 0; i < layer->variables().size(); ++i) named.emplace_back(path + "/" + layer->variables()[i].name, Model::WeightRef{layer, i});
  return named;
}

std::vector<std::byte> weights_npz(const Model& model) {
  std::vector<std::pair<std::string, ConstTensorView>> arrays;
  for (const auto& [name, ref] : named_weights(model)) arrays.emplace_back(name, ref.variable().value);
  return io::npz_bytes(arrays);
}

void save_shards(const Model& model, const std::string& path, const SaveOptions& options) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  const std::string stem = path.substr(folder.size(), path.size() - folder.size() - std::string_view(".weights.json").size());
  const io::Shards shards = io::weight_shards(io::weights_tree(model), stem, options.max_shard_bytes);
  // The index last: until it is there, the old index names shards of the old contents only where their names are new.
  for (const auto& [name, bytes] : shards.files) write(folder + name, bytes, options);
  write(path, bytes_of(shards.index.json()), options);
}

void load_npz(Model& model, const std::string& path, const LoadOptions& options) {
  std::map<std::string, Tensor> arrays;
  for (auto& [name, tensor] : io::read_npz(io::Bytes::open(path), options.limits)) arrays.emplace(std::move(name), std::move(tensor));
  const auto named = named_weights(model);
  for (const auto& [name, ref] : named) {
    const auto it = arrays.find(name);
    if (it == arrays.end()) throw FileError(path, name, "is missing");
    if (it->second.shape() != ref.variable().value.shape())
      throw FileError(path, name, base::cat("has the shape ", it->second.shape().str(), "; the model's weight has ", ref.variable().value.shape().str()));
  }
  if (arrays.size() != named.size()) throw FileError(path, "", base::cat("holds ", arrays.size(), " arrays; the model has ", named.size(), " weights"));
  for (const auto& [name, ref] : named) ref.layer->assign(ref.index, arrays.at(name));
}

}  // namespace

std::vector<std::byte> save_model(const Model& model, const SaveOptions& options) {
  check_built(model);
  return keras_archive(io::keras_tree(model), {}, nullptr, {}, options);
}

void save_model(const Model& model, const std::string& path, const SaveOptions& options) {
  if (ends_with(path, ".keras")) return write(path, save_model(model, options), options);
  if (ends_with(path, ".weights.h5") || !(ends_with(path, ".h5") || ends_with(path, ".hdf5")))
    throw ArgumentError("path", base::cat("Invalid filepath extension for saving. A whole model is saved as .keras, or as .h5 in the older form; weights alone by "
                                          "save_weights. Received: path=", base::escaped(path)));
  check_built(model);
  write(path, io::legacy_h5(io::keras_tree(model)), options);
}

void save_trainer(Trainer& trainer, const std::string& path, const SaveOptions& options) {
  if (!ends_with(path, ".keras"))
    throw ArgumentError("path", base::cat("A compiled model is saved as .keras. Received: path=", base::escaped(path)));
  check_built(trainer.model());
  trainer.optimizer().build(trainer.model());
  const TrainingPosition& at = trainer.position();
  // A seed has 64 bits, a JSON number of Python's too; Config's integers are signed.
  const Config position = at.batch_size == 0 ? Config() : Config::dict({{"epoch", at.epoch}, {"step", at.step}, {"seed", std::to_string(at.seed)}, {"batch_size", at.batch_size}});
  write(path, keras_archive(io::keras_tree(trainer.model()), trainer.get_compile_config(), &trainer.optimizer(), position, options), options);
}

void save_weights(const Model& model, const std::string& path, const SaveOptions& options) {
  check_built(model);
  if (ends_with(path, ".weights.h5")) return write(path, io::weights_h5(io::weights_tree(model)), options);
  if (ends_with(path, ".weights.json")) return save_shards(model, path, options);
  if (ends_with(path, ".npz")) return write(path, weights_npz(model), options);
  if (!ends_with(path, ".h5") && !ends_with(path, ".hdf5"))
    throw ArgumentError("path", base::cat("Weights are saved as .weights.h5, .weights.json (in shards), .h5 (the older form) or .npz. Received: path=", base::escaped(path)));
  io::Hdf5Writer file;
  io::add_legacy_weights(file, "", io::weights_tree(model));
  write(path, file.finish(), options);
}

void load_weights(Model& model, const std::string& path, const LoadOptions& options) {
  if (ends_with(path, ".npz")) return load_npz(model, path, options);
  io::KerasParts parts = io::read_keras_file(path, options);
  if (!parts.weights) throw FileError(path, "", base::cat("is ", parts.layout, " and holds no weights"));
  const io::KerasEntry root = io::weights_tree(model);
  const std::vector<io::LayerWeights> weights = io::match_weights(root, *parts.weights, path);
  for (const io::LayerWeights& layer : weights) io::check_shapes(layer, path);
  std::vector<Tensor> before;
  for (const Model::WeightRef& ref : model.weights()) before.push_back(ref.variable().value);
  const std::vector<Model::WeightRef> refs = model.weights();
  try {
    for (const io::LayerWeights& layer : weights) io::set_weights(layer, path);
  } catch (...) {
    for (std::size_t i = 0; i < refs.size(); ++i) refs[i].layer->assign(refs[i].index, before[i]);
    throw;
  }
}

}  // namespace upconv
