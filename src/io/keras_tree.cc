// SPDX-License-Identifier: Apache-2.0
#include "io/keras_tree.h"

#include <map>
#include <set>

#include "base/text.h"
#include "nn/activation_functions.h"
#include "nn/keras_json.h"
#include "nn/stateless_layers.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

bool is_model_class(const Config& serialized) {
  const Config* name = serialized.find("class_name");
  return name && name->is_string() && (name->as_string() == "Sequential" || name->as_string() == "Functional");
}

/// Whether Keras 3 wrote this model's config: its layers then say their modules, or, in HDF5, hold policies as dictionaries.
bool written_by_keras3(const Config& config) {
  const Config* layers = config.find("layers");
  if (!layers || !layers->is_list() || layers->as_list().empty()) return false;
  for (const Config& layer : layers->as_list()) {
    const Config* inner = layer.find("config");
    if (!inner || inner->find("batch_input_shape") || inner->find("groups")) return false;
    const Config* nodes = layer.find("inbound_nodes");
    if (nodes && nodes->is_list())
      for (const Config& node : nodes->as_list())
        if (!node.is_dict()) return false;
    if (is_model_class(layer) && !written_by_keras3(*inner)) return false;
  }
  return true;
}

Config model_wrapper(bool sequential, Config config, const Shape& input_shape) {
  const Config build = Config::dict({{"input_shape", sequential && input_shape.rank() > 0 ? nn::shape_config(input_shape) : Config()}});
  return Config::dict({{"module", sequential ? "keras" : "keras.src.models.functional"}, {"class_name", sequential ? "Sequential" : "Functional"},
                       {"config", std::move(config)}, {"registered_name", sequential ? Config() : Config("Functional")}, {"build_config", build},
                       {"compile_config", Config(Config::Dict{})}});
}

/// The input's shape without a batch, from the model or from what its first layer was built for.
Shape input_shape_of(const Model& model) {
  Shape shape = model.inputs().empty() ? Shape() : model.inputs().front().shape;
  if (shape.rank() == 0)
    for (const auto& layer : model.layers())
      if (layer->built() && layer->built_input_shape().rank() > 0) {
        shape = layer->built_input_shape();
        break;
      }
  if (shape.rank() > 0) shape[0] = Shape::unknown;
  return shape;
}

bool is_input(const Layer& layer) { return layer.class_name() == "InputLayer"; }

/// Names for a flat graph: those of the layers, numbered where two are equal.
std::vector<std::string> unique_names(const Model& model) {
  std::set<std::string> used;
  std::vector<std::string> names;
  for (const auto& layer : model.layers()) {
    std::string name = layer->name();
    for (int i = 1; !used.insert(name).second; ++i) name = layer->name() + "_" + std::to_string(i);
    names.push_back(std::move(name));
  }
  return names;
}

Config renamed(Config serialized, const std::string& name) {
  serialized.find("config")->set("name", name);
  return serialized;
}

/// Whether layers are described whole, or only as places of weights, without functions, which need not have a form in a configuration.
enum class Detail { whole, weights };

Config place_config(const Layer& layer) {
  Config config = Config::dict({{"name", layer.name()}});
  if (const auto* conv = dynamic_cast<const Conv2DTranspose*>(&layer)) {
    const auto [height, width] = conv->kernel_size();
    config.set("filters", conv->filters());
    config.set("kernel_size", Config::list({height, width}));
  } else if (const auto* input = dynamic_cast<const nn::InputLayer*>(&layer)) {
    config.set("batch_shape", nn::shape_config(input->batch_shape()));
  } else if (layer.class_name() == "Activation") {
    config.set("activation", "linear");
  }
  return Config::dict({{"class_name", layer.class_name()}, {"config", std::move(config)}});
}

Config serialized(const Layer& layer, Detail detail) { return detail == Detail::whole ? layer.serialize() : place_config(layer); }

/// The functions of a stored model configuration replaced, which may be the caller's own and known no longer.
void drop_functions(Config& config) {
  for (Config& layer : config.find("layers")->as_list()) {
    Config& inner = *layer.find("config");
    const std::string& class_name = layer.at("class_name").as_string();
    if (is_model_class(layer)) drop_functions(inner);
    if (class_name == "Activation" || class_name == "Conv2DTranspose") inner.set("activation", "linear");
    if (class_name == "Conv2DTranspose")
      for (const char* key : {"kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint",
                              "bias_constraint"})
        inner.erase(key);
  }
}

/// The model's own configuration; null where weights are all that is asked for and it has none.
Config stored_config(const Model& model, Detail detail) {
  if (detail == Detail::whole) return model.get_config();
  try {
    Config config = model.get_config();
    if (written_by_keras3(config)) drop_functions(config);
    return config;
  } catch (const ArgumentError&) {
    return {};
  }
}

/// A chain of layers each called once.
bool is_chain(const Model& model) {
  if (model.kind() != Model::Kind::sequential || model.nodes().size() != model.layers().size()) return false;
  for (std::size_t i = 1; i < model.nodes().size(); ++i)
    if (model.nodes()[i].inputs != std::vector<std::size_t>{i - 1} || model.nodes()[i].layer != i) return false;
  return true;
}

Config sequential_config(const Model& model, const Config& stored, const Shape& input_shape, Detail detail) {
  const std::vector<std::string> names = unique_names(model);
  Config::List layers;
  for (std::size_t i = 0; i < model.layers().size(); ++i) {
    const Layer& layer = *model.layers()[i];
    if (is_input(layer) && input_shape.rank() == 0) continue;
    Config one = renamed(serialized(layer, detail), names[i]);
    if (is_input(layer)) one.find("config")->set("batch_shape", nn::shape_config(input_shape));
    layers.push_back(std::move(one));
  }
  Config config = Config::dict({{"name", model.name()}, {"trainable", true}, {"dtype", DTypePolicy().config()}, {"layers", Config(std::move(layers))}});
  if (const Config* dtype = stored.find("dtype")) config.set("dtype", *dtype);
  if (input_shape.rank() > 0) config.set("build_input_shape", nn::shape_config(input_shape));
  return config;
}

/// The graph call by call, in the form of Keras 3.
class FunctionalConfig {
 public:
  FunctionalConfig(const Model& model, Detail detail) : model_(model), detail_(detail), names_(unique_names(model)) {
    std::vector<std::int64_t> calls(model.layers().size());
    for (std::size_t i = 0; i < model.nodes().size(); ++i) {
      const GraphNode& node = model.nodes()[i];
      call_.push_back(calls[node.layer]++);
      shapes_.push_back(node_shape(i));
    }
  }

  Config config() const {
    std::vector<Config::List> inbound(model_.layers().size());
    for (const GraphNode& node : model_.nodes()) {
      if (node.inputs.empty()) continue;
      Config::List tensors;
      for (const std::size_t input : node.inputs) tensors.push_back(tensor(input));
      Config args = tensors.size() == 1 ? Config(std::move(tensors)) : Config::list({Config(std::move(tensors))});
      inbound[node.layer].push_back(Config::dict({{"args", std::move(args)}, {"kwargs", Config(Config::Dict{})}}));
    }
    Config::List layers;
    for (std::size_t l = 0; l < model_.layers().size(); ++l) {
      Config one = renamed(serialized(*model_.layers()[l], detail_), names_[l]);
      one.set("name", names_[l]);
      one.set("inbound_nodes", Config(std::move(inbound[l])));
      layers.push_back(std::move(one));
    }
    return Config::dict({{"name", model_.name()}, {"trainable", true}, {"layers", Config(std::move(layers))}, {"input_layers", ends(model_.input_nodes())},
                         {"output_layers", ends(model_.output_nodes())}});
  }

 private:
  const Layer& layer_of(std::size_t node) const { return *model_.layers()[model_.nodes()[node].layer]; }
  Shape node_shape(std::size_t i) const {
    const GraphNode& node = model_.nodes()[i];
    if (node.inputs.empty()) {
      for (std::size_t k = 0; k < model_.input_nodes().size(); ++k)
        if (model_.input_nodes()[k] == i) return model_.inputs()[k].shape;
      return {};
    }
    std::vector<Shape> inputs;
    for (const std::size_t input : node.inputs) inputs.push_back(shapes_[input]);
    return layer_of(i).compute_output_shape(inputs);
  }
  Config history(std::size_t node) const { return Config::list({names_[model_.nodes()[node].layer], call_[node], 0}); }
  Config tensor(std::size_t node) const {
    const std::string dtype(name_of(layer_of(node).compute_output_dtype(DType::float32)));
    return Config::dict({{"class_name", "__keras_tensor__"},
                         {"config", Config::dict({{"shape", nn::shape_config(shapes_[node])}, {"dtype", dtype}, {"keras_history", history(node)}})}});
  }
  Config ends(std::span<const std::size_t> nodes) const {
    if (nodes.size() == 1) return history(nodes.front());
    Config::List list;
    for (const std::size_t node : nodes) list.push_back(history(node));
    return list;
  }

  const Model& model_;
  const Detail detail_;
  std::vector<std::string> names_;
  std::vector<std::int64_t> call_;
  std::vector<Shape> shapes_;
};

/// The entries of a tree read from a configuration take over the model's own layers, which stand in the same order.
void adopt_layers(KerasEntry& entry, const std::map<const Layer*, std::shared_ptr<Layer>>& own) {
  if (const auto it = own.find(entry.layer.get()); entry.layer && it != own.end()) entry.layer = it->second;
  for (KerasEntry& inner : entry.entries) adopt_layers(inner, own);
}

/// Brings the layers' dictionaries in a stored configuration up to date.
void refresh(const KerasEntry& entry, Config& serialized) {
  if (!entry.is_model) {
    if (!entry.layer || is_input(*entry.layer)) return;
    const Config fresh = renamed(entry.layer->serialize(), entry.name);
    for (const char* key : {"module", "class_name", "config", "registered_name", "build_config"})
      if (const Config* value = fresh.find(key)) serialized.set(key, *value);
    return;
  }
  Config::List& layers = serialized.find("config")->find("layers")->as_list();
  const std::size_t added = entry.entries.size() - layers.size();              // the input of a Sequential that lists none
  for (std::size_t i = 0; i < layers.size(); ++i) refresh(entry.entries[i + added], layers[i]);
  serialized.set("module", entry.is_sequential() ? "keras" : "keras.src.models.functional");
  serialized.set("registered_name", entry.is_sequential() ? Config() : Config("Functional"));
}

/// `names`: those under which a written graph lists the model's layers; empty for a stored configuration, from which the layers
/// were made in their order.
KerasTree tree_of(Config serialized, const Model& model, const std::vector<std::string>& names, Detail detail) {
  KerasTree tree;
  KerasParts parts;
  parts.path = model.name(), parts.layout = "a model", parts.config = std::move(serialized);
  tree.root = read_architecture(parts, {});
  const Model twin = make_model(tree.root, parts);
  const auto twin_of = [&](std::size_t i) { return names.empty() ? twin.layers()[i].get() : &twin.layer(names[i]); };
  std::map<const Layer*, std::shared_ptr<Layer>> own;
  for (std::size_t i = 0; i < model.layers().size(); ++i) {
    if (is_input(*model.layers()[i])) continue;
    if (names.empty() && (twin.layers().size() != model.layers().size() || twin.layers()[i]->class_name() != model.layers()[i]->class_name()))
      throw FileError(model.name(), "", "its configuration describes another model");
    own[twin_of(i)] = model.layers()[i];
  }
  adopt_layers(tree.root, own);
  if (detail == Detail::whole) refresh(tree.root, parts.config);
  tree.serialized = std::move(parts.config);
  return tree;
}

void collect_layers(const KerasEntry& entry, const std::string& path, std::set<const Layer*>& seen, std::vector<std::pair<std::string, Layer*>>& out) {
  if (!entry.is_model && entry.layer && seen.insert(entry.layer.get()).second) out.emplace_back(path, entry.layer.get());
  for (const KerasEntry& inner : entry.entries) collect_layers(inner, path + (path.empty() ? "" : "/") + inner.name, seen, out);
}

}  // namespace

std::vector<std::pair<std::string, Layer*>> layers_by_path(const KerasEntry& root) {
  std::vector<std::pair<std::string, Layer*>> out;
  std::set<const Layer*> seen;
  collect_layers(root, root.is_model ? "" : root.name, seen, out);
  return out;
}

static KerasTree tree(const Model& model, Detail detail) {
  const Shape input_shape = input_shape_of(model);
  try {
    const Config stored = stored_config(model, detail);
    const bool functional = stored.find("input_layers") != nullptr;
    if (written_by_keras3(stored) && (functional || (model.kind() == Model::Kind::sequential && stored.find("build_input_shape"))))
      return tree_of(model_wrapper(!functional, stored, input_shape), model, {}, detail);
    if (is_chain(model))
      return tree_of(model_wrapper(true, sequential_config(model, stored, input_shape, detail), input_shape), model, unique_names(model), detail);
    return tree_of(model_wrapper(false, FunctionalConfig(model, detail).config(), input_shape), model, unique_names(model), detail);
  } catch (const FileError& e) {
    throw ArgumentError("model", base::cat("The model '", model.name(), "' cannot be saved: ", e.what()));
  }
}

/// Keras 3 would compute another function under the name that Keras 2 gave it.
static void refuse_old_functions(const Model& model) {
  for (const auto& layer : model.layers()) {
    const auto* conv = dynamic_cast<const Conv2DTranspose*>(layer.get());
    const auto* plain = dynamic_cast<const nn::StatelessLayer*>(layer.get());
    const ActivationFunction* function = conv ? &conv->options().activation.function() : plain ? plain->function() : nullptr;
    if (function && nn::is_hard_sigmoid_keras2(*function))
      throw ArgumentError("model", base::cat("The model '", model.name(), "' cannot be saved: its layer '", layer->name(),
                                             "' computes Keras 2's hard_sigmoid, clip(0.2x + 0.5, 0, 1); what Keras 3 calls hard_sigmoid is clip(x/6 + 0.5, 0, 1). "
                                             "Its weights alone can be saved."));
  }
}

KerasTree keras_tree(const Model& model) {
  refuse_old_functions(model);
  return tree(model, Detail::whole);
}

KerasEntry weights_tree(const Model& model) { return tree(model, Detail::weights).root; }

}  // namespace upconv::io
