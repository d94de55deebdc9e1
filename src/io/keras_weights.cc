// SPDX-License-Identifier: Apache-2.0
#include "io/keras_weights.h"

#include <algorithm>
#include <map>

#include "base/memory.h"
#include "base/text.h"
#include "nn/names.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

class Matcher {
 public:
  Matcher(const std::string& path) : path_(path) {}
  std::vector<LayerWeights> found;

  // ---- the newer layout

  void match_saved(const KerasEntry& entry, Hdf5Node& group, const std::string& where) {
    if (!entry.is_model) return take_vars(entry, group, where);
    Hdf5Node* layers = group.find("layers");
    if (!layers) layers = group.find("_layer_checkpoint_dependencies");            // Keras 2.13
    if (!layers && !entry.entries.empty()) fail(where, "the weights file has no group 'layers'");
    std::map<std::string, int> used;
    for (const KerasEntry& inner : entry.entries) {
      if (entry.is_sequential() && inner.class_name == "InputLayer") continue;
      std::string key = nn::snake_case(inner.class_name);
      const int count = used[key]++;
      if (count > 0) key += "_" + std::to_string(count);
      Hdf5Node* child = layers->find(key);
      const std::string place = where + "/layers/" + key;
      if (!child) {
        if (needs_weights(inner)) fail(place, base::cat("the weights of layer '", inner.name, "' are missing"));
        continue;
      }
      match_saved(inner, *child, place);
    }
  }

  // ---- the legacy layout

  void match_legacy(const KerasEntry& root, Hdf5Node& group) {
    const std::vector<std::string> names = names_of(group, "layer_names");
    std::map<std::string, const KerasEntry*> by_name;
    for (const KerasEntry& entry : root.entries) by_name[entry.name] = &entry;
    std::map<std::string, bool> covered;
    std::size_t position = 0;
    for (const std::string& name : names) {
      if (covered[name]) fail(name, "layer_names lists the layer twice");
      Hdf5Node* layer = group.find(name);
      if (!layer) fail(name, "layer_names lists a group that does not exist");
      const std::vector<std::string> weights = names_of(*layer, "weight_names");
      std::vector<Hdf5Node*> datasets;
      for (const std::string& weight : weights) {
        Hdf5Node* dataset = layer->find(weight);
        if (!dataset || dataset->is_group) fail(name + "/" + weight, "weight_names lists a dataset that does not exist");
        if (std::find(datasets.begin(), datasets.end(), dataset) != datasets.end()) fail(name + "/" + weight, "weight_names lists the dataset twice");
        datasets.push_back(dataset);
      }
      const auto it = by_name.find(name);
      if (it == by_name.end()) {
        if (!datasets.empty()) fail(name, "holds weights of a layer that the architecture does not have");
        continue;
      }
      covered[name] = true;
      const auto at = static_cast<std::size_t>(std::find_if(root.entries.begin(), root.entries.end(), [&](const KerasEntry& e) { return e.name == name; }) - root.entries.begin());
      if (at < position) fail(name, "layer_names has another order than the layers of the architecture");
      position = at;
      std::size_t next = 0;
      distribute(*it->second, name, datasets, next);
      if (next != datasets.size() && !has_unsupported(*it->second)) fail(name, base::cat("holds ", datasets.size(), " weights; the layer takes ", next));
    }
    for (const KerasEntry& entry : root.entries)
      if (!covered[entry.name] && needs_weights(entry)) fail(entry.name, base::cat("the weights of layer '", entry.name, "' are missing"));
  }

 private:
  [[noreturn]] void fail(const std::string& where, const std::string& why) const { throw FileError(path_, where, why); }

  static bool is_conv(const KerasEntry& entry) { return dynamic_cast<const Conv2DTranspose*>(entry.layer.get()) != nullptr; }
  static std::size_t weights_of(const KerasEntry& entry) {
    const auto* conv = dynamic_cast<const Conv2DTranspose*>(entry.layer.get());
    return conv ? (conv->options().use_bias ? 2 : 1) : 0;
  }
  static bool needs_weights(const KerasEntry& entry) {
    if (!entry.is_model) return weights_of(entry) > 0;
    for (const KerasEntry& inner : entry.entries)
      if (needs_weights(inner)) return true;
    return false;
  }
  static bool has_unsupported(const KerasEntry& entry) { return !unsupported_layers(entry).empty(); }

  void take_vars(const KerasEntry& entry, Hdf5Node& group, const std::string& where) {
    Hdf5Node* vars = group.find("vars");
    const std::size_t count = vars ? vars->children.size() : 0;
    LayerWeights weights{&entry, where, {}};
    for (std::size_t i = 0; i < count; ++i) {
      Hdf5Node* dataset = vars->find(std::to_string(i));
      if (!dataset || dataset->is_group) fail(where + "/vars", base::cat("has ", count, " entries but none called ", i));
      weights.datasets.push_back(dataset);
    }
    if (entry.layer && count != weights_of(entry))
      fail(where, base::cat("holds ", count, " weights; the layer '", entry.name, "' takes ", weights_of(entry)));
    if (count > 0) found.push_back(std::move(weights));
  }

  void distribute(const KerasEntry& entry, const std::string& where, const std::vector<Hdf5Node*>& datasets, std::size_t& next) {
    if (entry.is_model) {
      for (const KerasEntry& inner : entry.entries) distribute(inner, where + "/" + inner.name, datasets, next);
      return;
    }
    const std::size_t wanted = entry.layer ? weights_of(entry) : datasets.size() - next;
    if (datasets.size() - next < wanted) fail(where, base::cat("holds ", datasets.size(), " weights, too few for the layer '", entry.name, "'"));
    if (wanted == 0) return;
    LayerWeights weights{&entry, where, {}};
    for (std::size_t i = 0; i < wanted; ++i) weights.datasets.push_back(datasets[next++]);
    found.push_back(std::move(weights));
  }

  /// A list of names, whole or chunked as name0, name1, ...
  std::vector<std::string> names_of(const Hdf5Node& node, const std::string& attribute) const {
    std::vector<std::string> names;
    const auto append = [&](const Config& value) {
      for (const Config& one : value.as_list()) names.push_back(one.as_string());
    };
    const bool present = node.attribute(attribute) || node.attribute(attribute + "0");
    if (!present) fail(node.name, base::cat("the attribute ", attribute, " is missing or holds no text"));
    try {
      if (const Config* whole = node.attribute(attribute)) append(*whole);
      for (int i = 0; const Config* chunk = node.attribute(attribute + std::to_string(i)); ++i) append(*chunk);
    } catch (const ArgumentError&) {
      fail(node.name + "@" + attribute, base::cat(attribute, " is no list of strings"));
    }
    return names;
  }

  const std::string& path_;
};

}  // namespace

std::vector<LayerWeights> match_weights(const KerasEntry& root, Hdf5Node& file, const std::string& path) {
  Matcher matcher(path);
  if (Hdf5Node* legacy = legacy_layers(file)) matcher.match_legacy(root, *legacy);
  else matcher.match_saved(root, file, "");
  return std::move(matcher.found);
}

void check_shapes(const LayerWeights& weights, const std::string& path) {
  const auto* conv = dynamic_cast<const Conv2DTranspose*>(weights.entry->layer.get());
  if (!conv || weights.datasets.empty()) return;
  const Shape& kernel = weights.datasets[0]->shape;
  const auto [height, width] = conv->kernel_size();
  if (kernel.rank() != 4 || kernel[0] != height || kernel[1] != width || kernel[2] != conv->filters())
    throw FileError(path, weights.where, base::cat("the kernel of layer '", weights.entry->name, "' has the shape ", kernel.str(), "; expected (", height,
                                                   ", ", width, ", ", conv->filters(), ", channels)"));
}

void set_weights(const LayerWeights& weights, const std::string& path) {
  Layer* layer = weights.entry->layer.get();
  if (!layer) return;
  for (const Hdf5Node* dataset : weights.datasets)
    if (dataset->data.shape() != dataset->shape) throw FileError(path, weights.where, "holds integers where weights belong");
  std::vector<Tensor> values;
  for (Hdf5Node* dataset : weights.datasets) values.push_back(std::move(dataset->data));
  const auto* conv = dynamic_cast<const Conv2DTranspose*>(layer);
  try {
    if (conv && !layer->built() && !values.empty() && values.front().shape().rank() == 4) {
      const std::int64_t channels = values.front().shape()[3];
      const bool last = conv->options().data_format == "channels_last";
      const std::int64_t unknown = Shape::unknown;
      layer->build(last ? Shape{unknown, unknown, unknown, channels} : Shape{unknown, channels, unknown, unknown});
    }
    layer->set_weights(values);
    values.clear();
    base::drop_kept();                                 // the file's tensors and the model's are not both held
  } catch (const ArgumentError& e) {
    throw FileError(path, weights.where, e.what());
  }
}

}  // namespace upconv::io
