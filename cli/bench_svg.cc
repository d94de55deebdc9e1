// SPDX-License-Identifier: Apache-2.0
// Operations a byte on the horizontal axis, GFLOP/s on the vertical one. The roof is what the machine allows: the copy rate
// times the intensity, and the FMA peak. Points above the flat roof save multiplications (winograd). Each algorithm has
// its own shape and its own colour of Okabe and Ito.
#include "bench_svg.h"

#include <algorithm>
#include <cmath>

#include "base/text.h"
#include "text.h"

namespace upconv::cli {
namespace {

constexpr double kLeft = 70, kTop = 50, kWidth = 640, kHeight = 400;

struct Axes {
  double x0, x1, y0, y1;       // powers of ten

  double x(double value) const { return kLeft + kWidth * (std::log10(value) - x0) / (x1 - x0); }
  double y(double value) const { return kTop + kHeight * (y1 - std::log10(value)) / (y1 - y0); }
};

struct Mark {
  const char* colour;
  const char* path;            // around (0, 0)
};

constexpr Mark kMarks[] = {
    {"#0072B2", "M-5 -5H5V5H-5Z"},
    {"#D55E00", "M0 -6L6 5H-6Z"},
    {"#009E73", "M0 -6L6 0L0 6L-6 0Z"},
    {"#CC79A7", "M0 6L6 -5H-6Z"},
    {"#E69F00", "M-5 0A5 5 0 1 0 5 0A5 5 0 1 0 -5 0Z"},
    {"#56B4E9", "M-2 -6H2V-2H6V2H2V6H-2V2H-6V-2H-2Z"},
};

std::string line(double x1, double y1, double x2, double y2, const char* style) {
  return base::cat("<line x1=\"", fixed(x1, 1), "\" y1=\"", fixed(y1, 1), "\" x2=\"", fixed(x2, 1), "\" y2=\"", fixed(y2, 1), "\" ", style, "/>\n");
}

std::string text(double x, double y, const std::string& content, const char* style = "") {
  return base::cat("<text x=\"", fixed(x, 1), "\" y=\"", fixed(y, 1), "\" ", style, ">", content, "</text>\n");
}

std::string xml(const std::string& raw) {
  std::string safe;
  for (const char c : raw) safe += c == '<' ? "&lt;" : c == '>' ? "&gt;" : c == '&' ? "&amp;" : c == '"' ? "&quot;" : std::string(1, c);
  return safe;
}

Axes axes_of(const std::vector<RooflinePoint>& points, double peak) {
  double low_x = 1, high_x = 100, low_y = peak, high_y = peak;
  for (const RooflinePoint& p : points) {
    low_x = std::min(low_x, p.intensity), high_x = std::max(high_x, p.intensity);
    low_y = std::min(low_y, p.gflops), high_y = std::max(high_y, p.gflops);
  }
  return {std::floor(std::log10(low_x)), std::ceil(std::log10(high_x * 1.01)), std::floor(std::log10(low_y)), std::ceil(std::log10(high_y * 1.01))};
}

std::string grid(const Axes& a) {
  std::string svg;
  for (double e = a.x0; e <= a.x1; ++e) {
    const double x = a.x(std::pow(10, e));
    svg += line(x, kTop, x, kTop + kHeight, "stroke=\"#ddd\"") + text(x, kTop + kHeight + 18, fixed(std::pow(10, e), e < 0 ? 1 : 0), "text-anchor=\"middle\"");
  }
  for (double e = a.y0; e <= a.y1; ++e) {
    const double y = a.y(std::pow(10, e));
    svg += line(kLeft, y, kLeft + kWidth, y, "stroke=\"#ddd\"") + text(kLeft - 8, y + 4, fixed(std::pow(10, e), e < 0 ? 1 : 0), "text-anchor=\"end\"");
  }
  return svg + text(kLeft + kWidth / 2, kTop + kHeight + 38, "operations for each byte of input, kernel and output", "text-anchor=\"middle\"") +
         text(kLeft - 50, kTop - 12, "GFLOP/s");
}

std::string roof(const Axes& a, double peak, double copy) {
  const double knee = std::clamp(peak / copy, std::pow(10, a.x0), std::pow(10, a.x1));
  const double start = std::max(std::pow(10, a.x0), std::pow(10, a.y0) / copy);
  std::string svg = line(a.x(knee), a.y(peak), kLeft + kWidth, a.y(peak), "stroke=\"#222\" stroke-width=\"2\"");
  if (start < knee) svg += line(a.x(start), a.y(start * copy), a.x(knee), a.y(knee * copy), "stroke=\"#222\" stroke-width=\"2\"");
  return svg + text(kLeft + kWidth - 6, a.y(peak) - 7, base::cat("FMA peak ", fixed(peak, 0), " GFLOP/s; copy ", fixed(copy, 1), " GB/s"),
                    "text-anchor=\"end\"");
}

}  // namespace

std::string roofline_svg(const std::vector<RooflinePoint>& points, double peak_gflops, double copy_gbs, const std::string& title) {
  const Axes axes = axes_of(points, peak_gflops);
  std::vector<std::string> algorithms;
  for (const RooflinePoint& p : points)
    if (std::ranges::find(algorithms, p.algorithm) == algorithms.end()) algorithms.push_back(p.algorithm);
  const auto mark_of = [&](const std::string& algorithm) {
    return kMarks[static_cast<std::size_t>(std::ranges::find(algorithms, algorithm) - algorithms.begin()) % std::size(kMarks)];
  };
  const auto mark = [&](double x, double y, const std::string& algorithm, const std::string& tip) {
    const Mark m = mark_of(algorithm);
    return base::cat("<path transform=\"translate(", fixed(x, 1), " ", fixed(y, 1), ")\" d=\"", m.path, "\" fill=\"", m.colour,
                     "\" fill-opacity=\"0.85\" stroke=\"#fff\"><title>", xml(tip), "</title></path>\n");
  };
  std::string svg = base::cat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"900\" height=\"510\" viewBox=\"0 0 900 510\" ",
                              "font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n",
                              "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
  svg += text(kLeft, 24, xml(title), "font-size=\"15\" font-weight=\"bold\"") + grid(axes) + roof(axes, peak_gflops, copy_gbs);
  for (const RooflinePoint& p : points)
    svg += mark(axes.x(p.intensity), axes.y(p.gflops), p.algorithm, base::cat(p.name, ": ", p.algorithm, ", ", fixed(p.gflops, 1), " GFLOP/s"));
  double y = kTop + 10;
  for (const std::string& algorithm : algorithms) {
    svg += mark(kLeft + kWidth + 24, y, algorithm, algorithm) + text(kLeft + kWidth + 38, y + 4, algorithm);
    y += 22;
  }
  return svg + "</svg>\n";
}

}  // namespace upconv::cli
