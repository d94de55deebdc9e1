// SPDX-License-Identifier: Apache-2.0
// Draws what the convolution-arithmetic guide draws: the input on the left, the natural output on the right. Two
// neighbouring input cells are followed: each multiplies the whole kernel, which lands as a window on the output; where
// windows overlap the products add up, and every cell says how many kernel elements reach it. The colours are those of
// Okabe and Ito, and no meaning hangs on colour alone: numbers, dashes and letters say the same.
#include "io/explain_svg.h"

#include <algorithm>
#include <array>
#include <string>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

std::int64_t windows_over(const ops::Axis& a, std::int64_t o) {
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < a.k; ++j) {
    const std::int64_t at = o + a.crop - j * a.d;
    count += at >= 0 && at % a.s == 0 && at / a.s < a.n;
  }
  return count;
}

std::int64_t taps_of_phase(const ops::Axis& a, std::int64_t p) {
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < a.k; ++j) count += j * a.d % a.s == p;
  return count;
}

static bool uneven(const ops::Axis& a) { return a.d == 1 && a.k % a.s != 0; }

std::string checkerboard_warning(const ops::Axis& y, const ops::Axis& x) {
  if (!uneven(y) && !uneven(x)) return "";
  const auto axis = [](const char* name, const ops::Axis& a) {
    return base::cat(name, " ", a.k, " % ", a.s, " = ", a.k % a.s);
  };
  const auto better = [](const ops::Axis& a) { return (a.k + a.s - 1) / a.s * a.s; };
  std::string where = uneven(y) ? axis("height", y) : "";
  if (uneven(x)) where += (where.empty() ? "" : ", ") + axis("width", x);
  const bool holes = (uneven(y) && y.k < y.s) || (uneven(x) && x.k < x.s);
  return base::cat("Warning: kernel size % stride is not 0 (", where, "), so neighbouring cells are reached by different numbers of ",
                   "kernel elements", holes ? ", some by none," : "", " and the output tends to show a checkerboard. Kernel size ",
                   better(y), "x", better(x), " would be even.");
}

namespace {

constexpr int kCell = 26, kMargin = 24, kGap = 120, kTop = 74;
constexpr std::int64_t kMaxCells = 16;          // of the natural output, before the input is cut
constexpr std::int64_t kMostCells = 20'000;      // in the whole picture

struct Highlight {
  std::int64_t y, x;
  const char* colour;
  const char* dash;
  const char* letter;
  int inset;
};

/// Text and shapes, appended; coordinates in pixels.
class Canvas {
 public:
  void rect(std::int64_t x, std::int64_t y, std::int64_t w, std::int64_t h, const std::string& style) {
    body_ += base::cat("<rect x=\"", x, "\" y=\"", y, "\" width=\"", w, "\" height=\"", h, "\" ", style, "/>\n");
  }
  void line(std::int64_t x1, std::int64_t y1, std::int64_t x2, std::int64_t y2, const std::string& style) {
    body_ += base::cat("<line x1=\"", x1, "\" y1=\"", y1, "\" x2=\"", x2, "\" y2=\"", y2, "\" ", style, "/>\n");
  }
  void text(std::int64_t x, std::int64_t y, const std::string& content, const std::string& style = "") {
    body_ += base::cat("<text x=\"", x, "\" y=\"", y, "\" ", style, ">", content, "</text>\n");
  }
  std::string finish(std::int64_t width, std::int64_t height) const {
    return base::cat("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"", width, "\" height=\"", height, "\" viewBox=\"0 0 ", width,
                     " ", height, "\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"12\" fill=\"#222\">\n",
                     "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n", body_, "</svg>\n");
  }

 private:
  std::string body_;
};

/// White to blue in even steps of count / most.
std::string shade(std::int64_t count, std::int64_t most) {
  const double t = most > 0 ? 0.72 * static_cast<double>(count) / static_cast<double>(most) : 0;
  const auto mix = [&](int full) { return static_cast<int>(255 + t * (full - 255) + 0.5); };
  return base::cat("rgb(", mix(0), ",", mix(114), ",", mix(178), ")");
}

std::string outline(const Highlight& h, int width) {
  return base::cat("fill=\"none\" stroke=\"", h.colour, "\" stroke-width=\"", width, "\"", h.dash);
}

/// The part of an axis that can be drawn: fewer input cells, the same rule.
bool cut(ops::Axis& a, Padding padding) {
  const std::int64_t natural = (a.n - 1) * a.s + a.effective_kernel();
  const std::int64_t extra = a.o - (padding == Padding::same ? a.n * a.s : natural);
  const std::int64_t n = std::clamp<std::int64_t>((kMaxCells - a.effective_kernel()) / a.s + 1, 2, std::max<std::int64_t>(a.n, 2));
  if (n >= a.n) return false;
  a.n = n;
  a.o = (padding == Padding::same ? n * a.s : (n - 1) * a.s + a.effective_kernel()) + extra;
  return true;
}

struct Drawing {
  ops::Axis y, x;
  Canvas canvas;
  std::int64_t rows, columns;          // cells of the natural output, with the cells beyond it
  std::int64_t input_x, input_y, output_x, output_y;

  Drawing(const ops::Axis& y, const ops::Axis& x) : y(y), x(x) {
    const auto reach = [](const ops::Axis& a) { return std::max((a.n - 1) * a.s + a.effective_kernel(), a.crop + a.o); };
    rows = reach(y);
    columns = reach(x);
    const std::int64_t tall = std::max(rows, y.n);
    input_x = kMargin;
    input_y = kTop + (tall - y.n) * kCell / 2;
    output_x = kMargin + x.n * kCell + kGap;
    output_y = kTop + (tall - rows) * kCell / 2;
  }

  std::int64_t bottom() const { return kTop + std::max(rows, y.n) * kCell; }
  std::int64_t right() const { return output_x + columns * kCell; }

  void input() {
    canvas.text(input_x, input_y - 10, base::cat("input ", y.n, " x ", x.n));
    for (std::int64_t i = 0; i < y.n; ++i)
      for (std::int64_t j = 0; j < x.n; ++j)
        canvas.rect(input_x + j * kCell, input_y + i * kCell, kCell, kCell, "fill=\"#e8e8e8\" stroke=\"#888\"");
  }

  void output() {
    canvas.text(output_x + x.crop * kCell, output_y - 10, base::cat("output ", y.o, " x ", x.o));
    std::int64_t most_y = 0, most_x = 0;
    for (std::int64_t i = 0; i < rows; ++i) most_y = std::max(most_y, windows_over(y, i - y.crop));
    for (std::int64_t j = 0; j < columns; ++j) most_x = std::max(most_x, windows_over(x, j - x.crop));
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j) cell(i, j, most_y * most_x);
    if (y.o > 0 && x.o > 0)
      canvas.rect(output_x + x.crop * kCell, output_y + y.crop * kCell, x.o * kCell, y.o * kCell,
                  "fill=\"none\" stroke=\"#222\" stroke-width=\"2.5\"");
  }

  void cell(std::int64_t i, std::int64_t j, std::int64_t most) {
    const bool kept = i >= y.crop && i < y.crop + y.o && j >= x.crop && j < x.crop + x.o;
    const std::int64_t count = windows_over(y, i - y.crop) * windows_over(x, j - x.crop);
    const std::int64_t left = output_x + j * kCell, top = output_y + i * kCell;
    canvas.rect(left, top, kCell, kCell,
                kept ? base::cat("fill=\"", shade(count, most), "\" stroke=\"#888\"")
                     : std::string("fill=\"#fff\" stroke=\"#aaa\" stroke-dasharray=\"2 3\""));
    const char* ink = !kept ? "#999" : 10 * count > 7 * most ? "#fff" : "#222";
    canvas.text(left + kCell / 2, top + kCell / 2 + 4, std::to_string(count),
                base::cat("text-anchor=\"middle\" font-size=\"11\" fill=\"", ink, "\""));
  }

  void follow(const Highlight& h) {
    const std::int64_t from_x = input_x + h.x * kCell, from_y = input_y + h.y * kCell;
    const std::int64_t to_x = output_x + h.x * x.s * kCell + h.inset, to_y = output_y + h.y * y.s * kCell + h.inset;
    const std::int64_t wide = x.effective_kernel() * kCell - 2 * h.inset, high = y.effective_kernel() * kCell - 2 * h.inset;
    const std::string thin = base::cat("stroke=\"", h.colour, "\" stroke-width=\"1\" stroke-opacity=\"0.7\"", h.dash);
    canvas.line(from_x + kCell, from_y, to_x, to_y, thin);
    canvas.line(from_x + kCell, from_y + kCell, to_x, to_y + high, thin);
    canvas.rect(from_x + 1, from_y + 1, kCell - 2, kCell - 2, outline(h, 3));
    canvas.text(from_x + kCell / 2, from_y + kCell / 2 + 4, h.letter,
                base::cat("text-anchor=\"middle\" font-weight=\"bold\" fill=\"", h.colour, "\""));
    canvas.rect(to_x, to_y, wide, high, outline(h, 3));
    if (y.d == 1 && x.d == 1) return;
    for (std::int64_t i = 0; i < y.k; ++i)
      for (std::int64_t j = 0; j < x.k; ++j)
        canvas.rect(output_x + (h.x * x.s + j * x.d) * kCell + 2 + h.inset, output_y + (h.y * y.s + i * y.d) * kCell + 2 + h.inset,
                    kCell - 4 - 2 * h.inset, kCell - 4 - 2 * h.inset, outline(h, 1));
  }
};

std::string title(const ops::Axis& y, const ops::Axis& x, Padding padding) {
  std::string text = base::cat("Conv2DTranspose: kernel ", y.k, " x ", x.k, ", strides ", y.s, " x ", x.s, ", padding ", name_of(padding));
  if (y.d > 1 || x.d > 1) text += base::cat(", dilation ", y.d, " x ", x.d);
  return text;
}

}  // namespace

std::string explain_svg(ops::Axis y, ops::Axis x, Padding padding) {
  const bool cut_rows = cut(y, padding), cut_columns = cut(x, padding);
  const bool uneven_phases = uneven(y) || uneven(x);
  Drawing d(y, x);
  if (d.rows > kMostCells || d.columns > kMostCells || d.rows * d.columns > kMostCells)
    throw ArgumentError("svg", base::cat("A picture of ", d.rows, " x ", d.columns, " cells is too large to draw; the most are ", kMostCells));
  d.canvas.text(kMargin, 26, title(y, x, padding), "font-size=\"15\" font-weight=\"bold\"");
  d.input();
  d.output();
  if (y.n > 0 && x.n > 0) {
    const std::int64_t row = (y.n - 1) / 2, column = (x.n - 1) / 2;
    if (x.n > 1) d.follow({row, column + 1, "#009E73", " stroke-dasharray=\"7 4\"", "B", 3});
    else if (y.n > 1) d.follow({row + 1, column, "#009E73", " stroke-dasharray=\"7 4\"", "B", 3});
    d.follow({row, column, "#D55E00", "", "A", 0});
  }
  std::vector<std::string> notes = {
      "Each input cell (A, B) lays the whole kernel over the output, one stride further on.",
      "Numbers: kernel elements that reach a cell; their products add up. Bold frame: the output. Dashed: cropped."};
  if (uneven_phases) notes.push_back("The numbers inside the frame alternate: kernel size % stride is not 0, which shows as a checkerboard.");
  if (cut_rows || cut_columns) notes.push_back("Drawn for fewer input cells than given; the pattern repeats.");
  std::int64_t line = d.bottom() + 30, widest = 0;
  for (const std::string& note : notes) {
    d.canvas.text(kMargin, line, note);
    widest = std::max(widest, static_cast<std::int64_t>(note.size()) * 6);
    line += 18;
  }
  return d.canvas.finish(std::max({d.right(), widest + kMargin, std::int64_t{420}}) + kMargin, line);
}

}  // namespace upconv::io
