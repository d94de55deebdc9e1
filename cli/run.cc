// SPDX-License-Identifier: Apache-2.0
// `upconv run`: arrays or pictures through a model. Samples go through in batches of 32, as in Keras's predict; a batch
// never changes a number.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iostream>
#include <memory>

#include "arrays.h"
#include "base/text.h"
#include "command.h"
#include "loading.h"
#include "progress.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv::cli {
namespace {

constexpr const char* kDescription = R"(Run a model: MODEL, then its inputs, then its outputs, as .npy, .npz or .png files.

  upconv run superres.keras photo.png large.png
  upconv run decoder.keras latents.npy digits.npy
  upconv run two_inputs.keras a.npy b.npy y.npy
  upconv run model.json x.npy y.npy --weights model.weights.h5

A picture is scaled to 0..1 (--range says otherwise). A colour picture goes through a grey model as three grey pictures.
A .npz input holds one array for each input of the model, found by name, else taken in the order of their names; a .npz
output takes all outputs.)";

struct Options {
  std::string model, range = "0:1", math = "fast", algorithm;
  Loading load;
  std::vector<std::string> files;
  std::int64_t batch_size = 32;
  int bits = 8;
};

ValueRange parse_range(const std::string& text) {
  const std::size_t colon = text.find(':');
  ValueRange range;
  const auto number = [&](std::size_t from, std::size_t to, double& value) {
    const char* const end = text.data() + to;
    const auto [next, error] = std::from_chars(text.data() + from, end, value);
    return error == std::errc() && next == end;
  };
  if (colon == std::string::npos || !number(0, colon, range.black) || !number(colon + 1, text.size(), range.white) ||
      range.black == range.white || !(std::abs(range.white - range.black) < 1e30))
    throw ArgumentError("range", base::cat("--range takes BLACK:WHITE, such as 0:255 or -1:1. Received: ", base::escaped(text)));
  return range;
}

/// Arrays of one .npz in the order of the model's inputs.
std::vector<Tensor> in_input_order(std::vector<NamedArray> arrays, const std::vector<ModelInput>& inputs, const std::string& path) {
  if (arrays.size() != inputs.size())
    throw FileError(path, "", base::cat("holds ", arrays.size(), " arrays; the model has ", inputs.size(), " inputs"));
  std::vector<Tensor> ordered;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const auto named = std::ranges::find(arrays, inputs[i].name, &NamedArray::name);
    ordered.push_back(named != arrays.end() ? named->values : arrays[i].values);
  }
  return ordered;
}

struct Inputs {
  std::vector<Tensor> tensors;
  PictureBatch picture;                 // the form of the last picture read, for a picture as the output
};

/// An array that the model cannot take is a fault of its file, not of the command.
void check_input(const Tensor& values, const ModelInput& input, const std::string& path) {
  const Shape& shape = values.shape();
  bool fits = shape.rank() > 0 && (input.shape.rank() == 0 || shape.rank() == input.shape.rank());
  for (std::size_t axis = 1; fits && axis < input.shape.rank(); ++axis) fits = input.shape[axis] == Shape::unknown || input.shape[axis] == shape[axis];
  if (!fits) throw FileError(path, "", base::cat("holds an array of shape ", shape.str(), "; the input '", input.name, "' of the model takes ", input.shape.str()));
}

Inputs read_inputs(const std::vector<std::string>& paths, const Model& model, ValueRange range) {
  Inputs inputs;
  if (paths.size() == 1 && !is_picture(paths[0])) {
    inputs.tensors = in_input_order(read_arrays(paths[0]), model.inputs(), paths[0]);
    return inputs;
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    if (!is_picture(paths[i])) {
      std::vector<NamedArray> arrays = read_arrays(paths[i]);
      if (arrays.size() != 1)
        throw ArgumentError("input", base::cat(base::escaped(paths[i]), ": holds ", arrays.size(), " arrays; one is needed"));
      inputs.tensors.push_back(std::move(arrays[0].values));
      continue;
    }
    inputs.picture = read_picture(paths[i], model.inputs()[i].shape, range);
    if (inputs.picture.dropped_alpha) print_note(base::cat(base::escaped(paths[i]), ": transparency is left out"));
    inputs.tensors.push_back(std::move(inputs.picture.values));
  }
  return inputs;
}

ConstTensorView samples(const Tensor& t, std::int64_t first, std::int64_t count) {
  Shape shape = t.shape();
  const std::size_t each = t.byte_size() / static_cast<std::size_t>(shape[0]);
  shape[0] = count;
  return {static_cast<const std::byte*>(t.bytes()) + static_cast<std::size_t>(first) * each, shape, t.dtype()};
}

/// All samples, batch by batch, the results put together.
std::vector<Tensor> predict(const Model& model, const std::vector<Tensor>& inputs, const Options& o) {
  CallOptions options;
  options.execution.math = parse_math(o.math);
  options.execution.algorithm = o.algorithm;
  for (std::size_t i = 0; i < inputs.size() && i < model.inputs().size(); ++i) check_input(inputs[i], model.inputs()[i], o.files[std::min(i, o.files.size() - 1)]);
  const std::int64_t total = inputs[0].shape().rank() ? inputs[0].shape()[0] : 0;
  for (const Tensor& t : inputs)
    if (t.shape().rank() == 0 || t.shape()[0] != total)
      throw ArgumentError("input", base::cat("All inputs need the same number of samples. Received: ", inputs[0].shape().str(), " and ", t.shape().str()));
  const std::int64_t batch = std::min(o.batch_size, std::max<std::int64_t>(total, 1));
  if (total <= batch) {
    const Progress progress("running", 1);
    const std::vector<ConstTensorView> views(inputs.begin(), inputs.end());
    return model(std::span(views), options);
  }
  std::vector<Tensor> results;
  Progress progress("running", total);
  for (std::int64_t first = 0; first < total; first += batch) {
    const std::int64_t count = std::min(batch, total - first);
    std::vector<ConstTensorView> views;
    for (const Tensor& t : inputs) views.push_back(samples(t, first, count));
    const std::vector<Tensor> parts = model(std::span(std::as_const(views)), options);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::size_t each = parts[i].byte_size() / static_cast<std::size_t>(count);
      if (first == 0) {
        Shape whole = parts[i].shape();
        whole[0] = total;
        results.push_back(Tensor::uninitialized(whole, parts[i].dtype()));
      }
      std::memcpy(static_cast<std::byte*>(results[i].bytes()) + static_cast<std::size_t>(first) * each, parts[i].bytes(), parts[i].byte_size());
    }
    progress.advance(count);
  }
  return results;
}

bool is_archive(const std::string& path) { return base::lower(path).ends_with(".npz"); }

/// The files of the call: inputs first. One .npz can stand for all inputs, another for all outputs.
struct Files {
  std::vector<std::string> inputs, outputs;
};

Files split_files(const std::vector<std::string>& paths, const Model& model) {
  const std::size_t wanted = model.inputs().size(), results = model.output_nodes().size();
  const std::size_t written = is_archive(paths.back()) ? 1 : results;
  const std::size_t read = paths.size() > written ? paths.size() - written : 0;
  if (read != wanted && !(read == 1 && !is_picture(paths[0])))
    throw ArgumentError("files", base::cat("The model has ", wanted, " inputs and ", results, " outputs: upconv run MODEL, ", wanted,
                                           " files to read (or one .npz), ", results, " to write (or one .npz). Received: ",
                                           paths.size(), " files"));
  const auto split = paths.begin() + static_cast<std::ptrdiff_t>(read);
  for (auto path = split; path != paths.end(); ++path)
    if (!is_picture(*path) && !is_archive(*path) && !base::lower(*path).ends_with(".npy"))
      throw ArgumentError("output", base::cat("An output file ends in .npy or .png, or one .npz takes all outputs. Received: ", base::escaped(*path)));
  return {{paths.begin(), split}, {split, paths.end()}};
}

void write_results(const Files& files, const Model& model, std::vector<Tensor> results, const Inputs& inputs, ValueRange range, int bits) {
  const auto told = [](const std::string& path, const Tensor& t) {
    std::cout << path << ": " << t.shape().str() << " " << name_of(t.dtype()) << "\n";
  };
  if (is_archive(files.outputs[0])) {
    std::vector<NamedArray> arrays;
    for (std::size_t i = 0; i < results.size(); ++i) {
      told(files.outputs[0], results[i]);
      arrays.push_back({model.layers()[model.nodes()[model.output_nodes()[i]].layer]->name(), std::move(results[i])});
    }
    return write_arrays(files.outputs[0], arrays);
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (is_picture(files.outputs[i])) write_picture(files.outputs[i], results[i], inputs.picture, range, bits);
    else write_array(files.outputs[i], results[i]);
    told(files.outputs[i], results[i]);
  }
}

void run(const Options& o) {
  const ValueRange range = parse_range(o.range);
  const Model model = load_model(o.model, o.load.options());
  const Files files = split_files(o.files, model);
  const Inputs inputs = read_inputs(files.inputs, model, range);
  std::vector<Tensor> results;
  try {
    results = predict(model, inputs.tensors, o);
  } catch (const std::bad_alloc&) {
    throw FileError(o.model, "", "a layer's output is too large for this machine's memory: the sizes of its kernel, strides or filters");
  }
  write_results(files, model, std::move(results), inputs, range, o.bits);
}

}  // namespace

Command add_run(CLI::App& root) {
  CLI::App* app = root.add_subcommand("run", kDescription);
  const auto o = std::make_shared<Options>();
  app->add_option("model", o->model, "A .keras, .h5 or .json file of a Keras model")->required();
  app->add_option("files", o->files, "Inputs (.npy, .npz, .png), then outputs (.npy, .npz, .png)")->required()->expected(2, 1000);
  o->load.add_to(*app, "A second file with the weights");
  app->add_option("--range", o->range, "What black and white of a picture are for the model")->capture_default_str();
  app->add_option("--bits", o->bits, "Bits of each sample of a written picture: 8 or 16")->check(CLI::IsMember({8, 16}))->capture_default_str();
  app->add_option("--batch-size", o->batch_size, "Samples computed at once")->check(CLI::PositiveNumber)->capture_default_str();
  app->add_option("--math", o->math, "fast or exact")->capture_default_str();
  app->add_option("--algorithm", o->algorithm, "Force an algorithm (default: the plan chooses)");
  return {app, [o] { run(*o); }};
}

}  // namespace upconv::cli
