// SPDX-License-Identifier: Apache-2.0
// Keras 2's form is brought to Keras 3's on the way in: groups of 1 dropped, batch_input_shape made an InputLayer, the old
// hard_sigmoid kept as its own function. A name in the file selects from closed lists only.
#include "io/keras_architecture.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "base/text.h"
#include "io/keras_layer_names.h"
#include "nn/activation_functions.h"
#include "nn/names.h"
#include "nn/stateless_layers.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

class ArchitectureReader {
 public:
  ArchitectureReader(const KerasParts& parts, const LoadOptions& options) : parts_(parts), options_(options) {}

  KerasEntry read(const Config& serialized, const std::string& where, int depth) {
    if (depth > options_.limits.nesting) fail(where, "models are nested too deep");
    const Config* class_name = serialized.find("class_name");
    const Config* config = serialized.find("config");
    if (!class_name || !class_name->is_string() || !config) fail(where, "is no layer: it lacks class_name or config");
    KerasEntry entry;
    entry.class_name = class_name->as_string(), entry.where = where;
    entry.serialized = serialized;
    if (is_model_class(entry.class_name)) {
      check_module(serialized, where);
      read_model(entry, *config, depth);
      return entry;
    }
    if (!config->is_dict()) fail(where, "has a config that is no dictionary");
    check_class(entry, serialized);
    if (const Config* name = config->find("name")) {
      if (!name->is_string()) fail(where, "has a name that is no text");
      entry.name = name->as_string();
    }
    make_layer(entry);
    return entry;
  }

 private:
  [[noreturn]] void fail(const std::string& where, const std::string& why) const { throw FileError(parts_.path, where, why); }

  static bool is_model_class(const std::string& name) { return name == "Sequential" || name == "Functional" || name == "Model"; }

  /// keras itself and, of its modules, those of layers and models, as every Keras spells them: keras.layers, tf_keras.src.engine, ...
  static bool holds_layers(std::string_view module) {
    if (module.starts_with("tf_")) module.remove_prefix(3);
    if (module == "keras") return true;
    for (const std::string_view prefix : {"keras.src.", "keras.api.", "keras."}) {
      if (!module.starts_with(prefix)) continue;
      module.remove_prefix(prefix.size());
      const std::string_view first = module.substr(0, module.find('.'));
      return first == "layers" || first == "models" || first == "engine";
    }
    return false;
  }

  void check_module(const Config& serialized, const std::string& where) const {
    const Config* module = serialized.find("module");
    if (!module || module->is_null()) return;
    if (!module->is_string() || !holds_layers(module->as_string()))
      fail(where, base::cat("comes from the module ", module->json(), ", not from Keras"));
    const Config* registered = serialized.find("registered_name");
    if (registered && !registered->is_null() && registered->json() != serialized.at("class_name").json())
      fail(where, base::cat("is registered as ", registered->json(), ": custom classes are not read"));
  }

  void check_class(const KerasEntry& entry, const Config& serialized) const {
    check_module(serialized, entry.where);
    if (!is_keras_layer(entry.class_name))
      fail(entry.where, base::cat("the layer class '", entry.class_name, "' is unknown: it is none of Keras that can be read without running code"));
  }

  void read_model(KerasEntry& entry, const Config& config, int depth) {
    entry.is_model = true;
    if (entry.class_name == "Model") entry.class_name = "Functional";
    // Keras 1 and early Keras 2 wrote a Sequential's config as the bare list of its layers.
    const Config* layers = config.is_list() ? &config : config.find("layers");
    if (!layers || !layers->is_list()) fail(entry.where, "a model's config must hold the list of its layers");
    if (const Config* name = config.find("name"); name && name->is_string()) entry.name = name->as_string();
    std::set<std::string> names;
    std::size_t i = 0;
    for (const Config& layer : layers->as_list()) {
      const std::string where = base::cat(entry.where, entry.where.empty() ? "" : ".", "layers[", i++, "]");
      if (++count_ > options_.limits.layers) fail(where, base::cat("the model has more than ", options_.limits.layers, " layers"));
      KerasEntry inner = read(layer, where, depth + 1);
      if (const Config* graph_name = layer.find("name"); graph_name && graph_name->is_string()) inner.name = graph_name->as_string();
      if (i == 1 && entry.is_sequential() && inner.class_name != "InputLayer") add_input_layer(entry, config, layer);
      if (!inner.name.empty() && !names.insert(inner.name).second) fail(where, base::cat("two layers are called '", inner.name, "': the name appears twice"));
      entry.entries.push_back(std::move(inner));
    }
  }

  /// A Sequential without an InputLayer says its input on the first layer (Keras 2) or as build_input_shape.
  void add_input_layer(KerasEntry& model, const Config& config, const Config& first) const {
    const Config* shape = first.find("config") ? first.at("config").find("batch_input_shape") : nullptr;
    if (!shape) shape = config.find("build_input_shape");
    if (!shape || !shape->is_list()) return;
    KerasEntry input;
    input.name = "input_layer", input.class_name = "InputLayer", input.where = model.where;
    input.layer = guarded(model.where, [&] {
      return std::make_shared<nn::InputLayer>("input_layer", nn::shape_from_config(*shape), DType::float32);
    });
    model.entries.push_back(std::move(input));
  }

  template <class F>
  auto guarded(const std::string& where, F f) const -> decltype(f()) {
    try {
      return f();
    } catch (const ArgumentError& e) {
      fail(where, e.what());
    }
  }

  void make_layer(KerasEntry& entry) {
    const std::vector<std::string> runnable = layer_class_names();
    if (std::find(runnable.begin(), runnable.end(), entry.class_name) == runnable.end()) return refuse_callables(entry.serialized, entry.where);
    const bool conv = entry.class_name == "Conv2DTranspose" || entry.class_name == "Convolution2DTranspose";
    Config& config = *entry.serialized.find("config");
    if (conv) {
      check_sizes(config, entry.where);
      modernize(config, entry.where);
    }
    const Config* activation = config.find("activation");
    const bool old_hard_sigmoid = parts_.from_keras2() && activation && activation->is_string() && activation->as_string() == "hard_sigmoid";
    entry.layer = guarded(entry.where, [&]() -> std::shared_ptr<Layer> {
      if (!old_hard_sigmoid) return layer_from_config(entry.serialized);
      Config linear = config;
      linear.erase("activation");
      if (!conv) return nn::activation_layer(nn::hard_sigmoid_keras2(), linear);
      const Conv2DTranspose plain = Conv2DTranspose::from_config(linear);
      Conv2DTransposeOptions o = plain.options();
      o.name = plain.name(), o.activation = nn::hard_sigmoid_keras2();
      return std::make_shared<Conv2DTranspose>(plain.filters(), plain.kernel_size(), std::move(o));
    });
    if (entry.name.empty()) entry.name = entry.layer->name();
  }

  /// What no Keras writes, though its constructor takes it: a single number in a list, sizes beyond 32 bits.
  void check_sizes(const Config& config, const std::string& where) const {
    for (const char* key : {"filters", "kernel_size", "strides", "dilation_rate", "output_padding"}) {
      const Config* value = config.find(key);
      if (!value) continue;
      const bool list = value->is_list();
      if (list && value->as_list().size() != 2) fail(where, base::cat(key, " must have 2 elements. Received: ", value->json()));
      for (const Config& one : list ? value->as_list() : Config::List{*value})
        if (one.is_number() && !(one.as_double() < 2147483648.0)) fail(where, base::cat(key, " is too large. Received: ", value->json()));
    }
  }

  /// Keys of older Kerases taken out; notes where a file cannot say what it meant.
  void modernize(Config& config, const std::string& where) {
    if (const Config* groups = config.find("groups")) {
      if (!groups->is_int() || groups->as_int() != 1)
        fail(where, base::cat("the layer has groups=", groups->json(), ": grouped transposed convolutions are not supported"));
      config.erase("groups");
    }
    config.erase("batch_input_shape");
    const Config* strides = config.find("strides");
    const bool strided = strides && strides->json() != "[1, 1]";
    if (!config.find("output_padding") && strided)
      note(base::cat(where, ": the file does not hold output_padding (Keras before 3.15 lost it); None is taken"));
    if (const Config* bias = config.find("bias_initializer"); bias && bias->is_null())
      note(base::cat(where, ": bias_initializer is None, which Keras fills by glorot_uniform and upconv by zeros"));
  }

  /// Code hidden in the config of a layer that is only described.
  void refuse_callables(const Config& value, const std::string& where) const {
    if (value.is_list())
      for (const Config& item : value.as_list()) refuse_callables(item, where);
    if (!value.is_dict()) return;
    if (const Config* name = value.find("class_name"); name && name->is_string()) {
      const std::string& text = name->as_string();
      if (text == "Lambda" || text == "__lambda__" || text == "function" || text == "TFSMLayer" || text == "TorchModuleWrapper")
        fail(where, base::cat("names code ('", text, "'), which is never run"));
    }
    for (const auto& [key, item] : value.as_dict()) refuse_callables(item, where);
  }

  void note(const std::string& text) const {
    if (options_.on_note) options_.on_note(text);
  }

  const KerasParts& parts_;
  const LoadOptions& options_;
  std::int64_t count_ = 0;
};

// ------------------------------------------------------------------------------------------------------------ graph

/// (layer name, call, output): Keras's address of a tensor.
struct History {
  std::string layer;
  std::int64_t call = 0;
};

std::optional<History> history_of(const Config& value) {
  const Config* list = value.is_list() ? &value : nullptr;
  if (value.is_dict()) {
    const Config* config = value.find("config");
    list = config ? config->find("keras_history") : nullptr;
  }
  if (!list || !list->is_list() || list->as_list().size() < 3 || !list->as_list()[0].is_string() || !list->as_list()[1].is_int()) return {};
  return History{list->as_list()[0].as_string(), list->as_list()[1].as_int()};
}

/// Every address in a structure of lists and dictionaries, in order.
void collect(const Config& value, std::vector<History>& out) {
  if (const auto history = history_of(value)) {
    out.push_back(*history);
  } else if (value.is_list()) {
    for (const Config& item : value.as_list()) collect(item, out);
  } else if (value.is_dict()) {
    for (const auto& [key, item] : value.as_dict()) collect(item, out);
  }
}

/// The inputs of each call of a layer.
std::vector<std::vector<History>> calls_of(const Config& serialized) {
  std::vector<std::vector<History>> calls;
  const Config* nodes = serialized.find("inbound_nodes");
  if (!nodes || !nodes->is_list()) return calls;
  for (const Config& node : nodes->as_list()) {
    std::vector<History> inputs;
    if (const Config* args = node.find("args")) collect(*args, inputs);
    else collect(node, inputs);
    calls.push_back(std::move(inputs));
  }
  return calls;
}

class GraphBuilder {
 public:
  GraphBuilder(const KerasParts& parts) : parts_(parts) {}

  std::vector<std::shared_ptr<Layer>> layers;
  std::vector<GraphNode> nodes;

  /// The outputs of a model called on earlier nodes; `inputs` empty at the top, whose InputLayers make nodes of their own.
  std::vector<std::size_t> add_model(const KerasEntry& model, const std::vector<std::size_t>& inputs, std::vector<std::size_t>* own_inputs) {
    return model.is_sequential() ? add_sequential(model, inputs, own_inputs) : add_functional(model, inputs, own_inputs);
  }

 private:
  [[noreturn]] void fail(const std::string& where, const std::string& why) const { throw FileError(parts_.path, where, why); }

  std::size_t layer_index(const std::shared_ptr<Layer>& layer) {
    const auto it = std::find(layers.begin(), layers.end(), layer);
    if (it != layers.end()) return static_cast<std::size_t>(it - layers.begin());
    layers.push_back(layer);
    return layers.size() - 1;
  }

  std::vector<std::size_t> call(const KerasEntry& entry, const std::vector<std::size_t>& inputs) {
    if (entry.is_model) return add_model(entry, inputs, nullptr);
    nodes.push_back({layer_index(entry.layer), inputs});
    return {nodes.size() - 1};
  }

  std::vector<std::size_t> add_sequential(const KerasEntry& model, const std::vector<std::size_t>& inputs, std::vector<std::size_t>* own_inputs) {
    std::vector<std::size_t> current = inputs;
    bool first = true;
    for (const KerasEntry& entry : model.entries) {
      const bool is_input = entry.class_name == "InputLayer";
      if (is_input && !first) fail(entry.where, "an InputLayer stands behind other layers");
      if (first && own_inputs) {
        const std::shared_ptr<Layer> input = is_input ? entry.layer : std::make_shared<nn::InputLayer>("input_layer", Shape(), DType::float32);
        nodes.push_back({layer_index(input), {}});
        current = {nodes.size() - 1};
        *own_inputs = current;
      }
      first = false;
      if (!is_input) current = call(entry, current);
    }
    if (current.empty()) fail(model.where, "the model has no layers");
    return current;
  }

  std::vector<std::size_t> add_functional(const KerasEntry& model, const std::vector<std::size_t>& inputs, std::vector<std::size_t>* own_inputs) {
    const Config& config = model.serialized.at("config");
    std::vector<History> input_names, output_names;
    if (const Config* list = config.find("input_layers")) collect(*list, input_names);
    if (const Config* list = config.find("output_layers")) collect(*list, output_names);
    if (input_names.empty() || output_names.empty()) fail(model.where, "the model does not say its inputs and outputs");
    std::map<std::pair<std::string, std::int64_t>, std::vector<std::size_t>> done;
    std::map<std::string, const KerasEntry*> by_name;
    for (const KerasEntry& entry : model.entries)
      if (!by_name.emplace(entry.name, &entry).second) fail(entry.where, base::cat("two layers are called '", entry.name, "'"));
    for (std::size_t i = 0; i < input_names.size(); ++i) {
      const auto it = by_name.find(input_names[i].layer);
      if (it == by_name.end() || it->second->class_name != "InputLayer") fail(model.where, base::cat("the input '", input_names[i].layer, "' is no InputLayer of the model"));
      if (own_inputs) {
        nodes.push_back({layer_index(it->second->layer), {}});
        own_inputs->push_back(nodes.size() - 1);
        done[{input_names[i].layer, 0}] = {nodes.size() - 1};
      } else {
        if (i >= inputs.size()) fail(model.where, "the nested model is called with too few inputs");
        done[{input_names[i].layer, 0}] = {inputs[i]};
      }
    }
    resolve(model, done);
    std::vector<std::size_t> outputs;
    for (const History& output : output_names) {
      const auto it = done.find({output.layer, output.call});
      if (it == done.end()) fail(model.where, base::cat("the output '", output.layer, "' does not exist"));
      outputs.push_back(it->second.front());
    }
    return outputs;
  }

  /// Calls layers as their inputs become known, until nothing changes.
  void resolve(const KerasEntry& model, std::map<std::pair<std::string, std::int64_t>, std::vector<std::size_t>>& done) {
    struct Pending {
      const KerasEntry* entry;
      std::int64_t call;
      std::vector<History> inputs;
    };
    std::vector<Pending> pending;
    for (const KerasEntry& entry : model.entries) {
      if (entry.class_name == "InputLayer") continue;
      std::int64_t call = 0;
      for (std::vector<History>& inputs : calls_of(entry.serialized)) pending.push_back({&entry, call++, std::move(inputs)});
    }
    for (bool progress = true; progress && !pending.empty();) {
      progress = false;
      std::vector<Pending> rest;
      for (Pending& p : pending) {
        std::vector<std::size_t> inputs;
        for (const History& h : p.inputs)
          if (const auto it = done.find({h.layer, h.call}); it != done.end()) inputs.push_back(it->second.front());
        if (inputs.size() != p.inputs.size() || inputs.empty()) {
          rest.push_back(std::move(p));
          continue;
        }
        const std::vector<std::size_t> outputs = call(*p.entry, inputs);
        done[{p.entry->name, p.call}] = outputs;
        // A nested model of Keras 2 counts its own making as call 0.
        if (p.entry->is_model && parts_.from_keras2()) done[{p.entry->name, p.call + 1}] = outputs;
        progress = true;
      }
      pending = std::move(rest);
    }
    if (!pending.empty()) fail(pending.front().entry->where, base::cat("the layer '", pending.front().entry->name, "' is called on a tensor that does not exist"));
  }

  const KerasParts& parts_;
};

void list_unsupported(const KerasEntry& entry, std::vector<std::string>& out) {
  if (entry.is_model)
    for (const KerasEntry& inner : entry.entries) list_unsupported(inner, out);
  else if (!entry.layer) out.push_back(base::cat(entry.name, " (", entry.class_name, ")"));
}

}  // namespace

KerasEntry read_architecture(const KerasParts& parts, const LoadOptions& options) {
  if (!parts.config.is_dict()) throw FileError(parts.path, "", base::cat("is ", parts.layout, " without an architecture"));
  if (!parts.keras_version.empty() && parts.keras_version[0] == '1' && (parts.keras_version.size() == 1 || parts.keras_version[1] == '.'))
    throw FileError(parts.path, "", base::cat("was written by Keras ", parts.keras_version, "; Keras 2 and 3 are read"));
  return ArchitectureReader(parts, options).read(parts.config, "", 0);
}

std::vector<std::string> unsupported_layers(const KerasEntry& root) {
  std::vector<std::string> out;
  list_unsupported(root, out);
  return out;
}

Model make_model(const KerasEntry& root, const KerasParts& parts) {
  if (const std::vector<std::string> missing = unsupported_layers(root); !missing.empty())
    throw FileError(parts.path, "", base::cat("has layers that cannot be run yet: ", base::join(missing, ", ")));
  GraphBuilder graph(parts);
  std::vector<std::size_t> inputs, outputs;
  if (root.is_model) {
    outputs = graph.add_model(root, {}, &inputs);
  } else {                                             // a bare layer is a model of one layer
    graph.layers = {std::make_shared<nn::InputLayer>("input_layer", Shape(), DType::float32), root.layer};
    graph.nodes = {{0, {}}, {1, {0}}};
    inputs = {0}, outputs = {1};
  }
  try {
    return Model(root.is_model && !root.is_sequential() ? Model::Kind::functional : Model::Kind::sequential, root.name, std::move(graph.layers),
                 std::move(graph.nodes), std::move(inputs), std::move(outputs), root.is_model ? root.serialized.at("config") : Config());
  } catch (const ArgumentError& e) {
    throw FileError(parts.path, "", e.what());
  }
}

}  // namespace upconv::io
