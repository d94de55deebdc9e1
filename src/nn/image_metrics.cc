// SPDX-License-Identifier: Apache-2.0
// Metrics of pictures and masks: intersection over union (Keras's), peak signal-to-noise ratio and structural similarity
// (tf.image's definitions: Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE TIP 13(4), 2004, with an 11 x 11
// Gaussian window of deviation 1.5 over the valid region).
#include <algorithm>
#include <cmath>

#include "base/element.h"
#include "base/text.h"
#include "nn/identifier.h"
#include "nn/metric_impl.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv::nn {

namespace {

/// The confusion matrix: rows are true classes, columns predicted ones.
struct IoU final : Metric::Impl {
  std::string keras_class;
  std::int64_t classes = 2;
  std::vector<std::int64_t> targets = {};
  std::optional<std::int64_t> ignore_class = {};
  bool sparse_true = true, sparse_pred = true;
  double threshold = 0.5;                    // BinaryIoU
  std::int64_t axis = -1;

  std::unique_ptr<Impl> clone() const override { return std::make_unique<IoU>(*this); }
  std::string_view class_name() const noexcept override { return keras_class; }

  std::int64_t class_at(ConstTensorView t, bool sparse, std::int64_t i) const {
    if (sparse) return static_cast<std::int64_t>(base::read_element(t, i));
    std::int64_t best = 0;
    for (std::int64_t k = 1; k < t.shape.back(); ++k)
      if (base::read_element(t, i * t.shape.back() + k) > base::read_element(t, i * t.shape.back() + best)) best = k;
    return best;
  }
  static std::int64_t count(ConstTensorView t, bool sparse) { return sparse || t.elements() == 0 ? t.elements() : t.elements() / t.shape.back(); }

  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) override {
    state.resize(static_cast<std::size_t>(classes * classes));
    const std::int64_t n = count(y_true, sparse_true);
    if (count(y_pred, sparse_pred) != n || (sample_weight && (sample_weight->elements() == 0 ? n > 0 : n % sample_weight->elements() != 0)))
      throw ArgumentError("y_true", base::cat("The metric ", keras_class, " needs as many true as predicted classes. Received: y_true.shape=", y_true.shape.str(),
                                              ", y_pred.shape=", y_pred.shape.str(), "."));
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t truth = class_at(y_true, sparse_true, i);
      const std::int64_t predicted = keras_class == "BinaryIoU" ? base::read_element(y_pred, i) >= threshold : class_at(y_pred, sparse_pred, i);
      if (truth < 0 || truth >= classes || predicted < 0 || predicted >= classes || truth == ignore_class) continue;
      state[static_cast<std::size_t>(truth * classes + predicted)] +=
          sample_weight ? base::read_element(*sample_weight, i / (n / sample_weight->elements())) : 1;
    }
  }
  double result() const override {
    double sum = 0, present = 0;
    for (const std::int64_t c : targets) {
      if (state.empty()) return 0;
      double row = 0, column = 0;
      for (std::int64_t k = 0; k < classes; ++k)
        row += state[static_cast<std::size_t>(c * classes + k)], column += state[static_cast<std::size_t>(k * classes + c)];
      const double hit = state[static_cast<std::size_t>(c * classes + c)], all = row + column - hit;
      if (all > 1e-9) sum += hit / (all + default_epsilon()), present += 1;
    }
    return sum / (present + default_epsilon());
  }
  Config::Dict own_config() const override {
    Config::List ids(targets.begin(), targets.end());
    if (keras_class == "BinaryIoU") return {{"target_class_ids", std::move(ids)}, {"threshold", threshold}};
    Config::Dict d = {{"num_classes", classes}};
    if (keras_class == "IoU" || keras_class == "OneHotIoU") d.emplace_back("target_class_ids", std::move(ids));
    d.emplace_back("ignore_class", ignore_class ? Config(*ignore_class) : Config());
    if (keras_class != "OneHotIoU" && keras_class != "OneHotMeanIoU") d.emplace_back("sparse_y_true", sparse_true);
    d.emplace_back("sparse_y_pred", sparse_pred), d.emplace_back("axis", axis);
    return d;
  }
};

/// A picture metric: one number a picture of (n, h, w, c), averaged.
struct ImageMetric : Metric::Impl {
  double max_val = 1;
  virtual double of_picture(ConstTensorView a, ConstTensorView b, std::int64_t first) const = 0;
  void update(ConstTensorView y_true, ConstTensorView y_pred, const Tensor* sample_weight) override {
    if (y_true.shape != y_pred.shape || y_true.shape.rank() != 4)
      throw ArgumentError("y_true", base::cat(class_name(), " compares pictures (n, h, w, channels) of one shape. Received: y_true.shape=", y_true.shape.str(),
                                              ", y_pred.shape=", y_pred.shape.str(), "."));
    Tensor values({y_true.shape[0]}, DType::float64);
    const std::int64_t picture = y_true.shape[1] * y_true.shape[2] * y_true.shape[3];
    for (std::int64_t i = 0; i < values.elements(); ++i) values.data<double>()[i] = of_picture(y_true, y_pred, i * picture);
    add_mean(state, values, sample_weight);
  }
  double result() const override { return state.size() < 2 || state[1] == 0 ? 0 : state[0] / state[1]; }
  Config::Dict own_config() const override { return {{"max_val", max_val}}; }
};

struct Psnr final : ImageMetric {
  std::unique_ptr<Impl> clone() const override { return std::make_unique<Psnr>(*this); }
  std::string_view class_name() const noexcept override { return "PSNR"; }
  double of_picture(ConstTensorView a, ConstTensorView b, std::int64_t first) const override {
    const std::int64_t count = a.shape[1] * a.shape[2] * a.shape[3];
    double sum = 0;
    for (std::int64_t i = first; i < first + count; ++i) sum += std::pow(base::read_element(a, i) - base::read_element(b, i), 2);
    return 20 * std::log10(max_val) - 10 * std::log10(sum / static_cast<double>(count));
  }
};

struct Ssim final : ImageMetric {
  std::int64_t filter_size = 11;
  double filter_sigma = 1.5, k1 = 0.01, k2 = 0.03;
  std::unique_ptr<Impl> clone() const override { return std::make_unique<Ssim>(*this); }
  std::string_view class_name() const noexcept override { return "SSIM"; }

  std::vector<double> window() const {
    std::vector<double> w(static_cast<std::size_t>(filter_size));
    double sum = 0;
    for (std::int64_t i = 0; i < filter_size; ++i) {
      const double x = static_cast<double>(i) - static_cast<double>(filter_size - 1) / 2;
      sum += w[static_cast<std::size_t>(i)] = std::exp(-x * x / (2 * filter_sigma * filter_sigma));
    }
    for (double& value : w) value /= sum;
    return w;
  }
  /// The window's mean at every valid place of one channel's (h, w) plane.
  static std::vector<double> filtered(const std::vector<double>& plane, std::int64_t h, std::int64_t w, const std::vector<double>& window) {
    const auto k = static_cast<std::int64_t>(window.size()), oh = h - k + 1, ow = w - k + 1;
    std::vector<double> rows(static_cast<std::size_t>(h * ow)), out(static_cast<std::size_t>(oh * ow));
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < ow; ++x)
        for (std::int64_t i = 0; i < k; ++i) rows[static_cast<std::size_t>(y * ow + x)] += window[static_cast<std::size_t>(i)] * plane[static_cast<std::size_t>(y * w + x + i)];
    for (std::int64_t y = 0; y < oh; ++y)
      for (std::int64_t x = 0; x < ow; ++x)
        for (std::int64_t i = 0; i < k; ++i) out[static_cast<std::size_t>(y * ow + x)] += window[static_cast<std::size_t>(i)] * rows[static_cast<std::size_t>((y + i) * ow + x)];
    return out;
  }
  double of_picture(ConstTensorView a, ConstTensorView b, std::int64_t first) const override {
    const std::int64_t h = a.shape[1], w = a.shape[2], channels = a.shape[3];
    if (h < filter_size || w < filter_size)
      throw ArgumentError("y_true", base::cat("SSIM needs pictures of at least ", filter_size, " x ", filter_size, " pixels. Received: ", a.shape.str(), "."));
    const double c1 = std::pow(k1 * max_val, 2), c2 = std::pow(k2 * max_val, 2);
    const std::vector<double> taps = window();
    double sum = 0, places = 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      std::vector<double> x(static_cast<std::size_t>(h * w)), y(x.size()), products(x.size()), squares(x.size());
      for (std::int64_t i = 0; i < h * w; ++i) {
        const auto at = static_cast<std::size_t>(i);
        x[at] = base::read_element(a, first + i * channels + c), y[at] = base::read_element(b, first + i * channels + c);
        products[at] = x[at] * y[at], squares[at] = x[at] * x[at] + y[at] * y[at];
      }
      const std::vector<double> mx = filtered(x, h, w, taps), my = filtered(y, h, w, taps), xy = filtered(products, h, w, taps), ss = filtered(squares, h, w, taps);
      for (std::size_t i = 0; i < mx.size(); ++i) {
        const double means = mx[i] * my[i], mean_squares = mx[i] * mx[i] + my[i] * my[i];
        sum += (2 * means + c1) / (mean_squares + c1) * (2 * (xy[i] - means) + c2) / (ss[i] - mean_squares + c2);
      }
      places += static_cast<double>(mx.size());
    }
    return sum / places;
  }
  Config::Dict own_config() const override {
    return {{"max_val", max_val}, {"filter_size", filter_size}, {"filter_sigma", filter_sigma}, {"k1", k1}, {"k2", k2}};
  }
};

}  // namespace

std::unique_ptr<Metric::Impl> make_iou(const std::string& class_name, const Config& config) {
  const std::pair<const char*, const char*> names[] = {{"IoU", "io_u"}, {"BinaryIoU", "binary_io_u"}, {"MeanIoU", "mean_io_u"}, {"OneHotIoU", "one_hot_io_u"},
                                                       {"OneHotMeanIoU", "one_hot_mean_io_u"}};
  const auto* known = std::find_if(std::begin(names), std::end(names), [&](const auto& n) { return class_name == n.first; });
  if (known == std::end(names)) return nullptr;
  auto metric = std::make_unique<IoU>();
  metric->keras_class = class_name, metric->name = known->second;
  const bool binary = class_name == "BinaryIoU", one_hot = class_name.rfind("OneHot", 0) == 0;
  if (!binary && !config.find("num_classes")) throw ArgumentError("num_classes", base::cat(class_name, " needs `num_classes`."));
  metric->classes = binary ? 2 : config.at("num_classes").as_int();
  if (metric->classes < 1 || metric->classes > 4096)
    throw ArgumentError("num_classes", base::cat("`num_classes` must be from 1 to 4096. Received: ", metric->classes, "."));
  if (const Config* ids = config.find("target_class_ids"); ids && !ids->is_null())
    for (const Config& id : ids->as_list()) metric->targets.push_back(id.as_int());
  else
    for (std::int64_t c = 0; c < metric->classes; ++c) metric->targets.push_back(c);
  for (const std::int64_t id : metric->targets)
    if (id < 0 || id >= metric->classes)
      throw ArgumentError("target_class_ids", base::cat("Target class id ", id, " is out of range, which is [0, ", metric->classes, ")."));
  const auto flag = [&](const char* key, bool missing) { return config.find(key) ? config.at(key).as_bool() : missing; };
  metric->sparse_true = flag("sparse_y_true", !one_hot), metric->sparse_pred = flag("sparse_y_pred", !one_hot);
  metric->threshold = number_or(config, "threshold", 0.5);
  if (const Config* ignored = config.find("ignore_class"); ignored && !ignored->is_null()) metric->ignore_class = ignored->as_int();
  return metric;
}

std::unique_ptr<Metric::Impl> make_image_metric(const std::string& class_name, const Config& config) {
  std::unique_ptr<ImageMetric> metric;
  if (class_name == "PSNR") metric = std::make_unique<Psnr>();
  if (class_name == "SSIM") {
    auto ssim = std::make_unique<Ssim>();
    ssim->filter_size = static_cast<std::int64_t>(number_or(config, "filter_size", 11)), ssim->filter_sigma = number_or(config, "filter_sigma", 1.5);
    ssim->k1 = number_or(config, "k1", 0.01), ssim->k2 = number_or(config, "k2", 0.03);
    if (ssim->filter_size < 1) throw ArgumentError("filter_size", base::cat("`filter_size` must be at least 1. Received: ", ssim->filter_size, "."));
    metric = std::move(ssim);
  }
  if (!metric) throw ArgumentError("metric", base::cat("Could not interpret metric identifier: ", base::escaped(class_name), "."));
  metric->name = base::lower(class_name);
  metric->max_val = number_or(config, "max_val", 1);
  return metric;
}

}  // namespace upconv::nn
