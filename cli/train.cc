// SPDX-License-Identifier: Apache-2.0
// `upconv train`: a model and data in, a trained model out, on one machine or, started by mpirun, on many.
#include <csignal>
#include <filesystem>
#include <iostream>
#include <memory>

#include "base/text.h"
#include "command.h"
#include "io/json.h"
#include "io/picture_math.h"
#include "io/png.h"
#include "loading.h"
#include "output.h"
#include "text.h"
#include "train_data.h"
#include "train_report.h"
#include "upconv/error.h"
#include "upconv/io.h"
#ifdef UPCONV_WITH_MPI
#include "upconv/mpi.h"
#endif

namespace upconv::cli {
namespace {

constexpr const char* kDescription = R"(Train a model. MODEL is a Keras file (its weights are where training starts) or the JSON of an architecture
(its weights are made anew). --out is a compiled .keras file: a model for Keras, and a checkpoint for --resume.

  upconv train model.keras --data train.npz --epochs 10 --out trained.keras
  upconv train model.keras --data x.npy --targets y.npy --loss mae --optimizer adamw --learning-rate 3e-4 --out trained.keras
  upconv train superres.keras --data photos/ --task superres --scale 2 --steps 500 --epochs 8 --out better.keras
  upconv train trained.keras --data train.npz --epochs 20 --resume --out trained.keras
  mpirun -n 4 upconv train model.keras --data train.npz --epochs 10 --out trained.keras

A .npz holds the inputs as "x", the targets as "y" and, if there are weights, "sample_weight". A folder of PNG pictures with
--task superres is cut into patches. At the end the loss curve lies beside OUT as OUT_loss.svg, for pictures a sheet of samples
(bicubic | model | original) as OUT_samples.png. Ctrl-C finishes the batch, writes OUT and exits with 130. The result does
not depend on threads, nor on whether 1, 2, 4 or 8 processes worked on it.)";

struct Options {
  std::string model, out, optimizer = "adam", learning_rate, loss = "mse", log, trace, validation, validation_targets;
  std::vector<std::string> metrics;
  Loading load;
  DataOptions data;
  std::int64_t epochs = 1, steps = 0, batch = 32;
  std::uint64_t seed = 0;
  bool resume = false, fast_reduce = false;
};

/// The command line's word for an optimiser, with its learning rate: a number or Keras's dictionary of a schedule.
Optimizer make_optimizer(const Options& o) {
  Config config = Config(Config::Dict{});
  if (!o.learning_rate.empty()) {
    const bool schedule = o.learning_rate.front() == '{';
    config.set("learning_rate", schedule ? io::parse_json(o.learning_rate, "--learning-rate", "", {}) : Config());
    if (!schedule) {
      std::size_t end = 0;
      double value = 0;
      try {
        value = std::stod(o.learning_rate, &end);
      } catch (const std::exception&) {
      }
      if (end != o.learning_rate.size())
        throw ArgumentError("learning-rate", base::cat("--learning-rate takes a number, or a Keras schedule as JSON. Received: ", base::escaped(o.learning_rate)));
      config.set("learning_rate", value);
    }
  }
  return Optimizer::from_config(Config::dict({{"class_name", o.optimizer}, {"config", std::move(config)}}));
}

Trainer make_trainer(const Options& o, std::shared_ptr<Communicator> communicator) {
  TrainerOptions options{.communicator = std::move(communicator), .fast_reduce = o.fast_reduce};
  for (const std::string& metric : o.metrics) options.metrics.push_back(Metric(metric));
  const LoadOptions load = o.load.options();
  if (o.resume) return load_trainer(o.model, load, std::move(options));
  const bool fresh = base::lower(o.model).ends_with(".json") && o.load.weights.empty();
  Model model = fresh ? load_architecture(o.model, load) : load_model(o.model, load);
  return Trainer(std::move(model), make_optimizer(o), {Loss(o.loss)}, std::move(options));
}

std::string beside(const std::string& out, const char* ending) { return out.substr(0, out.size() - std::string_view(".keras").size()) + ending; }

/// bicubic | model | original, one row a picture.
void write_samples(const Options& o, const Model& model) {
  std::vector<Tensor> rows;
  std::int64_t width = 0, height = 0;
  for (const Tensor& original : sample_pictures(o.data, model, 3)) {
    const std::int64_t h = original.shape()[0], w = original.shape()[1], c = original.shape()[2];
    const Tensor small = io::bicubic(original, h / o.data.scale, w / o.data.scale);
    Tensor x = Tensor::copy_of(small).reshaped({1, h / o.data.scale, w / o.data.scale, c});
    const Tensor y = io::to_8_bits(model(x)).reshaped({h, w, c});
    const Tensor cubic = io::bicubic(small, h, w);
    std::cout << "sample " << rows.size() + 1 << ": PSNR bicubic " << fixed(io::psnr(cubic, original, 4), 2) << " dB, model " << fixed(io::psnr(y, original, 4), 2) << " dB\n";
    const Tensor sheet[] = {cubic, y, original};
    rows.push_back(io::side_by_side(sheet, 8));
    width = std::max(width, rows.back().shape()[1]), height += h + 8;
  }
  if (rows.empty()) return;
  const std::int64_t c = rows.front().shape()[2];
  Tensor page({height - 8, width, c});
  std::ranges::fill(page.span<float>(), 1.0f);
  std::int64_t top = 0;
  for (const Tensor& row : rows) {
    for (std::int64_t y = 0; y < row.shape()[0]; ++y)
      std::copy_n(row.data<float>() + y * row.shape()[1] * c, row.shape()[1] * c, page.data<float>() + (top + y) * width * c);
    top += row.shape()[0] + 8;
  }
  write_file(beside(o.out, "_samples.png"), io::png_bytes(page));
  std::cout << beside(o.out, "_samples.png") << ": bicubic | model | original\n";
}

/// Set up on every rank, so that an error on one is an error on all.
struct Run {
  std::unique_ptr<Dataset> data, validation;
  std::optional<Trainer> trainer;
  FitOptions fit;
};

Run prepare(const Options& o, const std::shared_ptr<Communicator>& communicator) {
  if (!base::lower(o.out).ends_with(".keras")) throw ArgumentError("out", base::cat("--out is a .keras file. Received: ", base::escaped(o.out)));
  Run run;
  run.trainer.emplace(make_trainer(o, communicator));
  DataOptions data = o.data;
  data.seed = o.resume && run.trainer->position().batch_size > 0 ? run.trainer->position().seed : o.seed;
  if (o.steps > 0 && !data.task.empty()) data.samples = o.steps * o.batch;
  run.data = open_dataset(data, run.trainer->model());
  if (!o.validation.empty()) {
    data.path = o.validation, data.targets = o.validation_targets, data.samples = data.task.empty() ? 0 : 4 * o.batch;
    run.validation = open_dataset(data, run.trainer->model());
  }
  const TrainingPosition& at = run.trainer->position();
  run.fit = {.epochs = o.epochs, .batch_size = o.batch, .seed = o.seed, .validation_data = run.validation.get(), .stop_on_nan = true};
  if (o.resume && at.batch_size > 0) run.fit.seed = at.seed, run.fit.batch_size = at.batch_size;
  if (o.steps > 0 && data.task.empty()) run.fit.steps_per_epoch = o.steps;
  return run;
}

void train(const Options& o, const std::shared_ptr<Communicator>& communicator) {
  const HoldSignals until_saved;
  Run run;
  std::string error;
  try {
    run = prepare(o, communicator);
  } catch (const std::exception& e) {
    if (!communicator) throw;
    error = e.what();
  }
  if (communicator) communicator->check(error);
  const bool first = !communicator || communicator->rank() == 0;
  const auto report = std::make_shared<TrainReport>();
  run.fit.callbacks = {report};
  if (!o.log.empty()) run.fit.callbacks.push_back(callbacks::csv_logger(o.log, ",", o.resume));
  const History history = run.trainer->fit(*run.data, run.fit);
  if (first) {
    save_trainer(*run.trainer, o.out);
    std::cout << o.out << ": written\n";
    write_file(beside(o.out, "_loss.svg"), loss_svg(report->training(), report->validation(), "Training loss"));
    if (!history.interrupted) write_samples(o, run.trainer->model());
  }
  if (communicator) communicator->check({});              // until rank 0 has written: mpirun ends all when one goes
  if (!history.interrupted) return;
  std::cout.flush();
  if (first)
    std::cerr << "upconv: interrupted at epoch " << run.trainer->position().epoch + 1 << ", step " << run.trainer->position().step + 1 << "; " << o.out
              << " holds everything: go on with --resume\n";
  throw StateError("interrupted", StateError::Kind::interrupted);     // HoldSignals ends the process with the signal's code first
}

#ifdef UPCONV_WITH_MPI
void tell(const Options& o, const MpiCommunicator& world) {
  const CommunicationReport r = world.report();
  if (world.rank() == 0 && world.size() > 1 && r.sums > 0)
    std::cout << "communication: " << bytes_text(r.bytes) << " sent by each of " << world.size() << " ranks, "
              << fixed(100 * r.overlapped_seconds / std::max(r.seconds, 1e-12), 0) << " % of its time inside the backward pass\n";
  if (!o.trace.empty()) write_file(base::cat(o.trace, world.rank() ? base::cat(".", world.rank()) : ""), world.trace_json());
}

/// Errors of one rank alone end the whole job, so that nobody waits for it.
void train_on_ranks(const Options& o) {
  const auto world = MpiCommunicator::world(o.fast_reduce);
  try {
    train(o, world);
    tell(o, *world);
  } catch (const StateError& e) {
    if (e.kind() == StateError::Kind::distributed || e.kind() == StateError::Kind::interrupted || e.kind() == StateError::Kind::numeric) throw;
    std::cerr << base::cat("upconv: rank ", world->rank(), ": ", e.what(), "\n");
    world->abort(6);
  } catch (const std::exception& e) {
    std::cerr << base::cat("upconv: rank ", world->rank(), ": ", e.what(), "\n");
    world->abort(6);
  }
}
#endif

void run_train(const Options& o) {
#ifdef UPCONV_WITH_MPI
  if (MpiCommunicator::launched()) return train_on_ranks(o);
#endif
  train(o, nullptr);
}

}  // namespace

Command add_train(CLI::App& root) {
  CLI::App* app = root.add_subcommand("train", kDescription);
  const auto o = std::make_shared<Options>();
  app->add_option("model", o->model, "A .keras or .h5 model, or the .json of an architecture")->required();
  app->add_option("--data", o->data.path, "A .npz or .npy file, or a folder of PNG pictures")->required();
  app->add_option("--out", o->out, "The .keras file to write")->required();
  app->add_option("--targets", o->data.targets, "A .npy file of targets, where --data holds inputs alone");
  app->add_option("--validation", o->validation, "Data to evaluate after each epoch, in the form of --data");
  app->add_option("--validation-targets", o->validation_targets, "Its targets");
  o->load.add_to(*app, "Start from the weights of this file");
  app->add_option("--epochs", o->epochs, "The last epoch's number, also when a run is resumed")->check(CLI::NonNegativeNumber)->capture_default_str();
  app->add_option("--steps", o->steps, "Batches an epoch (0: as many as the data gives)")->check(CLI::NonNegativeNumber)->capture_default_str();
  app->add_option("--batch", o->batch, "Samples in a batch, of all processes together")->check(CLI::PositiveNumber)->capture_default_str();
  app->add_option("--seed", o->seed, "Of shuffling and patches")->capture_default_str();
  app->add_option("--optimizer", o->optimizer, "sgd, adam, adamw, rmsprop, ...")->capture_default_str();
  app->add_option("--learning-rate", o->learning_rate, "A number, or a Keras schedule as JSON (default: the optimizer's)");
  app->add_option("--loss", o->loss, "mse, mae, huber, binary_crossentropy, ...")->capture_default_str();
  app->add_option("--metric", o->metrics, "Measures to show: mae, psnr, ssim, accuracy, ...");
  app->add_option("--task", o->data.task, "superres: learn to enlarge the pictures of a folder");
  app->add_option("--scale", o->data.scale, "superres: how many times larger")->check(CLI::Range(2, 16))->capture_default_str();
  app->add_option("--patch", o->data.patch, "superres: side of an input patch in pixels")->check(CLI::Range(4, 1024))->capture_default_str();
  app->add_option("--log", o->log, "Write the epochs' numbers to this .csv file");
  app->add_flag("--resume", o->resume, "MODEL is a compiled model: go on with its optimizer, state and place in the data");
  app->add_flag("--fast-reduce", o->fast_reduce, "mpirun: MPI_Allreduce, any number of processes; the bits depend on it");
  app->add_option("--trace", o->trace, "mpirun: write when sums and backward passes ran (Chrome's trace format)");
  return {app, [o] { run_train(*o); }};
}

}  // namespace upconv::cli
