// SPDX-License-Identifier: Apache-2.0
// A graph of calls: nodes in topological order, each the call of a layer on the outputs of earlier nodes. An intermediate
// result is freed after its last reader.
#include "upconv/model.h"

#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "nn/names.h"
#include "nn/pieces.h"
#include "nn/stateless_layers.h"
#include "nn/tensor_sum.h"
#include "upconv/error.h"

namespace upconv {

struct Model::Impl {
  Kind kind = Kind::sequential;
  std::string name;
  std::vector<std::shared_ptr<Layer>> layers;
  std::vector<GraphNode> nodes;
  std::vector<std::size_t> inputs, outputs;
  std::vector<ModelInput> input_specs;
  Config config;

  /// How many readers each node's output has; the model's own outputs count as one.
  std::vector<int> readers() const {
    std::vector<int> count(nodes.size(), 0);
    for (const GraphNode& node : nodes)
      for (const std::size_t input : node.inputs) ++count[input];
    for (const std::size_t output : outputs) ++count[output];
    return count;
  }

  void check() const {
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const bool bad_layer = nodes[i].layer >= layers.size();
      const bool bad_input = std::any_of(nodes[i].inputs.begin(), nodes[i].inputs.end(), [&](std::size_t in) { return in >= i; });
      if (bad_layer || bad_input)
        throw ArgumentError("nodes", base::cat("Node ", i, " of model '", name, "' must call an existing layer on earlier nodes."));
    }
    for (const std::vector<std::size_t>* ends : {&inputs, &outputs})
      for (const std::size_t node : *ends)
        if (node >= nodes.size()) throw ArgumentError("nodes", base::cat("Model '", name, "' has no node ", node, "."));
  }

  void describe_inputs() {
    for (const std::size_t node : inputs)
      if (const auto* input = dynamic_cast<const nn::InputLayer*>(layers[nodes[node].layer].get()))
        input_specs.push_back({input->name(), input->batch_shape(), input->dtype()});
  }
};

Model::Model() : impl_(std::make_shared<Impl>()) {}

Model::Model(Kind kind, std::string name, std::vector<std::shared_ptr<Layer>> layers, std::vector<GraphNode> nodes,
             std::vector<std::size_t> inputs, std::vector<std::size_t> outputs, Config config)
    : impl_(std::make_shared<Impl>()) {
  impl_->kind = kind, impl_->name = std::move(name), impl_->layers = std::move(layers), impl_->nodes = std::move(nodes);
  impl_->inputs = std::move(inputs), impl_->outputs = std::move(outputs), impl_->config = std::move(config);
  impl_->check();
  impl_->describe_inputs();
}

Model::Model(std::vector<std::shared_ptr<Layer>> layers, std::string name, std::optional<Shape> input_shape) : Model() {
  impl_->name = name.empty() ? nn::next_name("sequential") : std::move(name);
  Shape batch_shape{Shape::unknown};
  if (input_shape)
    for (const std::int64_t dim : *input_shape) batch_shape.push_back(dim);
  if (layers.empty() || layers.front()->class_name() != "InputLayer") {
    const DType dtype = layers.empty() ? DType::float32 : layers.front()->dtype_policy().compute_dtype;
    impl_->layers.push_back(std::make_shared<nn::InputLayer>("input_layer", input_shape ? batch_shape : Shape(), dtype));
  }
  for (auto& layer : layers) impl_->layers.push_back(std::move(layer));
  for (std::size_t i = 0; i < impl_->layers.size(); ++i) impl_->nodes.push_back({i, i ? std::vector<std::size_t>{i - 1} : std::vector<std::size_t>{}});
  impl_->inputs = {0}, impl_->outputs = {impl_->nodes.size() - 1};
  impl_->describe_inputs();
  if (input_shape) build();
}

Model::Kind Model::kind() const noexcept { return impl_->kind; }
const std::string& Model::name() const noexcept { return impl_->name; }
std::span<const std::shared_ptr<Layer>> Model::layers() const noexcept { return impl_->layers; }
std::span<const GraphNode> Model::nodes() const noexcept { return impl_->nodes; }
std::span<const std::size_t> Model::input_nodes() const noexcept { return impl_->inputs; }
std::span<const std::size_t> Model::output_nodes() const noexcept { return impl_->outputs; }
const std::vector<ModelInput>& Model::inputs() const noexcept { return impl_->input_specs; }

Layer& Model::layer(std::string_view name) const {
  std::vector<std::string> names;
  for (const auto& layer : impl_->layers) {
    if (layer->name() == name) return *layer;
    names.push_back(layer->name());
  }
  throw ArgumentError("name", base::cat("No such layer: ", base::escaped(name), ". Existing layers are: ", base::join(names, ", "), "."));
}

bool Model::built() const noexcept {
  return std::all_of(impl_->layers.begin(), impl_->layers.end(), [](const auto& layer) { return layer->built(); });
}

/// The shapes of all nodes for given input shapes; builds layers on the way where asked.
static std::vector<Shape> shapes_of_nodes(const Model& model, std::span<const Shape> inputs, bool build) {
  std::vector<Shape> shapes(model.nodes().size());
  for (std::size_t i = 0; i < inputs.size(); ++i) shapes[model.input_nodes()[i]] = inputs[i];
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const GraphNode& node = model.nodes()[i];
    if (node.inputs.empty()) continue;
    std::vector<Shape> in;
    for (const std::size_t input : node.inputs) in.push_back(shapes[input]);
    Layer& layer = *model.layers()[node.layer];
    if (build) layer.build_once(in);
    shapes[i] = layer.compute_output_shape(in);
  }
  return shapes;
}

void Model::build() {
  std::vector<Shape> shapes;
  for (const ModelInput& input : impl_->input_specs) shapes.push_back(input.shape);
  shapes_of_nodes(*this, shapes, true);
}

void Model::build(const Shape& input_shape) { shapes_of_nodes(*this, {&input_shape, 1}, true); }

std::vector<Shape> Model::compute_output_shape(std::span<const Shape> inputs) const {
  const std::vector<Shape> shapes = shapes_of_nodes(*this, inputs, false);
  std::vector<Shape> out;
  for (const std::size_t node : impl_->outputs) out.push_back(shapes[node]);
  return out;
}

static void check_inputs(const Model& model, std::span<const ConstTensorView> inputs) {
  if (inputs.size() != model.input_nodes().size())
    throw ArgumentError("inputs", base::cat("Model '", model.name(), "' has ", model.input_nodes().size(), " input(s). Received: ",
                                            inputs.size(), "."));
  for (std::size_t i = 0; i < model.inputs().size(); ++i) {
    const ModelInput& wanted = model.inputs()[i];
    const Shape& shape = inputs[i].shape;
    bool fits = wanted.shape.rank() == 0 || shape.rank() == wanted.shape.rank();
    for (std::size_t axis = 0; fits && axis < wanted.shape.rank(); ++axis)
      fits = wanted.shape[axis] == Shape::unknown || wanted.shape[axis] == shape[axis];
    if (!fits)
      throw ArgumentError("inputs", base::cat("Input ", i, " ('", wanted.name, "') of model '", model.name(), "' must have shape ",
                                              wanted.shape.str(), ". Received: ", shape.str(), "."));
  }
}

std::vector<Tensor> Model::operator()(std::span<const ConstTensorView> inputs, const CallOptions& options) const {
  check_inputs(*this, inputs);
  std::vector<int> readers = impl_->readers();
  std::vector<Tensor> values(impl_->nodes.size());
  std::vector<ConstTensorView> views(impl_->nodes.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) views[impl_->inputs[i]] = inputs[i];
  for (std::size_t i = 0; i < values.size(); ++i) {
    const GraphNode& node = impl_->nodes[i];
    if (node.inputs.empty()) continue;
    std::vector<ConstTensorView> in;
    for (const std::size_t input : node.inputs) in.push_back(views[input]);
    values[i] = impl_->layers[node.layer]->call(in, options);
    views[i] = values[i];
    for (const std::size_t input : node.inputs)
      if (--readers[input] == 0) values[input] = Tensor();
  }
  std::vector<Tensor> out;
  for (const std::size_t node : impl_->outputs)
    out.push_back(--readers[node] == 0 && values[node].elements() > 0 ? std::move(values[node]) : Tensor::copy_of(views[node]));
  return out;
}

std::vector<Tensor> Model::operator()(std::initializer_list<ConstTensorView> inputs, const CallOptions& options) const {
  return (*this)(std::span(inputs.begin(), inputs.size()), options);
}

Tensor Model::operator()(ConstTensorView x, const CallOptions& options) const {
  if (impl_->outputs.size() != 1)
    throw ArgumentError("inputs", base::cat("Model '", impl_->name, "' has ", impl_->outputs.size(), " outputs: call it with a list of inputs."));
  return std::move((*this)(std::span(&x, 1), options).front());
}

std::pair<std::vector<Tensor>, ModelTape> Model::forward(std::span<const ConstTensorView> inputs, const CallOptions& options) const {
  check_inputs(*this, inputs);
  std::vector<int> readers = impl_->readers();
  std::vector<Tensor> values(impl_->nodes.size());
  ModelTape tape;
  tape.nodes.resize(impl_->nodes.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) values[impl_->inputs[i]] = Tensor::copy_of(inputs[i]);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const GraphNode& node = impl_->nodes[i];
    if (node.inputs.empty()) continue;
    std::vector<Tensor> in;
    for (const std::size_t input : node.inputs) {
      if (--readers[input] == 0) in.push_back(std::move(values[input]));
      else in.push_back(values[input]);
    }
    auto result = impl_->layers[node.layer]->forward(std::move(in), options);
    values[i] = std::move(result.first);
    if (result.second.has_activity_loss) tape.activity_losses.push_back(result.second.activity_loss);
    tape.nodes[i] = std::move(result.second);
  }
  std::vector<Tensor> out;
  for (const std::size_t node : impl_->outputs) out.push_back(values[node]);
  return {std::move(out), std::move(tape)};
}

std::vector<Tensor> Model::backward(std::span<const Tensor> output_gradients, const ModelTape& tape, const CallOptions& options) const {
  if (output_gradients.size() != impl_->outputs.size() || tape.nodes.size() != impl_->nodes.size())
    throw ArgumentError("output_gradients", base::cat("Model '", impl_->name, "' has ", impl_->outputs.size(),
                                                      " output(s) and takes one gradient for each, with the tape of its own forward. Received: ",
                                                      output_gradients.size(), "."));
  std::vector<Tensor> gradients(impl_->nodes.size());
  for (std::size_t i = 0; i < output_gradients.size(); ++i) nn::add_into(gradients[impl_->outputs[i]], Tensor(output_gradients[i]));
  std::vector<std::vector<Tensor>> of_layer(impl_->layers.size());
  for (std::size_t i = impl_->nodes.size(); i-- > 0;) {
    const GraphNode& node = impl_->nodes[i];
    if (node.inputs.empty() || gradients[i].elements() == 0) continue;
    Gradients g = impl_->layers[node.layer]->backward(gradients[i], tape.nodes[i], options);
    gradients[i] = Tensor();
    for (std::size_t k = 0; k < node.inputs.size(); ++k) nn::add_into(gradients[node.inputs[k]], std::move(g.inputs[k]));
    std::vector<Tensor>& sums = of_layer[node.layer];
    sums.resize(g.weights.size());
    for (std::size_t k = 0; k < g.weights.size(); ++k) nn::add_into(sums[k], std::move(g.weights[k]));
  }
  std::vector<Tensor> out;
  for (std::size_t l = 0; l < impl_->layers.size(); ++l) {
    of_layer[l].resize(impl_->layers[l]->variables().size());
    for (Tensor& gradient : of_layer[l]) out.push_back(std::move(gradient));
  }
  return out;
}

/// Which nodes a gradient must reach: those with a trainable weight of their own or below them.
static std::vector<bool> nodes_with_trainable_weights(const Model& model) {
  std::vector<bool> needed(model.nodes().size());
  for (std::size_t i = 0; i < needed.size(); ++i) {
    const GraphNode& node = model.nodes()[i];
    const Layer& layer = *model.layers()[node.layer];
    for (const Variable& variable : layer.variables()) needed[i] = needed[i] || (layer.trainable() && variable.trainable);
    for (const std::size_t input : node.inputs) needed[i] = needed[i] || needed[input];
  }
  return needed;
}

void Model::backward(std::span<Piece> pieces, const CallOptions& options, const LayerGradients& on_layer) const {
  const std::vector<bool> needed = nodes_with_trainable_weights(*this);
  std::vector<std::size_t> first_node(impl_->layers.size(), impl_->nodes.size());
  for (std::size_t i = impl_->nodes.size(); i-- > 0;)
    if (needed[i]) first_node[impl_->nodes[i].layer] = i;
  std::vector<std::vector<Tensor>> gradients(pieces.size(), std::vector<Tensor>(impl_->nodes.size()));
  std::vector<std::vector<std::vector<Tensor>>> of_layer(impl_->layers.size(), std::vector<std::vector<Tensor>>(pieces.size()));
  for (std::size_t p = 0; p < pieces.size(); ++p)
    for (std::size_t k = 0; k < impl_->outputs.size(); ++k)
      nn::add_into(gradients[p][impl_->outputs[k]], std::move(pieces[p].output_gradients[k]));
  const auto step = [&](std::size_t i, std::size_t p, const ExecutionOptions& execution) {
    const GraphNode& node = impl_->nodes[i];
    if (node.inputs.empty() || gradients[p][i].elements() == 0) return;
    CallOptions call = options;
    call.execution = execution;
    call.activity_scale = pieces[p].activity_scale;
    call.input_gradient = std::any_of(node.inputs.begin(), node.inputs.end(), [&](std::size_t input) { return needed[input]; });
    Gradients g = impl_->layers[node.layer]->backward(gradients[p][i], pieces[p].tape.nodes[i], call);
    gradients[p][i] = Tensor();
    pieces[p].tape.nodes[i] = Tape();
    for (std::size_t k = 0; k < node.inputs.size(); ++k)
      if (needed[node.inputs[k]]) nn::add_into(gradients[p][node.inputs[k]], std::move(g.inputs[k]));
    std::vector<Tensor>& sums = of_layer[node.layer][p];
    sums.resize(g.weights.size());
    for (std::size_t k = 0; k < g.weights.size(); ++k) nn::add_into(sums[k], std::move(g.weights[k]));
  };
  for (std::size_t i = impl_->nodes.size(); i-- > 0;) {
    if (!needed[i]) continue;
    nn::each_piece(pieces.size(), options.execution, [&](std::size_t p, const ExecutionOptions& execution) { step(i, p, execution); });
    const std::size_t layer = impl_->nodes[i].layer;
    if (first_node[layer] == i && !impl_->layers[layer]->variables().empty()) on_layer(layer, std::move(of_layer[layer]));
  }
}

std::vector<Model::WeightRef> Model::weights() const {
  std::vector<WeightRef> refs;
  for (const auto& layer : impl_->layers)
    for (std::size_t i = 0; i < layer->variables().size(); ++i) refs.push_back({layer.get(), i});
  return refs;
}

std::vector<Model::WeightRef> Model::trainable_weights() const {
  std::vector<WeightRef> refs = weights();
  std::erase_if(refs, [](const WeightRef& ref) { return !ref.layer->trainable() || !ref.variable().trainable; });
  return refs;
}

std::int64_t Model::count_params() const {
  std::int64_t count = 0;
  for (const WeightRef& ref : weights()) count = base::checked_add(count, ref.variable().value.elements(), "number of parameters");
  return count;
}

std::vector<double> Model::losses() const {
  std::vector<double> losses;
  for (const auto& layer : impl_->layers)
    for (const double loss : layer->losses()) losses.push_back(loss);
  return losses;
}

Config Model::get_config() const {
  if (!impl_->config.is_null()) return impl_->config;
  Config::List layers;
  for (const auto& layer : impl_->layers) layers.push_back(layer->serialize());
  Config config = Config::dict({{"name", impl_->name}, {"trainable", true}, {"dtype", DTypePolicy().config()}, {"layers", Config(std::move(layers))}});
  if (!impl_->input_specs.empty() && impl_->input_specs.front().shape.rank() > 0)
    config.set("build_input_shape", nn::shape_config(impl_->input_specs.front().shape));
  return config;
}

Model Model::clone() const {
  std::vector<std::shared_ptr<Layer>> copies;
  for (const auto& layer : impl_->layers) {
    std::shared_ptr<Layer> copy = layer_from_config(layer->serialize());
    if (layer->built() && !copy->built()) copy->build(layer->built_input_shape());
    if (!layer->variables().empty()) copy->set_weights(layer->get_weights());
    copies.push_back(std::move(copy));
  }
  return Model(impl_->kind, impl_->name, std::move(copies), impl_->nodes, impl_->inputs, impl_->outputs, impl_->config);
}

}  // namespace upconv
