// SPDX-License-Identifier: Apache-2.0
// An optimiser's state as the list of variables that Keras keeps and saves, in its order and under its names: iteration,
// learning_rate (unless it is a schedule), "average" of every weight, "gradient_accumulator" of every weight, then the
// algorithm's slots: the first ones weight by weight, the grouped ones slot by slot. The loss scaling's own come before all.
#include <algorithm>

#include "base/element.h"
#include "base/text.h"
#include "nn/names.h"
#include "nn/optimizer_impl.h"
#include "upconv/error.h"

namespace upconv {

namespace {

using namespace optimizers;

/// The initial values of a parameter's slots.
struct InitialSlots {
  const Tensor& value;
  Tensor filled(double with) const {
    Tensor t(value.shape(), value.dtype());
    if (with != 0)
      for (std::int64_t i = 0; i < t.elements(); ++i) base::write_element(t, i, with);
    return t;
  }
  std::vector<Tensor> zeros(int count) const { return std::vector<Tensor>(static_cast<std::size_t>(count), filled(0)); }

  std::vector<Tensor> operator()(const SGD& o) const { return zeros(o.momentum == 0 ? 0 : 1); }
  std::vector<Tensor> operator()(const RMSprop& o) const { return zeros(1 + (o.momentum > 0) + o.centered); }
  std::vector<Tensor> operator()(const Adam& o) const { return zeros(o.amsgrad ? 3 : 2); }
  std::vector<Tensor> operator()(const AdamW& o) const { return zeros(o.amsgrad ? 3 : 2); }
  std::vector<Tensor> operator()(const Adagrad& o) const { return {filled(o.initial_accumulator_value)}; }
  std::vector<Tensor> operator()(const Ftrl& o) const { return {filled(o.initial_accumulator_value), filled(0)}; }
  std::vector<Tensor> operator()(const Lion&) const { return zeros(1); }
  std::vector<Tensor> operator()(const Adafactor&) const {
    if (value.shape().rank() < 2) return {Tensor({}, value.dtype()), Tensor({}, value.dtype()), filled(0)};
    Shape r, c;
    for (std::size_t i = 0; i < value.shape().rank(); ++i) {
      if (i + 1 < value.shape().rank()) r.push_back(value.shape()[i]);
      if (i + 2 != value.shape().rank()) c.push_back(value.shape()[i]);
    }
    return {Tensor(r, value.dtype()), Tensor(c, value.dtype()), filled(0)};
  }
  template <class TwoSlots>
  std::vector<Tensor> operator()(const TwoSlots&) const { return zeros(2); }
};

/// Names of an algorithm's slots; those from `grouped` on follow slot by slot.
struct SlotNames {
  std::vector<const char*> names;
  std::size_t grouped;
};

struct NameSlots {
  SlotNames operator()(const SGD& o) const { return o.momentum == 0 ? SlotNames{{}, 0} : SlotNames{{"momentum"}, 1}; }
  SlotNames operator()(const RMSprop& o) const {
    SlotNames slots{{"velocity"}, 0};
    if (o.momentum > 0) slots.names.push_back("momentum");
    if (o.centered) slots.names.push_back("average_gradient");
    return slots;
  }
  template <class A> SlotNames adam(const A& o) const {
    return o.amsgrad ? SlotNames{{"momentum", "velocity", "velocity_hat"}, 2} : SlotNames{{"momentum", "velocity"}, 2};
  }
  SlotNames operator()(const Adam& o) const { return adam(o); }
  SlotNames operator()(const AdamW& o) const { return adam(o); }
  SlotNames operator()(const Adamax&) const { return {{"momentum", "norm"}, 2}; }
  SlotNames operator()(const Nadam&) const { return {{"momentum", "velocity"}, 2}; }
  SlotNames operator()(const Lamb&) const { return {{"momentum", "velocity"}, 2}; }
  SlotNames operator()(const Adagrad&) const { return {{"accumulator"}, 1}; }
  SlotNames operator()(const Adadelta&) const { return {{"accumulated_grad", "accumulated_delta_var"}, 2}; }
  SlotNames operator()(const Lion&) const { return {{"momentum"}, 1}; }
  SlotNames operator()(const Ftrl&) const { return {{"accumulator", "linear"}, 2}; }
  SlotNames operator()(const Adafactor&) const { return {{"", "", "velocity"}, 3}; }      // r and c bear the weight's own name
};

std::string slot_path(const std::string& optimizer, std::string weight, const char* slot) {
  if (*slot == 0) return base::cat(optimizer, "/", weight.substr(weight.rfind('/') + 1));
  std::replace(weight.begin(), weight.end(), '/', '_');
  return base::cat(optimizer, "/", weight, "_", slot);
}

/// One variable of the list by reference: `get` and `set` agree on order because both walk this list.
struct Entry {
  std::string path;
  std::int64_t* integer = nullptr;
  double* number = nullptr;                  // held as a float32 scalar in files
  Tensor* tensor = nullptr;
};

Tensor scalar(double value) {
  Tensor t(Shape{});
  base::write_element(t, 0, value);
  return t;
}

}  // namespace

void Optimizer::Impl::prepare(const std::vector<Model::WeightRef>& weights) {
  if (!slots.empty() && slots.size() != weights.size())
    throw ArgumentError("model", base::cat("The optimizer holds the state of ", slots.size(), " weights. Received a model with ", weights.size(), "."));
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (tracked[i] && options.use_ema && averages[i].shape() != weights[i].variable().value.shape())
      throw ArgumentError("model", base::cat("The optimizer's state of weight ", i, " has shape ", averages[i].shape().str(), ". Received: ",
                                             weights[i].variable().value.shape().str(), "."));
  if (!slots.empty()) return;
  for (const Model::WeightRef& ref : weights) {
    const Tensor& value = ref.variable().value;
    const bool trainable = ref.variable().trainable && ref.layer->trainable();
    tracked.push_back(trainable);
    paths.push_back(ref.variable().path);
    slots.push_back(trainable ? std::visit(InitialSlots{value}, algorithm) : std::vector<Tensor>());
    averages.push_back(trainable && options.use_ema ? Tensor(value.shape(), value.dtype()) : Tensor());
    accumulators.push_back(trainable && options.gradient_accumulation_steps ? Tensor(value.shape(), value.dtype()) : Tensor());
  }
}

/// The whole list. `rates` gives places to hold the learning rates in.
static std::vector<Entry> entries(Optimizer::Impl& s, double (&rates)[2], std::int64_t& unused_iteration) {
  std::vector<Entry> list;
  const std::string name = s.name();
  if (s.options.loss_scaling) {
    const std::string outer = "loss_scale_optimizer";
    list.push_back({outer + "/iteration", &unused_iteration});
    list.push_back({outer + "/learning_rate", nullptr, &rates[0]});
    list.push_back({outer + "/step_counter", &s.step_counter});
    list.push_back({outer + "/dynamic_scale", nullptr, &s.dynamic_scale});
  }
  list.push_back({name + "/iteration", &s.raw_step});
  if (!std::visit([](const auto& o) { return o.learning_rate.is_schedule(); }, s.algorithm)) {
    rates[1] = s.learning_rate();
    list.push_back({name + "/learning_rate", nullptr, &rates[1]});
  }
  const auto each_weight = [&](auto f) {
    for (std::size_t i = 0; i < s.slots.size(); ++i)
      if (s.tracked[i]) f(i);
  };
  if (s.options.use_ema) each_weight([&](std::size_t i) { list.push_back({slot_path(name, s.paths[i], "average"), nullptr, nullptr, &s.averages[i]}); });
  if (s.options.gradient_accumulation_steps)
    each_weight([&](std::size_t i) { list.push_back({slot_path(name, s.paths[i], "gradient_accumulator"), nullptr, nullptr, &s.accumulators[i]}); });
  const SlotNames slots = std::visit(NameSlots{}, s.algorithm);
  const auto slot = [&](std::size_t i, std::size_t k) {
    list.push_back({slot_path(name, s.paths[i], slots.names[k]), nullptr, nullptr, &s.slots[i][k]});
  };
  each_weight([&](std::size_t i) { for (std::size_t k = 0; k < slots.grouped; ++k) slot(i, k); });
  for (std::size_t k = slots.grouped; k < slots.names.size(); ++k) each_weight([&](std::size_t i) { slot(i, k); });
  if (std::holds_alternative<Nadam>(s.algorithm)) list.push_back({"variable", nullptr, &s.u_product});
  return list;
}

void Optimizer::build(const Model& model) { impl_->prepare(model.weights()); }
bool Optimizer::built() const noexcept { return !impl_->slots.empty(); }

std::vector<OptimizerVariable> Optimizer::variables() const {
  double rates[2] = {0, 0};
  std::int64_t unused = 0;
  std::vector<OptimizerVariable> out;
  for (Entry& e : entries(*impl_, rates, unused)) {
    if (e.integer) out.push_back({std::move(e.path), *e.integer});
    else out.push_back({std::move(e.path), e.number ? scalar(*e.number) : *e.tensor});
  }
  return out;
}

void Optimizer::set_variables(std::span<const OptimizerVariable> variables) {
  double rates[2] = {0, 0};
  std::int64_t unused = 0;
  const std::vector<Entry> list = entries(*impl_, rates, unused);
  if (variables.size() != list.size())
    throw ArgumentError("variables", base::cat("The state of this ", class_name(), " has ", list.size(), " variables. Received: ", variables.size(), "."));
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Tensor* tensor = std::get_if<Tensor>(&variables[i].value);
    const bool fits = list[i].integer ? !tensor || tensor->elements() == 1
                                      : tensor && tensor->shape() == (list[i].tensor ? list[i].tensor->shape() : Shape{});
    if (!fits)
      throw ArgumentError("variables", base::cat("Variable ", i, " of the optimizer's state (", list[i].path, ") must be ",
                                                 list[i].integer ? "an integer" : base::cat("a tensor of shape ", list[i].tensor ? list[i].tensor->shape().str() : "()"),
                                                 ". Received: ", tensor ? tensor->shape().str() : "an integer", "."));
  }
  for (std::size_t i = 0; i < list.size(); ++i) {
    const Tensor* tensor = std::get_if<Tensor>(&variables[i].value);
    if (list[i].integer) *list[i].integer = tensor ? static_cast<std::int64_t>(base::read_element(*tensor, 0)) : std::get<std::int64_t>(variables[i].value);
    else if (list[i].number) *list[i].number = base::read_element(*tensor, 0);
    else convert(*tensor, *list[i].tensor);
  }
  if (!std::visit([](const auto& o) { return o.learning_rate.is_schedule(); }, impl_->algorithm)) set_learning_rate(rates[1]);
}

std::string Optimizer::Impl::name() const {
  return options.name.empty() ? nn::snake_case(nn::optimizer_class_name(algorithm)) : options.name;
}

}  // namespace upconv
