// SPDX-License-Identifier: Apache-2.0
// What compile() and fit() left in a file: optimiser, losses, metrics, the optimiser's variables, the position in the data.
#include <algorithm>
#include <charconv>

#include "base/text.h"
#include "io/keras_reader.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv {

namespace {

using io::Hdf5Node;
using io::KerasParts;

/// Keras 2 names its own classes "Custom>Adam" where they were registered.
Config plain_class(Config object) {
  if (Config* name = object.find("class_name"); name && name->is_string() && name->as_string().rfind("Custom>", 0) == 0)
    *name = Config(name->as_string().substr(7));
  return object;
}

/// One object or a list of them, by outputs, as compile() takes it.
Config::List listed(const Config* value) {
  if (!value || value->is_null()) return {};
  if (value->is_list()) return value->as_list();
  if (value->is_dict() && !value->find("class_name")) {
    Config::List list;
    for (const auto& [output, item] : value->as_dict()) list.push_back(item);
    return list;
  }
  return {*value};
}

std::vector<Metric> metrics_of(const Config* value, const std::function<void(const std::string&)>& note) {
  std::vector<Metric> metrics;
  for (const Config& item : listed(value))
    for (const Config& one : listed(&item)) {
      Config identifier = plain_class(one);
      const Config* config = identifier.find("config");
      if (const Config* fn = config ? config->find("fn") : nullptr; fn && fn->is_string()) identifier = *fn;      // MeanMetricWrapper
      try {
        metrics.push_back(Metric::from_config(identifier));
      } catch (const ArgumentError& e) {
        if (note) note(base::cat("compile_config: a metric is left out: ", e.what()));
      }
    }
  return metrics;
}

/// The optimiser's variables in the file's order.
std::vector<OptimizerVariable> variables_of(const KerasParts& parts) {
  std::vector<OptimizerVariable> variables;
  const auto add = [&](const std::string& path, const Hdf5Node& node) {
    if (node.is_group) throw FileError(parts.path, path, "is a group where a variable of the optimizer belongs");
    if (node.integers.size() == 1) variables.push_back({path, node.integers.front()});
    else variables.push_back({path, node.data});
  };
  for (const char* place : {"optimizer/vars", "_optimizer/vars"})
    if (const Hdf5Node* group = parts.weights->find(place)) {
      for (std::size_t i = 0; i < group->children.size(); ++i) {
        const Hdf5Node* node = group->find(std::to_string(i));
        if (!node) throw FileError(parts.path, place, base::cat("has ", group->children.size(), " entries but none called ", i));
        add(base::cat(place, "/", i), *node);
      }
      return variables;
    }
  if (const Hdf5Node* group = parts.weights->find("optimizer_weights"))
    if (const Config* names = group->attribute("weight_names"); names && names->is_list())
      for (const Config& name : names->as_list()) {
        const Hdf5Node* node = name.is_string() ? group->find(name.as_string()) : nullptr;
        if (!node) throw FileError(parts.path, "optimizer_weights", base::cat("weight_names lists ", name.json(), ", which does not exist"));
        add("optimizer_weights/" + name.as_string(), *node);
      }
  return variables;
}

void restore_state(Trainer& trainer, const KerasParts& parts, const LoadOptions& options) {
  Optimizer& optimizer = trainer.optimizer();
  std::vector<OptimizerVariable> variables = variables_of(parts);
  if (variables.empty()) {
    if (options.on_note) options.on_note(base::cat(parts.path, ": the file holds no state of the optimizer; it starts anew"));
    return;
  }
  // Before its first step an optimiser has only counters; Keras 2 saved no learning rate.
  if (variables.size() != optimizer.variables().size()) optimizer.build(trainer.model());
  const std::vector<OptimizerVariable> own = optimizer.variables();
  if (variables.size() + 1 == own.size() && own.size() > 1 && own[1].path.ends_with("/learning_rate")) variables.insert(variables.begin() + 1, own[1]);
  try {
    optimizer.set_variables(variables);
  } catch (const ArgumentError& e) {
    throw FileError(parts.path, "optimizer", base::cat("holds the state of another optimizer or model: ", e.what()));
  }
  // One that has made steps has all of its slots.
  if (optimizer.iterations() > 0) optimizer.build(trainer.model());
  if (optimizer.variables().size() != variables.size())
    throw FileError(parts.path, "optimizer", base::cat("holds the state of another optimizer or model: ", variables.size(), " variable(s) after ",
                                                       optimizer.iterations(), " step(s), where this one has ", optimizer.variables().size()));
}

void restore_position(Trainer& trainer, const KerasParts& parts) {
  const Config* stored = parts.metadata.find("upconv");
  if (!stored) return;
  try {
    TrainingPosition at;
    at.epoch = stored->at("epoch").as_int(), at.step = stored->at("step").as_int(), at.batch_size = stored->at("batch_size").as_int();
    const std::string& seed = stored->at("seed").as_string();
    const auto [end, error] = std::from_chars(seed.data(), seed.data() + seed.size(), at.seed);
    if (error != std::errc() || end != seed.data() + seed.size() || at.epoch < 0 || at.step < 0 || at.batch_size < 1)
      throw ArgumentError("upconv", base::cat("the position in the data is none: ", stored->json()));
    trainer.set_position(at);
  } catch (const ArgumentError& e) {
    throw FileError(parts.path, "metadata.json: upconv", e.what());
  }
}

/// What compile() left, or null.
const Config* compile_config_of(const KerasParts& parts) {
  const Config* compiled = parts.config.find("compile_config");
  return compiled && compiled->is_dict() && !compiled->as_dict().empty() ? compiled : nullptr;
}

Trainer trainer_of(KerasParts& parts, const LoadOptions& options, TrainerOptions trainer_options) {
  const std::string& path = parts.path;
  Model model = io::model_of(parts, options);
  const Config* compiled = compile_config_of(parts);
  if (!compiled) throw FileError(path, "compile_config", "the model was not compiled: it says no optimizer and no loss");
  const Config* optimizer = compiled->find("optimizer");
  if (!optimizer) optimizer = compiled->find("optimizer_config");
  if (!optimizer || optimizer->is_null()) throw FileError(path, "compile_config", "says no optimizer");
  try {
    std::vector<Loss> losses;
    for (const Config& loss : listed(compiled->find("loss"))) losses.push_back(Loss::from_config(plain_class(loss)));
    if (losses.empty()) throw ArgumentError("loss", "says no loss");
    if (trainer_options.loss_weights.empty())
      for (const Config& weight : listed(compiled->find("loss_weights"))) trainer_options.loss_weights.push_back(weight.as_double());
    if (trainer_options.metrics.empty()) trainer_options.metrics = metrics_of(compiled->find("metrics"), options.on_note);
    if (trainer_options.weighted_metrics.empty()) trainer_options.weighted_metrics = metrics_of(compiled->find("weighted_metrics"), options.on_note);
    Trainer trainer(std::move(model), Optimizer::from_config(plain_class(*optimizer)), std::move(losses), std::move(trainer_options));
    restore_state(trainer, parts, options);
    restore_position(trainer, parts);
    return trainer;
  } catch (const ArgumentError& e) {
    throw FileError(path, "compile_config", e.what());
  }
}

}  // namespace

Trainer load_trainer(const std::string& path, const LoadOptions& options, TrainerOptions trainer_options) {
  KerasParts parts = io::read_keras_file(path, options);
  return trainer_of(parts, options, std::move(trainer_options));
}

std::variant<Model, Trainer> load_compiled(const std::string& path, const LoadOptions& options) {
  if (!options.weights.empty()) return load_model(path, options);
  KerasParts parts = io::read_keras_file(path, options);
  if (compile_config_of(parts)) return trainer_of(parts, options, {});
  return io::model_of(parts, options);
}

}  // namespace upconv
