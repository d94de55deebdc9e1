// SPDX-License-Identifier: Apache-2.0
// Metrics that are running means: the losses, the accuracies, the root of the mean squared error; and their names.
#include "upconv/metric.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/element.h"
#include "base/text.h"
#include "nn/identifier.h"
#include "nn/metric_impl.h"
#include "nn/names.h"
#include "upconv/error.h"

namespace upconv {

namespace nn {

void add_mean(std::vector<double>& state, const Tensor& values, const Tensor* sample_weight) {
  state.resize(2);
  const Shape& shape = values.shape();
  const std::int64_t n = shape.rank() ? shape[0] : 1;
  if (n == 0) return;
  const std::int64_t inner = values.elements() / n;
  if (!sample_weight) {
    for (std::int64_t i = 0; i < values.elements(); ++i) state[0] += base::read_element(values, i) / static_cast<double>(inner);
    state[1] += static_cast<double>(n);
    return;
  }
  // Weights belong to the leading axes; the values below them are averaged first.
  const std::int64_t weights = sample_weight->elements();
  if (weights == 0 || values.elements() % weights != 0 || (weights != 1 && sample_weight->shape()[0] != n))
    throw ArgumentError("sample_weight", base::cat("The sample weights of a metric must belong to the leading axes of its values, of shape ", shape.str(),
                                                   ". Received: ", sample_weight->shape().str(), "."));
  const std::int64_t below = values.elements() / weights, of_sample = std::max<std::int64_t>(weights / n, 1);
  for (std::int64_t i = 0; i < weights; ++i) {
    double mean = 0;
    for (std::int64_t k = 0; k < below; ++k) mean += base::read_element(values, i * below + k) / static_cast<double>(below);
    const double w = base::read_element(*sample_weight, i), share = weights == 1 ? static_cast<double>(n) : 1 / static_cast<double>(of_sample);
    state[0] += mean * w * share;
    state[1] += w * share;
  }
}

}  // namespace nn

namespace {

/// Keras computes divide_no_nan(total, count).
double mean_of(const std::vector<double>& state) { return state.size() < 2 || state[1] == 0 ? 0 : state[0] / state[1]; }

std::size_t argmax(ConstTensorView t, std::int64_t first, std::int64_t count) {
  std::int64_t best = 0;
  for (std::int64_t k = 1; k < count; ++k)
    if (base::read_element(t, first + k) > base::read_element(t, first + best)) best = k;
  return static_cast<std::size_t>(best);
}

Shape without_last(const Shape& shape) { return Shape(std::span(shape.begin(), shape.rank() - 1)); }

[[noreturn]] void mismatch(std::string_view metric, ConstTensorView y_true, ConstTensorView y_pred) {
  throw ArgumentError("y_true", base::cat("The shapes of y_true and y_pred do not fit the metric ", metric, ". Received: y_true.shape=", y_true.shape.str(),
                                          ", y_pred.shape=", y_pred.shape.str(), "."));
}

Tensor binary_matches(ConstTensorView y_true, ConstTensorView y_pred, double threshold) {
  if (y_true.elements() != y_pred.elements()) mismatch("BinaryAccuracy", y_true, y_pred);
  Tensor out = Tensor::uninitialized(y_pred.shape);
  for (std::int64_t i = 0; i < out.elements(); ++i)
    out.data<float>()[i] = base::read_element(y_true, i) == (base::read_element(y_pred, i) > threshold ? 1.0 : 0.0) ? 1.0f : 0.0f;
  return out;
}

/// y_true one-hot (like y_pred) or, sparse, one class number a pixel.
Tensor class_matches(ConstTensorView y_true, ConstTensorView y_pred, bool sparse) {
  const char* name = sparse ? "SparseCategoricalAccuracy" : "CategoricalAccuracy";
  if (y_pred.shape.rank() < 2) mismatch(name, y_true, y_pred);
  const std::int64_t classes = y_pred.shape.back();
  Tensor out(without_last(y_pred.shape));
  if (sparse ? y_true.elements() != out.elements() : y_true.shape != y_pred.shape) mismatch(name, y_true, y_pred);
  for (std::int64_t i = 0; i < out.elements(); ++i) {
    const double right = sparse ? base::read_element(y_true, i) : static_cast<double>(argmax(y_true, i * classes, classes));
    out.data<float>()[i] = static_cast<double>(argmax(y_pred, i * classes, classes)) == right ? 1.0f : 0.0f;
  }
  return out;
}

/// Keras's metric of a function that has no metric class of its own.
constexpr const char* kWrapper = "MeanMetricWrapper";

/// The mean of a loss's values.
struct LossMetric final : Metric::Impl {
  Loss loss;
  std::string keras_class;
  LossMetric(Loss l, std::string c) : loss(std::move(l)), keras_class(std::move(c)) {}
  std::unique_ptr<Impl> clone() const override { return std::make_unique<LossMetric>(*this); }
  std::string_view class_name() const noexcept override { return keras_class; }
  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) override {
    nn::add_mean(state, loss.values(y_true, y_pred), sample_weight);
  }
  double result() const override { return mean_of(state); }
  Config::Dict own_config() const override {
    Config config = loss.get_config();
    config.erase("name"), config.erase("reduction");
    if (keras_class != kWrapper) return config.as_dict();
    Config::Dict wrapped = {{"fn", Config::dict({{"module", "builtins"}, {"class_name", "function"}, {"config", nn::snake_case(loss.class_name())},
                                                 {"registered_name", "function"}})}};
    wrapped.insert(wrapped.end(), config.as_dict().begin(), config.as_dict().end());
    return wrapped;
  }
  bool separable() const noexcept override { return loss.separable(); }
};

struct RootMeanSquaredError final : Metric::Impl {
  std::unique_ptr<Impl> clone() const override { return std::make_unique<RootMeanSquaredError>(*this); }
  std::string_view class_name() const noexcept override { return "RootMeanSquaredError"; }
  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) override {
    if (y_true.elements() != y_pred.elements()) mismatch(class_name(), y_true, y_pred);
    Tensor squares = Tensor::uninitialized(y_pred.shape, DType::float64);
    for (std::int64_t i = 0; i < squares.elements(); ++i)
      squares.data<double>()[i] = std::pow(base::read_element(y_pred, i) - base::read_element(y_true, i), 2);
    nn::add_mean(state, squares, sample_weight);
  }
  double result() const override { return std::sqrt(mean_of(state)); }
};

/// The three accuracies; `automatic` takes the one that fits the first batch, as Keras's compile() does.
struct Accuracy final : Metric::Impl {
  enum class Kind { automatic, binary, categorical, sparse_categorical } kind;
  double threshold = 0.5;
  explicit Accuracy(Kind k) : kind(k) {}
  std::unique_ptr<Impl> clone() const override { return std::make_unique<Accuracy>(*this); }
  std::string_view class_name() const noexcept override {
    switch (kind) {
      case Kind::categorical: return "CategoricalAccuracy";
      case Kind::sparse_categorical: return "SparseCategoricalAccuracy";
      default: return "BinaryAccuracy";
    }
  }
  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) override {
    if (kind == Kind::automatic) {
      const bool same_rank = y_true.shape.rank() == y_pred.shape.rank();
      const bool binary = y_pred.shape.rank() == 0 || (y_pred.shape.back() == 1 && (y_true.shape.back() == 1 || !same_rank));
      const bool sparse = !same_rank || (y_true.shape.back() == 1 && y_pred.shape.back() > 1);
      kind = binary ? Kind::binary : sparse ? Kind::sparse_categorical : Kind::categorical;
    }
    nn::add_mean(state, kind == Kind::binary ? binary_matches(y_true, y_pred, threshold) : class_matches(y_true, y_pred, kind == Kind::sparse_categorical),
                 sample_weight);
  }
  double result() const override { return mean_of(state); }
  Config::Dict own_config() const override {
    return kind == Kind::binary || kind == Kind::automatic ? Config::Dict{{"threshold", threshold}} : Config::Dict{};
  }
};

/// Metric class, its default name, the loss behind it. Those without a loss are made by name below.
struct LossClass { const char *class_name, *name, *loss; };
const std::vector<LossClass>& loss_classes() {
  static const std::vector<LossClass> classes = {
      {"MeanSquaredError", "mean_squared_error", "mean_squared_error"}, {"MeanAbsoluteError", "mean_absolute_error", "mean_absolute_error"},
      {"MeanAbsolutePercentageError", "mean_absolute_percentage_error", "mean_absolute_percentage_error"},
      {"MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", "mean_squared_logarithmic_error"},
      {"LogCoshError", "logcosh", "log_cosh"}, {"BinaryCrossentropy", "binary_crossentropy", "binary_crossentropy"},
      {"CategoricalCrossentropy", "categorical_crossentropy", "categorical_crossentropy"},
      {"SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", "sparse_categorical_crossentropy"},
      {"KLDivergence", "kl_divergence", "kl_divergence"}, {"Poisson", "poisson", "poisson"}, {"Hinge", "hinge", "hinge"},
      {"SquaredHinge", "squared_hinge", "squared_hinge"}, {"CategoricalHinge", "categorical_hinge", "categorical_hinge"},
      {"CosineSimilarity", "cosine_similarity", "cosine_similarity"}};
  return classes;
}

/// Keras's metric of cosine similarity is the similarity, its loss the negative.
struct CosineMetric final : Metric::Impl {
  int axis = -1;
  std::unique_ptr<Impl> clone() const override { return std::make_unique<CosineMetric>(*this); }
  std::string_view class_name() const noexcept override { return "CosineSimilarity"; }
  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) override {
    Tensor values = Loss(losses::CosineSimilarity{axis}).values(y_true, y_pred);
    for (std::int64_t i = 0; i < values.elements(); ++i) base::write_element(values, i, -base::read_element(values, i));
    nn::add_mean(state, values, sample_weight);
  }
  double result() const override { return mean_of(state); }
};

std::unique_ptr<Metric::Impl> make_from_loss(const char* class_name, const std::string& loss, Config config) {
  for (const char* key : {"name", "dtype", "fn"}) config.erase(key);
  auto metric = std::make_unique<LossMetric>(Loss::from_config(Config::dict({{"class_name", loss}, {"config", std::move(config)}})), class_name);
  metric->name = metric->loss.name();
  return metric;
}

/// The losses without a metric class, by the names of their functions.
const std::vector<std::string>& wrapped_losses() {
  static const std::vector<std::string> names = {"huber", "binary_focal_crossentropy", "categorical_focal_crossentropy",
                                                 "categorical_generalized_cross_entropy", "dice", "tversky"};
  return names;
}

/// {"fn": a name, or Keras's dictionary of a function, ...}.
std::unique_ptr<Metric::Impl> make_wrapper(const Config& config) {
  const Config& function = config.at("fn");
  return make_from_loss(kWrapper, function.is_string() ? function.as_string() : function.at("config").as_string(), config);
}

std::unique_ptr<Metric::Impl> make_class(const std::string& class_name, const Config& config) {
  if (class_name == "CosineSimilarity") {
    auto metric = std::make_unique<CosineMetric>();
    metric->axis = static_cast<int>(nn::number_or(config, "axis", -1));
    metric->name = "cosine_similarity";
    return metric;
  }
  for (const LossClass& c : loss_classes())
    if (class_name == c.class_name) {
      auto metric = make_from_loss(c.class_name, c.loss, config);
      metric->name = c.name;
      return metric;
    }
  const std::pair<const char*, Accuracy::Kind> accuracies[] = {{"BinaryAccuracy", Accuracy::Kind::binary}, {"CategoricalAccuracy", Accuracy::Kind::categorical},
                                                               {"SparseCategoricalAccuracy", Accuracy::Kind::sparse_categorical}};
  for (const auto& [name, kind] : accuracies)
    if (class_name == name) {
      auto metric = std::make_unique<Accuracy>(kind);
      metric->threshold = nn::number_or(config, "threshold", 0.5);
      metric->name = nn::snake_case(class_name);
      return metric;
    }
  if (class_name == "RootMeanSquaredError") {
    auto metric = std::make_unique<RootMeanSquaredError>();
    metric->name = "root_mean_squared_error";
    return metric;
  }
  if (auto metric = nn::make_iou(class_name, config)) return metric;
  return nn::make_image_metric(class_name, config);
}

std::vector<std::string> class_names() {
  std::vector<std::string> names;
  for (const LossClass& c : loss_classes()) names.push_back(c.class_name);
  names.insert(names.end(), {"BinaryAccuracy", "CategoricalAccuracy", "SparseCategoricalAccuracy", "RootMeanSquaredError", "IoU", "BinaryIoU", "MeanIoU",
                             "OneHotIoU", "OneHotMeanIoU", "PSNR", "SSIM"});
  return names;
}

/// The class behind a name: itself, its snake case, or a loss's alias.
std::unique_ptr<Metric::Impl> make(const std::string& name, const Config& config) {
  if (const std::string lower = base::lower(name); lower == "accuracy" || lower == "acc") {
    auto metric = std::make_unique<Accuracy>(Accuracy::Kind::automatic);
    metric->name = name;
    return metric;
  }
  static const std::pair<const char*, const char*> aliases[] = {{"mse", "MeanSquaredError"}, {"mae", "MeanAbsoluteError"}, {"mape", "MeanAbsolutePercentageError"},
                                                                {"msle", "MeanSquaredLogarithmicError"}, {"bce", "BinaryCrossentropy"}, {"psnr", "PSNR"},
                                                                {"ssim", "SSIM"}, {"log_cosh", "LogCoshError"}, {"kl_divergence", "KLDivergence"}};
  for (const auto& [alias, class_name] : aliases)
    if (base::lower(name) == alias) return make_class(class_name, config);
  for (const std::string& class_name : class_names())
    if (name == class_name || name == nn::snake_case(class_name)) return make_class(class_name, config);
  if (name == kWrapper) return make_wrapper(config);
  for (const std::string& loss : wrapped_losses())
    if (nn::snake_case(name) == loss) return make_from_loss(kWrapper, loss, config);
  throw ArgumentError("metric", base::cat("Could not interpret metric identifier: ", base::escaped(name), ".", base::did_you_mean(name, class_names()),
                                          " The metrics are: accuracy, ", base::join(class_names(), ", "), ", and their names in snake case; ",
                                          base::join(wrapped_losses(), ", "), "."));
}

}  // namespace

Metric::Metric(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Metric::Metric(const std::string& name) : impl_(make(name, Config(Config::Dict{}))) { impl_->name = name; }
Metric::Metric(std::string_view name) : Metric(std::string(name)) {}
Metric::Metric(const char* name) : Metric(std::string(name)) {}
Metric::Metric(const Metric& other) : impl_(other.impl_->clone()) {}
Metric::Metric(Metric&&) noexcept = default;
Metric& Metric::operator=(Metric other) noexcept {
  impl_ = std::move(other.impl_);
  return *this;
}
Metric::~Metric() = default;

Metric Metric::from_config(const Config& identifier) {
  if (identifier.is_string()) return Metric(identifier.as_string());
  const nn::Identifier id = nn::parse_identifier(identifier, "metric");
  Metric metric(make(id.class_name, id.config));
  if (const Config* name = id.config.find("name"); name && name->is_string()) metric.impl_->name = name->as_string();
  return metric;
}

const std::string& Metric::name() const noexcept { return impl_->name; }
std::string_view Metric::class_name() const noexcept { return impl_->class_name(); }

Config Metric::get_config() const {
  Config config = Config::dict({{"name", impl_->name}, {"dtype", "float32"}});
  for (auto& [key, value] : impl_->own_config()) config.set(key, std::move(value));
  return config;
}

Config Metric::serialize() const { return nn::keras_object("metrics", class_name(), get_config()); }

void Metric::update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) { impl_->update(y_true, y_pred, sample_weight); }
double Metric::result() const { return impl_->result(); }
void Metric::reset() { std::fill(impl_->state.begin(), impl_->state.end(), 0.0); }
std::span<double> Metric::state() noexcept { return impl_->state; }
bool Metric::separable() const noexcept { return impl_->separable(); }

}  // namespace upconv
