// SPDX-License-Identifier: Apache-2.0
// `upconv convert`: a Keras file in one form into another.
#include <iostream>
#include <memory>

#include "arrays.h"
#include "base/text.h"
#include "command.h"
#include "loading.h"
#include "output.h"
#include "progress.h"
#include "text.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv::cli {
namespace {

constexpr const char* kDescription = R"(Convert a Keras file. The ending of OUT says what is written:

  upconv convert old.h5 new.keras                       a whole model, as Keras 3 saves it
  upconv convert new.keras old.h5                       a whole model in the older form
  upconv convert model.keras model.weights.h5           the weights alone
  upconv convert model.keras model.weights.json --max-shard 100000000
  upconv convert model.keras weights.npz                the weights as NumPy arrays, by layer and variable
  upconv convert model.json model.keras --weights model.weights.h5
  upconv convert model.keras other.keras --weights weights.npz

Files of Keras 2 and 3 are read. A compiled model keeps its optimizer and the optimizer's state in .keras. The weights of
a model with layers that cannot be run yet are written to .npz all the same.)";

struct Options {
  std::string from, to;
  Loading load;
  std::int64_t max_shard = 0;
  bool without_optimizer = false, weights_only = false;
};

void convert_file(const Options& o) {
  const Progress progress("converting", 1);
  const HoldSignals whole_files;
  const std::string ending = base::lower(o.to);
  const bool npz_weights = base::lower(o.load.weights).ends_with(".npz");
  LoadOptions load = o.load.options();
  if (npz_weights) load.weights.clear();
  if (ending.ends_with(".npz")) {
    std::vector<NamedArray> arrays;
    for (auto& [name, values] : read_weights(o.from, load)) arrays.push_back({name, std::move(values)});
    return write_arrays(o.to, arrays);
  }
  const SaveOptions save{.max_shard_bytes = o.max_shard};
  const bool weights_alone = o.weights_only || ending.ends_with(".weights.h5") || ending.ends_with(".weights.json");
  if (!weights_alone && !npz_weights && ending.ends_with(".keras") && !o.without_optimizer) {
    std::variant<Model, Trainer> loaded = load_compiled(o.from, load);
    if (auto* trainer = std::get_if<Trainer>(&loaded)) save_trainer(*trainer, o.to, save);
    else save_model(std::get<Model>(loaded), o.to, save);
    return;
  }
  Model model = load_model(o.from, load);
  if (npz_weights) load_weights(model, o.load.weights, load);
  if (weights_alone) save_weights(model, o.to, save);
  else save_model(model, o.to, save);
}

}  // namespace

Command add_convert(CLI::App& root) {
  CLI::App* app = root.add_subcommand("convert", kDescription);
  const auto o = std::make_shared<Options>();
  app->add_option("from", o->from, "A .keras, .h5 or .json file, or a folder of an unzipped .keras")->required();
  app->add_option("to", o->to, "What to write: .keras, .h5, .weights.h5, .weights.json, .npz")->required();
  o->load.add_to(*app, "Take the weights from this file instead (any form)");
  app->add_option("--max-shard", o->max_shard, "Bytes of weights in one shard of .weights.json (0: all)")->check(CLI::NonNegativeNumber)->capture_default_str();
  app->add_flag("--weights-only", o->weights_only, "Write OUT.h5 as weights alone, in the older form");
  app->add_flag("--without-optimizer", o->without_optimizer, "Leave out how the model was compiled");
  return {app, [o] {
            convert_file(*o);
            std::cout << o->to << ": written\n";
          }};
}

}  // namespace upconv::cli
