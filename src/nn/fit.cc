// SPDX-License-Identifier: Apache-2.0
// The epochs around a training step. The order of an epoch is a function of (seed, epoch) alone, so a resumed run sees the
// batches that an uninterrupted one would have seen.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/element.h"
#include "base/text.h"
#include "nn/random.h"
#include "nn/trainer_impl.h"
#include "upconv/error.h"

namespace upconv {

namespace nn {

std::vector<std::int64_t> range(std::int64_t from, std::int64_t to) {
  std::vector<std::int64_t> numbers;
  for (std::int64_t i = from; i < to; ++i) numbers.push_back(i);
  return numbers;
}

Tensor samples_of(const Tensor& t, std::int64_t from, std::int64_t to) {
  Shape shape = t.shape();
  const std::size_t bytes = shape[0] ? t.byte_size() / static_cast<std::size_t>(shape[0]) : 0;
  shape[0] = to - from;
  return Tensor::copy_of({static_cast<const std::byte*>(t.bytes()) + static_cast<std::size_t>(from) * bytes, shape, t.dtype()});
}

bool all_finite(const Tensor& t) {
  for (std::int64_t i = 0; i < t.elements(); ++i)
    if (!std::isfinite(base::read_element(t, i))) return false;
  return true;
}

std::vector<Tensor> concatenated(const std::vector<std::vector<Tensor>>& parts) {
  std::vector<Tensor> whole;
  for (std::size_t k = 0; k < parts.front().size(); ++k) {
    Shape shape = parts.front()[k].shape();
    shape[0] = 0;
    for (const auto& part : parts) shape[0] += part[k].shape()[0];
    Tensor out = Tensor::uninitialized(shape, parts.front()[k].dtype());
    auto* to = static_cast<std::byte*>(out.bytes());
    for (const auto& part : parts) {
      if (part[k].byte_size()) std::memcpy(to, part[k].bytes(), part[k].byte_size());
      to += part[k].byte_size();
    }
    whole.push_back(std::move(out));
  }
  return whole;
}

}  // namespace nn

namespace {

/// The samples of an epoch in their order: Fisher and Yates, drawn by number.
std::vector<std::int64_t> epoch_order(std::int64_t size, bool shuffle, std::uint64_t seed, std::int64_t epoch) {
  std::vector<std::int64_t> order = nn::range(0, size);
  if (!shuffle) return order;
  const nn::Random random(nn::Random(seed).bits(static_cast<std::uint64_t>(epoch)));
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i, i)]);
  return order;
}

void check(const FitOptions& o) {
  const auto at_least = [](const char* name, std::int64_t value, std::int64_t least) {
    if (value < least) throw ArgumentError(name, base::cat("`", name, "` must be at least ", least, ". Received: ", value, "."));
  };
  at_least("epochs", o.epochs, 0);
  at_least("initial_epoch", o.initial_epoch, 0);
  at_least("batch_size", o.batch_size, 1);
  at_least("steps_per_epoch", o.steps_per_epoch.value_or(1), 1);
  at_least("validation_freq", o.validation_freq, 1);
}

/// One run of fit(): where it is, and the batches it sees. Epochs of steps_per_epoch steps go through the data in passes.
struct Run {
  Trainer::Impl& trainer;
  const Dataset& data;
  const FitOptions& options;
  std::int64_t pass_steps, epoch_steps;
  std::int64_t pass = -1;
  std::vector<std::int64_t> order = {};

  Trainer::Impl::Step step(std::int64_t epoch, std::int64_t step) {
    const std::int64_t at = epoch * epoch_steps + step;
    if (at / pass_steps != pass) {
      pass = at / pass_steps;
      order = epoch_order(data.size(), options.shuffle, options.seed, pass);
    }
    const std::int64_t first = at % pass_steps * options.batch_size, samples = std::min(options.batch_size, data.size() - first);
    const auto load = [&](std::int64_t from, std::int64_t to) {
      return data.batch(std::span(order).subspan(static_cast<std::size_t>(first + from), static_cast<std::size_t>(to - from)), pass);
    };
    Trainer::Impl::Step s = trainer.run_step(load, samples, true);
    if (options.stop_on_nan && !std::isfinite(s.loss)) stop(s, epoch, step);
    trainer.learn(s);
    return s;
  }

  /// The loss is the same on all ranks; the layer, only those know whose samples show it. All end with the words of the first of them.
  [[noreturn]] void stop(const Trainer::Impl::Step& s, std::int64_t epoch, std::int64_t step) const {
    const auto message = [&](std::string_view place) {
      return base::cat("The loss is ", base::python_repr(s.loss), " at epoch ", epoch + 1, ", step ", step + 1, " of ", epoch_steps, ": ", place,
                       ". The weights are those before this step.");
    };
    const std::string place = trainer.first_layer_not_finite(s);
    if (Communicator* communicator = trainer.options.communicator.get()) communicator->check(place.empty() ? "" : message(place));
    throw StateError(message(place.empty() ? "all layers' outputs are finite: the loss itself is not" : place), StateError::Kind::numeric);
  }
};

}  // namespace

History Trainer::fit(const Dataset& data, const FitOptions& options) {
  check(options);
  impl_->check_data(data, options.batch_size);
  if (options.validation_data) impl_->check_data(*options.validation_data, 1);
  const std::int64_t pass_steps = (data.size() + options.batch_size - 1) / options.batch_size;
  Run run{*impl_, data, options, pass_steps, options.steps_per_epoch.value_or(pass_steps)};
  TrainingPosition& position = impl_->position;
  if (!impl_->resumes) position = {options.initial_epoch, 0, options.seed, options.batch_size};
  else if (position.seed != options.seed || position.batch_size != options.batch_size)
    throw ArgumentError("seed", base::cat("A resumed run goes on with its own seed ", position.seed, " and batch size ", position.batch_size,
                                          ". Received: seed ", options.seed, ", batch size ", options.batch_size, "."));
  impl_->resumes = false;
  TrainingContext context{.trainer = *this, .epochs = options.epochs, .steps = run.epoch_steps, .batch_size = options.batch_size, .rank = impl_->rank()};
  History history;
  std::int64_t steps = 0;
  impl_->share_weights();
  for (const auto& callback : options.callbacks) callback->on_train_begin(context);
  while (position.epoch < options.epochs && !context.stop_training && !context.interrupt) {
    context.epoch = position.epoch;
    for (const auto& callback : options.callbacks) callback->on_epoch_begin(context);
    Impl::Totals totals;
    while (position.step < run.epoch_steps && !context.interrupt && !context.stop_training) {
      context.step = position.step;
      totals.add(run.step(position.epoch, position.step));
      ++position.step;
      if (++steps % impl_->options.compare_every == 0) impl_->compare_ranks();
      const Logs logs = impl_->logs(totals, "");
      for (const auto& callback : options.callbacks) callback->on_batch_end(context, logs);
      impl_->agree(context.interrupt);
    }
    if (context.interrupt && position.step < run.epoch_steps) break;
    Logs logs = impl_->logs(totals, "");
    if (options.validation_data && (context.epoch + 1) % options.validation_freq == 0) {
      const Logs validation = impl_->run_evaluation(*options.validation_data, options.validation_batch_size.value_or(options.batch_size), "val_");
      logs.insert(logs.end(), validation.begin(), validation.end());
    }
    if (position.step == run.epoch_steps) ++position.epoch, position.step = 0;
    for (const auto& callback : options.callbacks) callback->on_epoch_end(context, logs);
    history.epoch.push_back(context.epoch);
    history.logs.push_back(std::move(logs));
  }
  history.interrupted = context.interrupt;
  if (!context.interrupt) impl_->optimizer.finalize(impl_->model);
  for (const auto& callback : options.callbacks) callback->on_train_end(context);
  return history;
}

}  // namespace upconv
