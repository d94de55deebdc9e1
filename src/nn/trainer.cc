// SPDX-License-Identifier: Apache-2.0
// Training. The global batch is cut into eight chunks of neighbouring samples, on one machine too; every sum over samples
// (gradients, denominators, losses, metrics) is a binary tree over the chunks. A rank owns a whole subtree: it sums its chunks
// by itself and the communicator goes on with the same tree over the ranks, so that the number of ranks changes no bit.
//
// A step: forward of all chunks; what the losses divide by; losses and gradients of the outputs; backward layer by layer, each
// layer's gradient going to the communicator as soon as it is whole; penalties of the weights; the optimiser.
#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "nn/pieces.h"
#include "nn/tensor_sum.h"
#include "nn/trainer_impl.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv {

namespace {

/// mixed_float16 models are trained with a scaled loss, as Keras's compile() decides it: by the model's own policy.
bool wants_loss_scaling(const Model& model) {
  const Config config = model.get_config();
  const Config* dtype = config.find("dtype");
  return (dtype && !dtype->is_null() ? DTypePolicy::from_config(*dtype).name : default_dtype_policy()) == "mixed_float16";
}

}  // namespace

Trainer::Impl::Impl(Model model_, Optimizer optimizer_, std::vector<Loss> losses_, TrainerOptions options_)
    : model(std::move(model_)), optimizer(std::move(optimizer_)), losses(std::move(losses_)), options(std::move(options_)) {
  const std::size_t outputs = model.output_nodes().size();
  if (losses.size() == 1 && outputs > 1) losses.resize(outputs, losses.front());
  if (losses.size() != outputs)
    throw ArgumentError("losses", base::cat("A model with ", outputs, " output(s) takes one loss, or one an output. Received: ", losses.size(), "."));
  if (!options.loss_weights.empty() && options.loss_weights.size() != outputs)
    throw ArgumentError("loss_weights", base::cat("There must be one loss weight for each of the ", outputs, " output(s). Received: ",
                                                  options.loss_weights.size(), "."));
  const int ranks = this->ranks();
  const auto in_pieces = [](const auto& all) { return std::all_of(all.begin(), all.end(), [](const auto& one) { return one.separable(); }); };
  const bool separable = in_pieces(losses) && in_pieces(options.metrics) && in_pieces(options.weighted_metrics);
  if (!separable && ranks > 1)
    throw ArgumentError("losses", "A loss or metric over the whole batch at once (Dice or Tversky without an axis) cannot be trained on several ranks.");
  if (!options.fast_reduce && ranks != 1 && ranks != 2 && ranks != 4 && ranks != 8)
    throw ArgumentError("communicator", base::cat("A global batch is cut into ", chunks, " chunks: the number of ranks must be 1, 2, 4 or 8 (fast_reduce takes "
                                                  "any number). Received: ", ranks, "."));
  chunks_per_batch = !separable ? 1 : options.fast_reduce ? ranks : chunks;
  if (options.auto_scale_loss && optimizer.class_name() != "LossScaleOptimizer" && wants_loss_scaling(model)) {
    optimizer.set_loss_scaling({});
    scaled_by_policy = true;
  }
  for (std::size_t output = 0; output < outputs; ++output)
    for (const std::vector<Metric>* group : {&options.metrics, &options.weighted_metrics})
      for (const Metric& metric : *group) metrics.push_back({metric, output, group == &options.weighted_metrics});
}

std::string Trainer::Impl::output_name(std::size_t output) const {
  return model.layers()[model.nodes()[model.output_nodes()[output]].layer]->name();
}

// ------------------------------------------------------------------------------------------------ one step

/// Whether the chunks go through the layers as one batch, whose layers form the gradients of the weights chunk by chunk, rather than
/// side by side: where one thread works, and where kernels are large, for they are then read and packed once. Both ways give
/// the same bits. (An activity regulariser's loss would be summed in another order.) Measured on two threads: a step of the DCGAN
/// generator, 11 million weights, is twice as fast together; one of the super-resolution model, 14 thousand, a fifth faster side by side.
bool Trainer::Impl::goes_together() const {
  for (const auto& layer : model.layers())
    if (layer->activity_regularizer()) return false;
  const int threads = options.execution.threads > 0 ? options.execution.threads : default_threads();
  return threads == 1 || model.count_params() > 500'000;
}

/// This rank's chunks of a batch of `indices`, loaded and sent forward.
Trainer::Impl::Step Trainer::Impl::forward(const LoadChunk& load, std::int64_t samples, bool training) {
  Step step;
  step.samples = samples;
  const int own = chunks_per_batch / ranks();
  for (int c = rank() * own; c < (rank() + 1) * own; ++c) {
    const std::int64_t first = samples * c / chunks_per_batch, last = samples * (c + 1) / chunks_per_batch;
    Chunk chunk;
    chunk.batch = load(first, last);
    chunk.samples = last - first;
    if (chunk.batch.targets.size() != losses.size())
      throw ArgumentError("targets", base::cat("The model has ", losses.size(), " output(s) and takes one target for each. Received: ",
                                               chunk.batch.targets.size(), "."));
    step.chunks.push_back(std::move(chunk));
  }
  if (training && step.chunks.size() > 1 && goes_together()) {
    std::vector<std::vector<Tensor>> parts;
    for (const Chunk& chunk : step.chunks) parts.push_back(chunk.batch.inputs);
    const std::vector<Tensor> inputs = nn::concatenated(parts);
    const std::vector<ConstTensorView> views(inputs.begin(), inputs.end());
    auto [outputs, tape] = model.forward(views, {.training = true, .execution = options.execution});
    std::int64_t first = 0;
    for (Chunk& chunk : step.chunks) {
      for (const Tensor& output : outputs) chunk.outputs.push_back(nn::samples_of(output, first, first + chunk.samples));
      first += chunk.samples;
    }
    step.tape = std::move(tape);
    return step;
  }
  nn::each_piece(step.chunks.size(), options.execution, [&](std::size_t c, const ExecutionOptions& execution) {
    Chunk& chunk = step.chunks[c];
    std::vector<ConstTensorView> views(chunk.batch.inputs.begin(), chunk.batch.inputs.end());
    const CallOptions call{.training = training, .execution = execution};
    if (training) std::tie(chunk.outputs, chunk.tape) = model.forward(views, call);
    else chunk.outputs = model(views, call);
  });
  return step;
}

/// Losses, gradients of the outputs and metrics: everything before the backward pass.
void Trainer::Impl::evaluate(Step& step, bool training) {
  const auto over_ranks = [&](std::vector<std::vector<double>> of_chunk) {
    std::vector<double> sums = nn::tree_sum(std::move(of_chunk));
    if (options.communicator) options.communicator->sum(sums);
    return sums;
  };
  std::vector<std::vector<double>> of_chunk;
  for (const Chunk& chunk : step.chunks) {
    std::vector<double> denominators;
    for (std::size_t k = 0; k < losses.size(); ++k)
      denominators.push_back(losses[k].denominator(chunk.batch.targets[k], chunk.outputs[k], chunk.weight()));
    of_chunk.push_back(std::move(denominators));
  }
  const std::vector<double> denominators = over_ranks(std::move(of_chunk));
  of_chunk.clear();
  for (Chunk& chunk : step.chunks) {
    std::vector<double> terms;
    for (std::size_t k = 0; k < losses.size(); ++k) {
      const double weight = options.loss_weights.empty() ? 1 : options.loss_weights[k];
      Loss::Evaluation e = losses[k].evaluate(chunk.batch.targets[k], chunk.outputs[k], chunk.weight(), denominators[k],
                                              training ? weight * optimizer.loss_scale() : weight);
      terms.push_back(e.value);
      if (training) chunk.gradients.push_back(std::move(e.gradient));
    }
    double activity = 0;
    for (const double loss : chunk.tape.activity_losses) activity += loss;
    terms.push_back(step.samples ? activity * static_cast<double>(chunk.samples) / static_cast<double>(step.samples) : 0);
    for (CompiledMetric& m : metrics) {
      m.metric.reset();
      m.metric.update(chunk.batch.targets[m.output], chunk.outputs[m.output], m.weighted ? chunk.weight() : nullptr);
      const std::span<const double> state = m.metric.state();
      m.state_size = state.size();
      terms.insert(terms.end(), state.begin(), state.end());
    }
    of_chunk.push_back(std::move(terms));
  }
  const std::vector<double> terms = over_ranks(std::move(of_chunk));
  step.output_losses.assign(terms.begin(), terms.begin() + static_cast<std::ptrdiff_t>(losses.size()));
  step.loss = terms[losses.size()];
  for (std::size_t k = 0; k < losses.size(); ++k)
    step.loss += step.output_losses[k] * (options.loss_weights.empty() ? 1 : options.loss_weights[k]);
  for (const double penalty : model.losses()) step.loss += penalty;
  step.metric_states.assign(terms.begin() + static_cast<std::ptrdiff_t>(losses.size()) + 1, terms.end());
}

/// Gradients of all weights in the order of model.weights(), summed over chunks and ranks.
std::vector<Tensor> Trainer::Impl::backward(Step& step) {
  const std::vector<Model::WeightRef> weights = model.weights();
  std::vector<Tensor> gradients(weights.size());
  std::vector<Model::Piece> pieces;
  std::vector<std::size_t> chunk_of;
  CallOptions call{.execution = options.execution};
  if (step.tape) {
    std::vector<std::vector<Tensor>> parts;
    for (Chunk& chunk : step.chunks) call.pieces.push_back(chunk.samples), parts.push_back(std::move(chunk.gradients));
    pieces.push_back({nn::concatenated(parts), std::move(*step.tape)});
  }
  for (std::size_t c = 0; c < step.chunks.size(); ++c) {
    Chunk& chunk = step.chunks[c];
    if (chunk.samples == 0 || step.tape) continue;
    pieces.push_back({std::move(chunk.gradients), std::move(chunk.tape),
                      optimizer.loss_scale() * static_cast<double>(chunk.samples) / static_cast<double>(step.samples)});
    chunk_of.push_back(c);
  }
  Communicator* communicator = options.communicator.get();
  const auto on_layer = [&](std::size_t layer, std::vector<std::vector<Tensor>> of_piece) {
    for (std::size_t w = 0; w < weights.size(); ++w) {
      const Variable& variable = weights[w].variable();
      if (weights[w].layer != model.layers()[layer].get() || !variable.trainable || !weights[w].layer->trainable()) continue;
      std::vector<Tensor> terms(step.tape ? 1 : step.chunks.size());
      for (std::size_t p = 0; p < of_piece.size(); ++p)
        if (weights[w].index < of_piece[p].size()) terms[step.tape ? 0 : chunk_of[p]] = std::move(of_piece[p][weights[w].index]);
      gradients[w] = nn::tree_sum(std::move(terms), options.execution);
      if (!communicator) continue;
      if (gradients[w].elements() == 0) gradients[w] = Tensor(variable.value.shape(), variable.value.dtype());
      communicator->begin_sum(gradients[w]);
    }
    if (communicator) communicator->progress();
  };
  if (pieces.empty() && communicator) {
    for (std::size_t layer = model.layers().size(); layer-- > 0;) on_layer(layer, {});
  } else {
    model.backward(pieces, call, on_layer);
  }
  if (communicator) communicator->finish_sums();
  for (std::size_t w = 0; w < weights.size(); ++w) {
    const Variable& variable = weights[w].variable();
    if (gradients[w].elements() > 0 && variable.regularizer)
      variable.regularizer->add_gradient(variable.value, optimizer.loss_scale(), gradients[w]);
  }
  return gradients;
}

/// The first layer, in the order of the graph, that makes a number that is not finite out of finite ones; empty where none does.
std::string Trainer::Impl::first_layer_not_finite(const Step& step) const {
  for (const Chunk& chunk : step.chunks) {
    std::vector<Tensor> values(model.nodes().size());
    for (std::size_t i = 0; i < chunk.batch.inputs.size(); ++i) values[model.input_nodes()[i]] = chunk.batch.inputs[i];
    for (std::size_t i = 0; i < values.size(); ++i) {
      const GraphNode& node = model.nodes()[i];
      std::vector<ConstTensorView> in;
      for (const std::size_t input : node.inputs) in.push_back(values[input]);
      if (!in.empty()) values[i] = model.layers()[node.layer]->call(in, {.execution = options.execution});
      if (!nn::all_finite(values[i])) return base::cat("the output of layer '", model.layers()[node.layer]->name(), "' is not finite");
    }
  }
  return {};
}

void Trainer::Impl::learn(Step& step) {
  for (const auto& layer : model.layers())
    if (layer->trainable()) layer->drop_packed();
  optimizer.apply(model, backward(step));
}

// ------------------------------------------------------------------------------------------------ ranks

void Trainer::Impl::share_weights() {
  if (ranks() == 1) return;
  for (const Model::WeightRef& ref : model.weights()) {
    Tensor value = ref.variable().value;
    options.communicator->broadcast(value);
    ref.layer->assign(ref.index, value);
  }
  compare_ranks();
}

void Trainer::Impl::agree(bool& flag) {
  if (ranks() == 1) return;
  double count[1] = {flag ? 1.0 : 0.0};
  options.communicator->sum(count);
  flag = count[0] > 0;
}

/// FNV-1a over weights and optimiser state; two doubles of 32 bits each travel.
void Trainer::Impl::compare_ranks() {
  if (ranks() == 1) return;
  std::uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&](const void* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) hash = (hash ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3u;
  };
  for (const Model::WeightRef& ref : model.weights()) add(ref.variable().value.bytes(), ref.variable().value.byte_size());
  for (const OptimizerVariable& variable : optimizer.variables()) {
    if (const auto* integer = std::get_if<std::int64_t>(&variable.value)) add(integer, sizeof *integer);
    else add(std::get<Tensor>(variable.value).bytes(), std::get<Tensor>(variable.value).byte_size());
  }
  const Tensor own = Tensor::of<double>({2}, {static_cast<double>(hash >> 32), static_cast<double>(hash & 0xffffffffu)});
  Tensor first = own;
  options.communicator->broadcast(first);
  const bool equal = own.data<double>()[0] == first.data<double>()[0] && own.data<double>()[1] == first.data<double>()[1];
  options.communicator->check(equal ? "" : "its weights or optimizer state differ from those of rank 0");
}

// ------------------------------------------------------------------------------------------------ logs

void Trainer::Impl::Totals::add(const Step& step) {
  const auto n = static_cast<double>(step.samples);
  samples += n, loss += step.loss * n;
  output_losses.resize(step.output_losses.size());
  for (std::size_t k = 0; k < output_losses.size(); ++k) output_losses[k] += step.output_losses[k] * n;
  metric_states.resize(step.metric_states.size());
  for (std::size_t k = 0; k < metric_states.size(); ++k) metric_states[k] += step.metric_states[k];
}

Logs Trainer::Impl::logs(const Totals& totals, const std::string& prefix) {
  const bool several = losses.size() > 1;
  const auto mean = [&](double sum) { return totals.samples > 0 ? sum / totals.samples : 0; };
  Logs logs = {{prefix + "loss", mean(totals.loss)}};
  for (std::size_t k = 0; several && k < losses.size(); ++k) logs.emplace_back(prefix + output_name(k) + "_loss", mean(totals.output_losses[k]));
  std::size_t at = 0;
  for (CompiledMetric& m : metrics) {
    const std::span<double> state = m.metric.state();
    for (std::size_t i = 0; i < m.state_size && at < totals.metric_states.size(); ++i) state[i] = totals.metric_states[at++];
    logs.emplace_back(prefix + (several ? output_name(m.output) + "_" : "") + m.metric.name(), m.metric.result());
  }
  return logs;
}

// ------------------------------------------------------------------------------------------------ runs

/// Runs `work`; with several ranks an error on one of them is thrown on all.
template <class Work>
void Trainer::Impl::together(Work work) {
  if (!options.communicator) return work();
  std::string error;
  try {
    work();
  } catch (const std::exception& e) {
    error = e.what();
  }
  options.communicator->check(error);
}

Trainer::Impl::Step Trainer::Impl::run_step(const LoadChunk& load, std::int64_t samples, bool training) {
  Step step;
  together([&] { step = forward(load, samples, training); });
  together([&] { if (training) optimizer.build(model); });
  evaluate(step, training);
  return step;
}

void Trainer::Impl::check_data(const Dataset& data, std::int64_t batch_size) const {
  if (data.size() < 1) throw ArgumentError("data", "The dataset is empty: there must be at least one sample.");
  if (batch_size < 1) throw ArgumentError("batch_size", base::cat("`batch_size` must be at least 1. Received: ", batch_size, "."));
  if (!data.has_targets()) throw ArgumentError("data", "Training and evaluation need targets. The dataset has none.");
}

Logs Trainer::Impl::run_evaluation(const Dataset& data, std::int64_t batch_size, const std::string& prefix) {
  check_data(data, batch_size);
  Totals totals;
  for (std::int64_t first = 0; first < data.size(); first += batch_size) {
    const std::int64_t samples = std::min(batch_size, data.size() - first);
    totals.add(run_step([&](std::int64_t from, std::int64_t to) { return data.batch(nn::range(first + from, first + to), 0); }, samples, false));
  }
  return logs(totals, prefix);
}

Trainer::Trainer(Model model, Optimizer optimizer, std::vector<Loss> losses, TrainerOptions options)
    : impl_(std::make_unique<Impl>(std::move(model), std::move(optimizer), std::move(losses), std::move(options))) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Model& Trainer::model() noexcept { return impl_->model; }
Optimizer& Trainer::optimizer() noexcept { return impl_->optimizer; }
const TrainingPosition& Trainer::position() const noexcept { return impl_->position; }
void Trainer::set_position(const TrainingPosition& position) { impl_->position = position, impl_->resumes = true; }

Logs Trainer::evaluate(const Dataset& data, std::int64_t batch_size) { return impl_->run_evaluation(data, batch_size, ""); }

std::vector<Tensor> Trainer::predict(const Dataset& data, std::int64_t batch_size) const {
  if (data.size() < 1) throw ArgumentError("data", "The dataset is empty: there must be at least one sample.");
  if (batch_size < 1) throw ArgumentError("batch_size", base::cat("`batch_size` must be at least 1. Received: ", batch_size, "."));
  std::vector<std::vector<Tensor>> parts;
  for (std::int64_t first = 0; first < data.size(); first += batch_size) {
    const Batch batch = data.batch(nn::range(first, std::min(first + batch_size, data.size())), 0);
    std::vector<ConstTensorView> views(batch.inputs.begin(), batch.inputs.end());
    parts.push_back(impl_->model(views, {.execution = impl_->options.execution}));
  }
  return nn::concatenated(parts);
}

static std::int64_t batch_samples(const Batch& batch) {
  if (batch.size() < 1) throw ArgumentError("batch", "The batch is empty: there must be at least one sample.");
  return batch.size();
}

Logs Trainer::train_on_batch(const Batch& batch) {
  const ArrayDataset data(batch.inputs, batch.targets, batch.sample_weight);
  Impl::Step step = impl_->run_step([&](std::int64_t a, std::int64_t b) { return data.batch(nn::range(a, b), 0); }, batch_samples(batch), true);
  impl_->learn(step);
  Impl::Totals totals;
  totals.add(step);
  return impl_->logs(totals, "");
}

Logs Trainer::test_on_batch(const Batch& batch) {
  return evaluate(ArrayDataset(batch.inputs, batch.targets, batch.sample_weight), batch_samples(batch));
}

Config Trainer::get_compile_config() const {
  const auto list = [](const auto& objects) {
    Config::List items;
    for (const auto& object : objects) items.push_back(object.serialize());
    return items.empty() ? Config() : Config(std::move(items));
  };
  Config optimizer = impl_->optimizer.serialize();
  if (impl_->scaled_by_policy) optimizer = Config(optimizer.at("config").at("inner_optimizer"));
  Config::List weights;
  for (const double weight : impl_->options.loss_weights) weights.push_back(weight);
  Config losses = impl_->losses.size() == 1 ? impl_->losses.front().serialize() : list(impl_->losses);
  return Config::dict({{"optimizer", std::move(optimizer)}, {"loss", std::move(losses)}, {"loss_weights", weights.empty() ? Config() : Config(std::move(weights))},
                       {"metrics", list(impl_->options.metrics)}, {"weighted_metrics", list(impl_->options.weighted_metrics)},
                       {"run_eagerly", false}, {"steps_per_execution", 1}, {"jit_compile", true}});
}

}  // namespace upconv
