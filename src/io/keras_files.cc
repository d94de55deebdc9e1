// SPDX-License-Identifier: Apache-2.0
#include "io/keras_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "base/text.h"
#include "io/isolation.h"
#include "io/json.h"
#include "io/zip.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

std::string_view text_of(const std::vector<std::byte>& bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

void read_version(KerasParts& parts, const Config& metadata) {
  if (const Config* version = metadata.find("keras_version"); version && version->is_string()) parts.keras_version = version->as_string();
}

void read_metadata(KerasParts& parts, Config metadata) {
  read_version(parts, metadata);
  parts.metadata = std::move(metadata);
}

Config parse_model(std::string_view text, const std::string& path, const std::string& where, const LoadLimits& limits) {
  Config model = parse_json(text, path, where, limits);
  if (!model.is_dict()) throw FileError(path, where, "is no JSON object");
  return model;
}

void note_optimizer(KerasParts& parts) {
  if (!parts.weights) return;
  const Hdf5Node& root = *parts.weights;
  for (const char* place : {"optimizer/vars", "_optimizer/vars", "optimizer_weights"})
    if (const Hdf5Node* group = root.find(place); group && !group->children.empty()) parts.has_optimizer_state = true;
}

KerasParts from_zip(const Bytes& file, const LoadLimits& limits, Tensors tensors) {
  KerasParts parts;
  parts.path = file.path(), parts.layout = "a .keras archive", parts.bytes = file.size();
  const ZipReader zip(file, limits);
  if (!zip.has("config.json"))
    throw FileError(file.path(), "", zip.has("keras_metadata.pb") ? "is a TensorFlow SavedModel, which is not read" : "is a ZIP archive without config.json");
  if (zip.has("metadata.json")) read_metadata(parts, parse_json(text_of(zip.read("metadata.json")), file.path(), "metadata.json", limits));
  parts.config = parse_model(text_of(zip.read("config.json")), file.path(), "config.json", limits);
  if (zip.has("model.weights.npz")) throw FileError(file.path(), "model.weights.npz", "weights in pickled NumPy form are not read");
  if (!zip.has("model.weights.h5")) throw FileError(file.path(), "model.weights.h5", "the weights are missing from the archive");
  parts.weights = read_hdf5(zip.open("model.weights.h5"), limits, tensors);
  return parts;
}

/// Keras writes it twice into a whole-model file.
std::string version_of(const Hdf5Node& root, const std::string& path) {
  std::string version;
  for (const Hdf5Node* place : {&root, root.find("model_weights")}) {
    const Config* text = place ? place->attribute("keras_version") : nullptr;
    if (!text || !text->is_string()) continue;
    if (!version.empty() && text->as_string() != version)
      throw FileError(path, "@keras_version", base::cat("the file was written by two versions of Keras: ", version, " and, model_weights, ", text->as_string()));
    version = text->as_string();
  }
  return version;
}

KerasParts from_hdf5(const Bytes& file, const LoadLimits& limits, Tensors tensors) {
  KerasParts parts;
  parts.path = file.path(), parts.bytes = file.size();
  Hdf5Node root = read_hdf5(file, limits, tensors);
  parts.keras_version = version_of(root, file.path());
  if (const Config* model = root.attribute("model_config")) {
    if (!model->is_string()) throw FileError(file.path(), "@model_config", "is not text");
    parts.config = parse_model(model->as_string(), file.path(), "@model_config", limits);
    parts.layout = "legacy HDF5";
    if (const Config* training = root.attribute("training_config"); training && training->is_string()) {
      const Config compiled = parse_json(training->as_string(), file.path(), "@training_config", limits);
      parts.config.set("compile_config", compiled);
    }
  } else {
    if (root.find("model_weights")) throw FileError(file.path(), "@model_config", "model_config is missing from a whole-model file");
    parts.layout = legacy_layers(root) ? "legacy HDF5 weights" : "HDF5 weights (.weights.h5)";
  }
  parts.weights = std::move(root);
  return parts;
}

/// The tree of an HDF5 file that is nothing else.
Hdf5Node weights_of(KerasParts parts) {
  if (!parts.weights) throw FileError(parts.path, "", base::cat("is ", parts.layout, ", not HDF5"));
  return std::move(*parts.weights);
}

KerasParts decode(const Bytes& file, const LoadOptions& options) {
  if (std::optional<KerasParts> parts = decode_isolated(file, options)) return std::move(*parts);
  return decode_keras_bytes(file, options.limits);
}

/// Sharded weights: the index names the shards, which lie beside it under the names Keras gives them.
KerasParts from_shards(const std::string& path, const Config& index, const LoadOptions& options) {
  KerasParts parts;
  parts.path = path, parts.layout = "sharded weights (.weights.json)";
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  const std::string stem = path.substr(folder.size(), path.size() - folder.size() - std::string(".weights.json").size());
  std::vector<std::string> shards;
  const auto add = [&](const std::string& name) {
    // Only STEM_00000.weights.h5 may be opened: a name from the file never chooses a path.
    const bool fits = name.size() == stem.size() + 6 + 11 && name.compare(0, stem.size() + 1, stem + "_") == 0 &&
                      name.find_first_not_of("0123456789", stem.size() + 1) == stem.size() + 6 && name.compare(stem.size() + 6, 11, ".weights.h5") == 0;
    if (!fits) throw FileError(path, "weight_map", base::cat("names the shard '", name, "'; a shard is called ", stem, "_00000.weights.h5"));
    if (std::find(shards.begin(), shards.end(), name) == shards.end()) shards.push_back(name);
  };
  const Config& map = index.at("weight_map");
  if (!map.is_dict()) throw FileError(path, "weight_map", "is no JSON object");
  for (const auto& [group, where] : map.as_dict()) {
    const Config::List names = where.is_list() ? where.as_list() : Config::List{where};
    if (names.empty()) throw FileError(path, "weight_map", base::cat("lists no shard for ", group));
    for (const Config& one : names) {
      if (!one.is_string()) throw FileError(path, "weight_map", base::cat("a shard must be named by a string. Received: ", one.json()));
      add(one.as_string());
    }
  }
  if (static_cast<std::int64_t>(shards.size()) > options.limits.zip_members) throw FileError(path, "weight_map", "names too many shards");
  // Groups of equal path are one group; the later shards continue a layer's variables.
  const auto merge = [](auto&& self, Hdf5Node& into, Hdf5Node&& from) -> void {
    for (auto& attribute : from.attributes)
      if (!into.attribute(attribute.first)) into.attributes.push_back(std::move(attribute));
    std::map<std::string, std::size_t> places;
    for (std::size_t i = 0; i < into.children.size(); ++i) places.emplace(into.children[i].name, i);
    for (Hdf5Node& child : from.children) {
      const auto present = places.find(child.name);
      if (present == places.end()) into.children.push_back(std::move(child));
      else self(self, into.children[present->second], std::move(child));
    }
    std::sort(into.children.begin(), into.children.end(), [](const Hdf5Node& a, const Hdf5Node& b) { return a.name < b.name; });
  };
  std::sort(shards.begin(), shards.end());
  parts.weights.emplace();
  LoadOptions left = options;                          // of the limits, which hold for all shards together
  const auto spend = [&](auto&& self, const Hdf5Node& node) -> void {
    --left.limits.hdf5_objects;
    left.limits.tensor_bytes -= static_cast<std::int64_t>(node.data.byte_size());
    for (const Hdf5Node& child : node.children) self(self, child);
  };
  for (const std::string& shard : shards) {
    const Bytes file = Bytes::open(folder + shard);
    parts.bytes += file.size();
    Hdf5Node weights = weights_of(decode(file, left));
    spend(spend, weights);
    merge(merge, *parts.weights, std::move(weights));
  }
  return parts;
}

KerasParts from_folder(const std::string& path, const LoadOptions& options) {
  KerasParts parts;
  parts.path = path, parts.layout = "an unzipped .keras folder";
  const auto json = [&](const char* name) {
    const Bytes file = Bytes::open(path + "/" + name);
    parts.bytes += file.size();
    return decode(file, options).config;
  };
  read_metadata(parts, json("metadata.json"));
  parts.config = json("config.json");
  const Bytes weights = Bytes::open(path + "/model.weights.h5");
  parts.bytes += weights.size();
  parts.weights = weights_of(decode(weights, options));
  return parts;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

Hdf5Node* legacy_layers(Hdf5Node& weights) {
  if (weights.attribute("layer_names") || weights.attribute("layer_names0")) return &weights;
  return weights.find("model_weights");      // without the attribute it is refused by the names' reader
}

KerasParts decode_keras_bytes(const Bytes& file, const LoadLimits& limits, Tensors tensors) {
  KerasParts parts;
  if (file.starts_with("PK")) parts = from_zip(file, limits, tensors);
  else if (file.starts_with("\x89HDF\r\n\x1a\n")) parts = from_hdf5(file, limits, tensors);
  else {
    const std::vector<std::byte> bytes = file.all(limits.json_bytes);
    const std::string_view text = text_of(bytes);
    const std::size_t first = text.find_first_not_of(" \t\r\n");
    if (first == std::string_view::npos || text[first] != '{')
      throw FileError(file.path(), "", bytes.empty() ? "is empty: its size is 0, and it has no signature" : "is neither a .keras archive nor HDF5 nor JSON");
    parts.config = parse_json(text, file.path(), "", limits);
    parts.path = file.path(), parts.layout = "an architecture in JSON", parts.bytes = file.size();
    read_version(parts, parts.config);
  }
  note_optimizer(parts);
  return parts;
}

KerasParts read_keras_bytes(const Bytes& file, const LoadOptions& options) {
  KerasParts parts = decode(file, options);
  if (parts.config.is_dict() && parts.config.find("weight_map")) return from_shards(file.path(), parts.config, options);
  return parts;
}

KerasParts read_keras_file(const std::string& path, const LoadOptions& options) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return from_folder(path, options);
  KerasParts parts = read_keras_bytes(Bytes::open(path), options);
  if (ends_with(path, ".keras") && parts.layout != "a .keras archive")
    throw FileError(path, "", base::cat("is called .keras but is ", parts.layout));
  if (ends_with(path, ".weights.json") && !parts.weights) throw FileError(path, "weight_map", "weight_map is missing from the index of the shards");
  return parts;
}

}  // namespace upconv::io
