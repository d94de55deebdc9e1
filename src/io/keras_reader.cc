// SPDX-License-Identifier: Apache-2.0
// The public readers: parts, architecture, weights, and only then a result.
#include <algorithm>
#include <optional>
#include <set>

#include "base/checked.h"
#include "base/text.h"
#include "io/keras_reader.h"
#include "io/keras_weights.h"
#include "nn/initial_value.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {

namespace {

using io::KerasEntry;
using io::KerasParts;

/// The weights belong to the second file where one is given.
void add_weights(KerasParts& parts, const LoadOptions& options) {
  if (options.weights.empty()) return;
  KerasParts second = io::read_keras_file(options.weights, options);
  if (!second.weights) throw FileError(options.weights, "", base::cat("is ", second.layout, " and holds no weights"));
  parts.weights = std::move(second.weights);
}

io::Hdf5Node& weights_of(KerasParts& parts) {
  if (!parts.weights) throw FileError(parts.path, "", base::cat("is ", parts.layout, " without weights; give a weights file beside it"));
  return *parts.weights;
}

const KerasEntry* find_layer(const KerasEntry& entry, const std::string& name, std::vector<std::string>& names) {
  if (dynamic_cast<const Conv2DTranspose*>(entry.layer.get())) {
    if (entry.name == name) return &entry;
    names.push_back(entry.name);
  }
  for (const KerasEntry& inner : entry.entries)
    if (const KerasEntry* found = find_layer(inner, name, names)) return found;
  return nullptr;
}

/// What a class of Keras calls a dtype policy: a name, or a dictionary with one.
std::string dtype_of(const Config& serialized) {
  const Config* config = serialized.find("config");
  const Config* dtype = config ? config->find("dtype") : nullptr;
  if (!dtype) return "";
  if (dtype->is_string()) return dtype->as_string();
  const Config* inner = dtype->find("config");
  const Config* name = inner ? inner->find("name") : nullptr;
  return name && name->is_string() ? name->as_string() : "";
}

void describe(const KerasEntry& entry, int depth, const std::vector<io::LayerWeights>& weights, ModelDescription& out) {
  ModelDescription::LayerInfo info;
  info.name = entry.name, info.class_name = entry.class_name, info.depth = depth;
  info.runnable = entry.is_model || entry.layer;
  info.dtype = dtype_of(entry.serialized);
  if (entry.layer && entry.layer->built() && entry.layer->built_input_shape().rank() > 0)
    info.output_shape = entry.layer->compute_output_shape(entry.layer->built_input_shape()).str();
  for (const io::LayerWeights& layer : weights)
    if (layer.entry == &entry)
      for (const io::Hdf5Node* dataset : layer.datasets) info.parameters = base::checked_add(info.parameters, dataset->shape.elements());
  out.parameters = base::checked_add(out.parameters, info.parameters);
  out.runnable = out.runnable && info.runnable;
  out.layers.push_back(std::move(info));
  for (const KerasEntry& inner : entry.entries) describe(inner, depth + 1, weights, out);
}

Model load(KerasParts parts, const LoadOptions& options) {
  add_weights(parts, options);
  return io::model_of(parts, options);
}

}  // namespace

namespace io {

/// The model of entries, built where its inputs say their shapes; nothing is drawn where `weights`, matched and checked, follow.
static Model built_model(const KerasEntry& root, const KerasParts& parts, const std::vector<LayerWeights>* weights) {
  std::optional<nn::WithoutValues> without;
  if (weights) without.emplace();
  Model model = make_model(root, parts);
  try {
    if (std::all_of(model.inputs().begin(), model.inputs().end(), [](const ModelInput& in) { return in.shape.rank() > 0; })) model.build();
  } catch (const ArgumentError& e) {
    throw FileError(parts.path, "config.json", e.what());
  }
  if (!weights) return model;
  std::set<const Layer*> set;
  for (const LayerWeights& layer : *weights) {
    set_weights(layer, parts.path);
    set.insert(layer.entry->layer.get());
  }
  for (const auto& layer : model.layers())
    if (!layer->variables().empty() && !set.count(layer.get())) throw FileError(parts.path, layer->name(), "the weights of the layer are missing");
  return model;
}

Model model_of(KerasParts& parts, const LoadOptions& options, bool with_weights) {
  const KerasEntry root = read_architecture(parts, options);
  std::vector<LayerWeights> weights;
  if (with_weights) weights = match_weights(root, weights_of(parts), parts.path);
  for (const LayerWeights& layer : weights) check_shapes(layer, parts.path);
  return built_model(root, parts, with_weights ? &weights : nullptr);
}

}  // namespace io

Model load_model(const std::string& path, const LoadOptions& options) { return load(io::read_keras_file(path, options), options); }

Model load_model(std::span<const std::byte> bytes, const LoadOptions& options) {
  return load(io::read_keras_bytes(io::Bytes::view(bytes, "memory"), options), options);
}

Model load_architecture(const std::string& path, const LoadOptions& options) {
  KerasParts parts = io::read_keras_file(path, options);
  return io::model_of(parts, options, false);
}

std::shared_ptr<Conv2DTranspose> load_layer(const std::string& path, const std::string& name, const LoadOptions& options) {
  KerasParts parts = io::read_keras_file(path, options);
  add_weights(parts, options);
  const KerasEntry root = io::read_architecture(parts, options);
  std::vector<std::string> names;
  const KerasEntry* entry = find_layer(root, name, names);
  if (!entry)
    throw FileError(parts.path, "", base::cat("has no Conv2DTranspose called '", name, "'. It has: ", base::join(names, ", "),
                                              base::did_you_mean(name, names)));
  const nn::WithoutValues without;
  for (const io::LayerWeights& weights : io::match_weights(root, weights_of(parts), parts.path))
    if (weights.entry == entry) {
      io::check_shapes(weights, parts.path);
      io::set_weights(weights, parts.path);
    }
  if (!entry->layer->built()) throw FileError(parts.path, "", base::cat("holds no weights for the layer '", name, "'"));
  return std::static_pointer_cast<Conv2DTranspose>(entry->layer);
}

static void name_weights(const io::KerasEntry& entry, const std::string& path, const std::vector<io::LayerWeights>& weights,
                         std::vector<std::pair<std::string, Tensor>>& out) {
  for (const io::LayerWeights& layer : weights) {
    if (layer.entry != &entry) continue;
    for (std::size_t i = 0; i < layer.datasets.size(); ++i) {
      io::Hdf5Node& dataset = *layer.datasets[i];
      if (dataset.data.shape() != dataset.shape) continue;                 // counters
      const bool conv = dynamic_cast<const Conv2DTranspose*>(entry.layer.get()) != nullptr;
      out.emplace_back(path + "/" + (conv ? (i == 0 ? "kernel" : "bias") : std::to_string(i)), std::move(dataset.data));
    }
  }
  for (const io::KerasEntry& inner : entry.entries) name_weights(inner, (path.empty() ? "" : path + "/") + inner.name, weights, out);
}

std::vector<std::pair<std::string, Tensor>> read_weights(const std::string& path, const LoadOptions& options) {
  KerasParts parts = io::read_keras_file(path, options);
  add_weights(parts, options);
  const KerasEntry root = io::read_architecture(parts, options);
  std::vector<std::pair<std::string, Tensor>> out;
  name_weights(root, root.is_model ? "" : root.name, io::match_weights(root, weights_of(parts), parts.path), out);
  return out;
}

ModelDescription describe_model(const std::string& path, const LoadOptions& options) {
  KerasParts parts = io::read_keras_file(path, options);
  add_weights(parts, options);
  ModelDescription out;
  out.keras_version = parts.keras_version, out.layout = parts.layout, out.file_bytes = parts.bytes;
  out.has_optimizer_state = parts.has_optimizer_state;
  if (parts.config.is_null()) {                        // weights alone: what their names say
    const auto walk = [&](auto&& self, const io::Hdf5Node& node, const std::string& place) -> void {
      for (const io::Hdf5Node& child : node.children) {
        const std::string inner = place + "/" + child.name;
        if (child.is_group) self(self, child, inner);
        else out.layers.push_back({inner, "weights", child.shape.str(), child.data.shape() == child.shape ? std::string(name_of(child.data.dtype())) : "integers",
                                   child.shape.elements(), true, 0}), out.parameters = base::checked_add(out.parameters, child.shape.elements());
      }
    };
    walk(walk, weights_of(parts), "");
    return out;
  }
  const KerasEntry root = io::read_architecture(parts, options);
  std::vector<io::LayerWeights> weights;
  if (parts.weights) weights = io::match_weights(root, *parts.weights, parts.path);
  for (const io::LayerWeights& layer : weights) io::check_shapes(layer, parts.path);
  const nn::WithoutValues without;
  if (parts.weights && io::unsupported_layers(root).empty()) io::built_model(root, parts, &weights);      // the faults that only a build shows
  else
    for (const io::LayerWeights& layer : weights) io::set_weights(layer, parts.path);
  const Config* compiled = parts.config.find("compile_config");
  out.compiled = compiled && compiled->is_dict() && !compiled->as_dict().empty();
  out.name = root.name, out.class_name = root.class_name;
  if (root.is_model)
    for (const KerasEntry& entry : root.entries) describe(entry, 0, weights, out);
  else describe(root, 0, weights, out);
  return out;
}

}  // namespace upconv
