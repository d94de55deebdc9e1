// SPDX-License-Identifier: Apache-2.0
// The callbacks that write files: Keras's ModelCheckpoint and CSVLogger.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "base/text.h"
#include "io/atomic_file.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv::callbacks {

namespace {

/// One field "{name:spec}" of a path template; of Python's specs the ones paths use: [0][width]d and [0][width][.precision](f|e|g).
std::string formatted(const std::string& field, double value, bool integer) {
  const std::size_t colon = field.find(':');
  const std::string spec = colon == std::string::npos ? "" : field.substr(colon + 1);
  if (spec.empty()) return integer ? std::to_string(static_cast<std::int64_t>(value)) : base::python_repr(value);
  const char kind = spec.back();
  const bool known = (integer && kind == 'd') || (!integer && (kind == 'f' || kind == 'e' || kind == 'g'));
  if (!known || spec.size() > 8 || spec.find_first_not_of("0123456789.") != spec.size() - 1)
    throw ArgumentError("path", base::cat("The field {", base::escaped(field), "} of the path is not understood; written are {epoch:02d} and {val_loss:.4f}."));
  char text[64];
  const std::string format = "%" + spec.substr(0, spec.size() - 1) + (integer ? "lld" : std::string(1, kind));
  if (integer) std::snprintf(text, sizeof text, format.c_str(), static_cast<long long>(value));
  else std::snprintf(text, sizeof text, format.c_str(), value);
  return text;
}

/// Keras's str.format of {epoch} (counted from 1), {batch} and the logs.
std::string path_of(const std::string& pattern, const TrainingContext& context, const Logs& logs) {
  std::string path;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '{') {
      path += pattern[i];
      continue;
    }
    const std::size_t end = pattern.find('}', i);
    if (end == std::string::npos) throw ArgumentError("path", base::cat("The path has a '{' without its '}': ", base::escaped(pattern)));
    const std::string field = pattern.substr(i + 1, end - i - 1), name = field.substr(0, field.find(':'));
    if (name == "epoch") path += formatted(field, static_cast<double>(context.epoch + 1), true);
    else if (name == "batch") path += formatted(field, static_cast<double>(context.step + 1), true);
    else if (const double* value = find_log(logs, name)) path += formatted(field, *value, false);
    else throw ArgumentError("path", base::cat("The path names '", base::escaped(name), "', which is neither epoch nor batch nor one of the logs."));
    i = end;
  }
  return path;
}

class ModelCheckpoint final : public Callback {
 public:
  ModelCheckpoint(std::string path, ModelCheckpointOptions o) : path_(std::move(path)), o_(std::move(o)) {
    larger_ = o_.mode == Mode::max || (o_.mode == Mode::automatic && (o_.monitor.find("acc") != std::string::npos || o_.monitor.find("psnr") != std::string::npos ||
                                                                      o_.monitor.find("ssim") != std::string::npos || o_.monitor.find("iou") != std::string::npos));
    best_ = larger_ ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::infinity();
  }
  void on_batch_end(TrainingContext& context, const Logs& logs) override {
    if (o_.save_freq_steps > 0 && ++steps_ % o_.save_freq_steps == 0) save(context, logs);
  }
  void on_epoch_end(TrainingContext& context, Logs& logs) override {
    if (o_.save_freq_steps == 0) save(context, logs);
  }

 private:
  void save(TrainingContext& context, const Logs& logs) {
    if (o_.save_best_only) {
      const double* now = find_log(logs, o_.monitor);
      if (!now) throw ArgumentError("monitor", base::cat("The checkpoint watches '", base::escaped(o_.monitor), "', which is not among the logs."));
      if (!(larger_ ? *now > best_ : *now < best_)) return;
      best_ = *now;
    }
    if (context.rank != 0) return;
    const std::string path = path_of(path_, context, logs);
    if (o_.save_weights_only) save_weights(context.trainer.model(), path);
    else save_trainer(context.trainer, path);
  }

  std::string path_;
  ModelCheckpointOptions o_;
  bool larger_ = false;
  double best_ = 0;
  std::int64_t steps_ = 0;
};

class CsvLogger final : public Callback {
 public:
  CsvLogger(std::string path, std::string separator, bool append) : path_(std::move(path)), separator_(std::move(separator)), append_(append) {}

  void on_epoch_end(TrainingContext& context, Logs& logs) override {
    if (context.rank != 0) return;
    if (keys_.empty()) start(logs);
    std::string line = std::to_string(context.epoch);
    for (const std::string& key : keys_) {
      const double* value = find_log(logs, key);
      line += separator_ + (value ? base::python_repr(*value) : "NA");
    }
    put(line + "\n", "ab");
  }

 private:
  void start(const Logs& logs) {
    for (const auto& [name, value] : logs) keys_.push_back(name);
    std::sort(keys_.begin(), keys_.end());
    if (append_) {
      if (std::FILE* file = std::fopen(path_.c_str(), "rb")) {
        const bool empty = std::fgetc(file) == EOF;
        std::fclose(file);
        if (!empty) return;
      }
    }
    put("epoch" + separator_ + base::join(keys_, separator_) + "\n", "wb");
  }
  void put(const std::string& text, const char* mode) const {
    std::FILE* file = std::fopen(path_.c_str(), mode);
    const bool written = file && std::fwrite(text.data(), 1, text.size(), file) == text.size();
    if (!file || std::fclose(file) != 0 || !written) throw FileError(path_, "", "the log cannot be written", FileError::Kind::access);
  }

  std::string path_, separator_;
  bool append_;
  std::vector<std::string> keys_;
};

}  // namespace

std::shared_ptr<Callback> model_checkpoint(std::string path, ModelCheckpointOptions options) {
  return std::make_shared<ModelCheckpoint>(std::move(path), std::move(options));
}
std::shared_ptr<Callback> csv_logger(std::string path, std::string separator, bool append) {
  return std::make_shared<CsvLogger>(std::move(path), std::move(separator), append);
}

}  // namespace upconv::callbacks
