// SPDX-License-Identifier: Apache-2.0
#include "train_report.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iostream>

#include "base/text.h"
#include "output.h"
#include "text.h"

namespace upconv::cli {
namespace {

std::string clock(double seconds) {
  const auto whole = static_cast<std::int64_t>(seconds + 0.5);
  return whole >= 3600 ? base::cat(whole / 3600, " h ", whole / 60 % 60, " min") : whole >= 60 ? base::cat(whole / 60, " min ", whole % 60, " s") : base::cat(whole, " s");
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

std::string log_text(const Logs& logs) {
  std::string text;
  for (const auto& [name, value] : logs) text += base::cat(text.empty() ? "" : "  ", name, " ", number(value));
  return text;
}

constexpr double kLeft = 70, kTop = 40, kWidth = 620, kHeight = 300;

/// Axes of the curve: steps are linear, losses logarithmic.
struct Scale {
  double steps, low, high;                   // exponents of ten
  double x(double step) const { return kLeft + kWidth * step / std::max(steps, 1.0); }
  double y(double loss) const { return kTop + kHeight * (high - std::log10(loss)) / std::max(high - low, 1e-9); }
};

std::string curve(const std::vector<LossPoint>& points, const Scale& scale, const char* colour, double width) {
  std::string path;
  for (const LossPoint& p : points)
    if (p.loss > 0 && std::isfinite(p.loss)) path += base::cat(path.empty() ? "M" : "L", fixed(scale.x(p.step), 1), " ", fixed(scale.y(p.loss), 1));
  return path.empty() ? "" : base::cat("<path d=\"", path, "\" fill=\"none\" stroke=\"", colour, "\" stroke-width=\"", fixed(width, 1), "\"/>\n");
}

}  // namespace

std::string loss_svg(const std::vector<LossPoint>& training, const std::vector<LossPoint>& validation, const std::string& title) {
  Scale scale{1, 1e9, -1e9};
  for (const auto* points : {&training, &validation})
    for (const LossPoint& p : *points) {
      scale.steps = std::max(scale.steps, p.step);
      if (!(p.loss > 0) || !std::isfinite(p.loss)) continue;
      scale.low = std::min(scale.low, std::log10(p.loss)), scale.high = std::max(scale.high, std::log10(p.loss));
    }
  if (scale.low > scale.high) scale.low = 0, scale.high = 1;
  const double room = std::max(0.05, 0.05 * (scale.high - scale.low));
  scale.low -= room, scale.high += room;
  std::string svg = base::cat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"400\" viewBox=\"0 0 720 400\" "
                              "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
                              "<text x=\"", fixed(kLeft, 0), "\" y=\"24\" font-size=\"15\" font-weight=\"bold\">", title, "</text>\n");
  for (int i = 0; i <= 4; ++i) {
    const double exponent = scale.low + (scale.high - scale.low) * i / 4, y = scale.y(std::pow(10, exponent)), x = kLeft + kWidth * i / 4;
    svg += base::cat("<line x1=\"", fixed(kLeft, 0), "\" x2=\"", fixed(kLeft + kWidth, 0), "\" y1=\"", fixed(y, 1), "\" y2=\"", fixed(y, 1), "\" stroke=\"#ddd\"/>\n",
                     "<text x=\"", fixed(kLeft - 8, 0), "\" y=\"", fixed(y + 4, 1), "\" text-anchor=\"end\">", number(std::pow(10, exponent)), "</text>\n",
                     "<text x=\"", fixed(x, 1), "\" y=\"", fixed(kTop + kHeight + 20, 0), "\" text-anchor=\"middle\">", number(std::round(scale.steps * i / 4)), "</text>\n");
  }
  svg += curve(training, scale, "#0072B2", 1.5) + curve(validation, scale, "#D55E00", 2.5);
  svg += base::cat("<text x=\"", fixed(kLeft + kWidth / 2, 0), "\" y=\"", fixed(kTop + kHeight + 42, 0), "\" text-anchor=\"middle\">step</text>\n",
                   "<text x=\"", fixed(kLeft + kWidth, 0), "\" y=\"24\" text-anchor=\"end\"><tspan fill=\"#0072B2\">training loss</tspan>",
                   validation.empty() ? "" : "  <tspan fill=\"#D55E00\">validation loss</tspan>", "</text>\n</svg>\n");
  return svg;
}

void TrainReport::on_train_begin(TrainingContext& context) {
  start_ = drawn_ = std::chrono::steady_clock::now();
  terminal_ = context.rank == 0 && isatty(STDERR_FILENO);
}

void TrainReport::on_batch_end(TrainingContext& context, const Logs& logs) {
  const std::int64_t at = context.epoch * context.steps + context.step, last = context.epochs * context.steps;
  if (first_step_ < 0) first_step_ = at;
  training_.push_back({static_cast<double>(at + 1), logs.front().second});
  context.interrupt = context.interrupt || interrupted();
  const auto now = std::chrono::steady_clock::now();
  if (!terminal_ || now - drawn_ < std::chrono::milliseconds(200)) return;
  drawn_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count(), done = static_cast<double>(at - first_step_ + 1);
  std::cerr << "\r\x1b[Kepoch " << context.epoch + 1 << "/" << context.epochs << "  step " << context.step + 1 << "/" << context.steps << "  " << log_text(logs)
            << "  " << clock(elapsed / done * static_cast<double>(last - at - 1)) << " left" << std::flush;
}

void TrainReport::on_epoch_end(TrainingContext& context, Logs& logs) {
  if (const double* loss = find_log(logs, "val_loss")) validation_.push_back({static_cast<double>((context.epoch + 1) * context.steps), *loss});
  if (context.rank != 0) return;
  if (terminal_) std::cerr << "\r\x1b[K" << std::flush;
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  std::cout << "epoch " << context.epoch + 1 << "/" << context.epochs << "  " << log_text(logs) << "  " << clock(elapsed) << std::endl;
}

}  // namespace upconv::cli
