// SPDX-License-Identifier: Apache-2.0
// `upconv inspect`: what a Keras file holds, as a table like Keras's summary, also when it cannot be run yet.
#include <iostream>
#include <memory>

#include "base/text.h"
#include "command.h"
#include "loading.h"
#include "text.h"
#include "upconv/io.h"

namespace upconv::cli {
namespace {

constexpr const char* kDescription = R"(Describe a Keras file: layers, shapes, parameters, and facts about the file.

  upconv inspect model.keras
  upconv inspect model.json --weights model.weights.h5)";

void print(const ModelDescription& model) {
  std::cout << "Model: \"" << base::escaped(model.name) << "\" (" << model.class_name << ")\n\n";
  Table table({"Layer (type)", "Output shape", "Param #", "dtype", ""}, "00100");
  for (const auto& layer : model.layers)
    table.add({base::cat(std::string(2 * static_cast<std::size_t>(layer.depth), ' '), base::escaped(layer.name), " (", layer.class_name, ")"),
               layer.output_shape, grouped(layer.parameters), layer.dtype, layer.runnable ? "" : "cannot be run"});
  std::cout << table.str() << "\n"
            << "Total params: " << grouped(model.parameters) << "\n"
            << "File: " << model.layout << ", " << bytes_text(static_cast<double>(model.file_bytes))
            << (model.keras_version.empty() ? "" : ", written by Keras " + base::escaped(model.keras_version)) << "\n"
            << "Training: " << (model.compiled ? "compiled" : "not compiled") << ", "
            << (model.has_optimizer_state ? "with optimizer state" : "no optimizer state") << "\n"
            << (model.runnable ? "upconv run can run it.\n" : "upconv run cannot run it: see the marked layers.\n");
}

}  // namespace

void print_note(const std::string& note) { std::cerr << "upconv: note: " << note << "\n"; }

Command add_inspect(CLI::App& root) {
  CLI::App* app = root.add_subcommand("inspect", kDescription);
  struct Options {
    std::string model;
    Loading load;
  };
  const auto o = std::make_shared<Options>();
  app->add_option("model", o->model, "A .keras, .h5 or .json file of a Keras model")->required();
  o->load.add_to(*app, "A second file with the weights");
  return {app, [o] { print(describe_model(o->model, o->load.options())); }};
}

}  // namespace upconv::cli
