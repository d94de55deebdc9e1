// SPDX-License-Identifier: Apache-2.0
#include "io/keras_weights_writer.h"

#include <set>

#include "base/text.h"
#include "nn/names.h"

namespace upconv::io {

namespace {

/// f(group, name, layer or null) for the root, every model and every layer, in Keras's order and under Keras's group names. A
/// layer that stands in several places is visited in the first.
template <class F>
void visit_saved(const KerasEntry& entry, const std::string& group, std::set<const Layer*>& seen, F& f) {
  f(group, entry.name, entry.layer.get());
  std::map<std::string, int> used;
  for (const KerasEntry& inner : entry.entries) {
    if (entry.is_sequential() && inner.class_name == "InputLayer") continue;
    std::string key = nn::snake_case(inner.class_name);
    if (const int count = used[key]++; count > 0) key += "_" + std::to_string(count);
    if (inner.layer && !seen.insert(inner.layer.get()).second) continue;
    visit_saved(inner, group + (group.empty() ? "" : "/") + "layers/" + key, seen, f);
  }
}

std::string below(const std::string& group, const std::string& name) { return group.empty() ? name : group + "/" + name; }

void add_optimizer(Hdf5Writer& file, const Optimizer& optimizer) {
  const std::vector<OptimizerVariable> variables = optimizer.variables();
  const auto add = [&](const std::string& group, const std::string& name, std::size_t from) {
    file.group(group);
    file.attribute(group, "name", name);
    for (std::size_t i = from; i < variables.size(); ++i) {
      const std::string path = base::cat(group, "/", i - from);
      if (const auto* integer = std::get_if<std::int64_t>(&variables[i].value)) file.counter(path, *integer);
      else file.dataset(path, std::get<Tensor>(variables[i].value));
    }
  };
  const std::string name = optimizer.get_config().at("name").as_string();
  add("optimizer/vars", name, 0);
  // Keras writes the optimiser inside a LossScaleOptimizer a second time, without the wrapper's four variables.
  if (optimizer.class_name() == "LossScaleOptimizer")
    add("optimizer/inner_optimizer/vars", optimizer.get_config().at("inner_optimizer").at("config").at("name").as_string(), 4);
}

}  // namespace

std::vector<std::byte> weights_h5(const KerasEntry& root, const Optimizer* optimizer) {
  Hdf5Writer file;
  std::set<const Layer*> seen;
  const auto add = [&](const std::string& group, const std::string& name, const Layer* layer) {
    const std::string vars = below(group, "vars");
    file.group(vars);
    file.attribute(vars, "name", name);
    if (!layer) return;
    for (std::size_t i = 0; i < layer->variables().size(); ++i) file.dataset(base::cat(vars, "/", i), layer->variables()[i].value);
  };
  visit_saved(root, "", seen, add);
  if (optimizer) add_optimizer(file, *optimizer);
  return file.finish();
}

Shards weight_shards(const KerasEntry& root, const std::string& stem, std::int64_t max_bytes) {
  Shards shards;
  std::vector<std::unique_ptr<Hdf5Writer>> files;
  std::vector<std::string> names;
  std::int64_t used = 0, total = 0;
  const auto open = [&] {
    std::string number = std::to_string(files.size());
    names.push_back(base::cat(stem, "_", std::string(5 - std::min<std::size_t>(5, number.size()), '0'), number, ".weights.h5"));
    files.push_back(std::make_unique<Hdf5Writer>());
    used = 0;
  };
  open();
  Config map{Config::Dict{}};
  std::set<const Layer*> seen;
  const auto add = [&](const std::string& group, const std::string& name, const Layer* layer) {
    const std::string vars = below(group, "vars");
    files.back()->group(vars);
    files.back()->attribute(vars, "name", name);
    if (!layer || layer->variables().empty()) return;
    std::vector<std::string> places;
    for (std::size_t i = 0; i < layer->variables().size(); ++i) {
      const Tensor& value = layer->variables()[i].value;
      const auto bytes = static_cast<std::int64_t>(value.byte_size());
      if (max_bytes > 0 && used > 0 && used + bytes > max_bytes) open();
      files.back()->dataset(base::cat(vars, "/", i), value);
      used += bytes, total += bytes;
      if (places.empty() || places.back() != names.back()) places.push_back(names.back());
    }
    Config::List list(places.begin(), places.end());
    map.set("/" + vars, places.size() == 1 ? Config(places.front()) : Config(std::move(list)));
  };
  visit_saved(root, "", seen, add);
  for (std::size_t i = 0; i < files.size(); ++i) shards.files.emplace_back(names[i], files[i]->finish());
  shards.index = Config::dict({{"metadata", Config::dict({{"total_size", static_cast<double>(total)}})}, {"weight_map", std::move(map)}});
  return shards;
}

void add_legacy_weights(Hdf5Writer& file, const std::string& place, const KerasEntry& root) {
  if (!place.empty()) file.group(place);
  Config::List layer_names;
  const auto names_of = [&](const std::string& group, Config::List names) { file.attribute(group, "weight_names", Config(std::move(names))); };
  const auto add = [&](const KerasEntry& entry, const std::string& path) {
    if (root.is_sequential() && entry.class_name == "InputLayer") return;
    layer_names.push_back(entry.name);
    const std::string group = below(place, entry.name);
    file.group(group);
    Config::List names;
    for (const auto& [inner, layer] : layers_by_path(entry)) {
      const std::string layer_path = entry.is_model ? path + "/" + inner : path;
      for (const Variable& variable : layer->variables()) {
        names.push_back(layer_path + "/" + variable.name);
        // Keras cannot read bfloat16 from this form; float32 holds the same numbers.
        const bool wide = variable.value.dtype() == DType::bfloat16;
        file.dataset(group + "/" + layer_path + "/" + variable.name, wide ? variable.value.cast(DType::float32) : variable.value);
      }
    }
    names_of(group, std::move(names));
  };
  if (root.is_model)
    for (const KerasEntry& entry : root.entries) add(entry, root.is_sequential() ? root.name + "/" + entry.name : entry.name);
  else add(root, root.name);
  file.group(below(place, "top_level_model_weights"));
  names_of(below(place, "top_level_model_weights"), {});
  file.attribute(place, "layer_names", Config(std::move(layer_names)));
  file.attribute(place, "backend", "jax");
  file.attribute(place, "keras_version", kKerasVersion);
}

/// The older form of a layer's dictionary: without module, registered name and build configuration.
static Config legacy_form(const Config& serialized) {
  Config out = Config::dict({{"class_name", serialized.at("class_name")}, {"config", serialized.at("config")}});
  if (Config* layers = out.find("config")->find("layers"))
    for (Config& layer : layers->as_list()) layer = legacy_form(layer);
  for (const char* key : {"name", "inbound_nodes"})
    if (const Config* value = serialized.find(key)) out.set(key, *value);
  return out;
}

std::vector<std::byte> legacy_h5(const KerasTree& tree) {
  Hdf5Writer file;
  file.attribute("", "model_config", legacy_form(tree.serialized).json());
  file.attribute("", "backend", "jax");
  file.attribute("", "keras_version", kKerasVersion);
  add_legacy_weights(file, "model_weights", tree.root);
  return file.finish();
}

}  // namespace upconv::io
