// SPDX-License-Identifier: Apache-2.0
#include "ops/scatter_layout.h"

#include <algorithm>
#include <limits>

#include "base/checked.h"
#include "base/text.h"
#include "ops/costs.h"
#include "ops/pack.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kPartRows = 8;                     // rows of blocks of a part, at least
constexpr double kPartProducts = 1e6;                     // multiply-adds of a part, at least
constexpr std::int64_t kScratchElements = 1 << 18;        // strips of a part and products of a row: each about L2
constexpr std::int64_t kScratchBytes = 224 << 10;         // all of a thread's scratch for channels_first
constexpr std::int64_t kFewParts = 8;                     // an image of fewer parts is cut into blocks, for the threads
// In multiply-adds, fitted to 400 random layers on Zen 5 with AVX-512: storing an output of one or two filters or of more, which are
// woven, a pixel's product that is added to others, a row of the output (transposing: ops/costs.h).
constexpr double kFinishing = 6.0, kWeaving = 15.0, kTile = 7.0, kRow = 5000;
constexpr double kBesideTiles = 0.90;                  // the tiles of the other algorithms take a tenth longer than their model says
constexpr double kFar = 2 << 20;                       // bytes of a sample's input

}  // namespace

template <class T>
ScatterLayout<T>::ScatterLayout(const Geometry& geometry, int isa)
    : g(geometry), lanes(kernels::strip_kernels<T>(isa).lanes), rows(phase_groups(g.y, g.x.k * g.co < 8)) {
  x_first = g.x.crop / g.x.s, x_last = std::max(x_first, base::ceil_div(g.x.o + g.x.crop, g.x.s));
  x_reach = (g.x.k - 1) * g.x.d / g.x.s;
  for (std::size_t y = 0; y < rows.size(); ++y) {
    const PhaseGroup& group = rows[y];
    y_first = y == 0 ? group.first_block : std::min(y_first, group.first_block);
    y_last = std::max(y_last, group.last_block);
    if (!group.shifts.empty()) y_reach = std::max(y_reach, group.shifts.back());
    const auto count = static_cast<std::int64_t>(group.shifts.size());
    units.push_back({.y = y, .columns = group.phases * g.x.k * g.co, .steps = kernels::tile_steps(count, g.ci), .panels = {}});
    most_columns = std::max(most_columns, units.back().columns);
    most_taps = std::max(most_taps, count);
  }
  cut(isa);
  for (ScatterUnit& unit : units) {
    const std::int64_t depth = static_cast<std::int64_t>(rows[unit.y].shifts.size()) * g.ci;
    std::int64_t first = 0;
    for (const int columns : kernels::strip_panels(kernels::strip_kernels<T>(isa), unit.columns, strips).columns) {
      unit.panels.push_back({.first = first, .columns = columns, .packed = packed_elements});
      first += columns;
      packed_elements = base::checked_add(packed_elements, base::checked_mul(depth, columns, "packed kernel size"));
    }
  }
}

/// Pixels of `band_count` bands side by side, without the last gap, in strips.
template <class T>
std::int64_t ScatterLayout<T>::strips_of(std::int64_t band_count) const noexcept {
  const std::int64_t pixels = std::min(g.x.n, block_columns + x_reach);
  return base::ceil_div((band_count - 1) * (pixels + gap()) + pixels, lanes);
}

/// Zeros between bands: what the last blocks of one and the first of the next read beyond their image.
template <class T>
std::int64_t ScatterLayout<T>::gap() const noexcept {
  return std::max(x_reach, x_last - g.x.n);
}

/// What a part costs, in multiply-adds.
template <class T>
double ScatterLayout<T>::cost(int isa, std::int64_t band_count) const {
  const kernels::StripKernels<T>& kernels = kernels::strip_kernels<T>(isa);
  const std::int64_t height = base::ceil_div(part_rows, band_count), width = strips_of(band_count);
  const double transposing = static_cast<double>(g.y.n * g.x.n * g.ci) * sizeof(T) > kFar ? costs(isa).transposing_far : costs(isa).transposing;
  double products = 0;
  for (const ScatterUnit& unit : units) {
    const double depth = static_cast<double>(rows[unit.y].shifts.size()) * static_cast<double>(g.ci);
    const kernels::StripPanels panels = kernels::strip_panels(kernels, unit.columns, width);
    products += panels.cost * depth + static_cast<double>(unit.columns) * kTile;
  }
  const double row = products * static_cast<double>(height) +
                     transposing * static_cast<double>((height + y_reach) * g.ci);
  return row * static_cast<double>(width * lanes);
}

/// Columns of a block, at most: for channels_last what fits L2, for channels_first what a thread's scratch may hold.
template <class T>
std::int64_t ScatterLayout<T>::most_pixels() const noexcept {
  const std::int64_t ring = std::max<std::int64_t>(1, g.ci) * (y_reach + 1);
  if (g.data_format == DataFormat::channels_last)
    return std::max(8 * (lanes + x_reach), kScratchElements / std::max(ring, most_columns));
  return std::max(lanes, kScratchBytes / pixel_bytes() / lanes * lanes - x_reach);
}

/// Scratch for a pixel of a block: strips, staged input, products, sums.
template <class T>
std::int64_t ScatterLayout<T>::pixel_bytes() const noexcept {
  return ((y_reach + 1) * (g.ci + 1) + g.ci + most_columns + g.x.s * g.co) * static_cast<std::int64_t>(sizeof(T));
}

template <class T>
void ScatterLayout<T>::cut(int isa) {
  const std::int64_t height = y_last - y_first, width = x_last - x_first;
  if (height <= 0 || width <= 0) return;
  const double products = static_cast<double>(height * width * g.ci) * static_cast<double>(g.y.k * g.x.k * g.co);
  const auto tasks = static_cast<std::int64_t>(products / kPartProducts);
  parts = std::clamp<std::int64_t>(std::min(height / std::max(kPartRows, 4 * y_reach), tasks), 1, height);
  part_rows = base::ceil_div(height, parts);
  parts = base::ceil_div(height, part_rows);
  const std::int64_t least = (parts == 1 ? 4 : 8) * (lanes + x_reach);   // columns of a block; an image of one part has no other work for threads
  blocks = std::max(base::ceil_div(width, most_pixels()), std::min({kFewParts / parts, tasks, width / least}));
  block_columns = blocks <= 1 ? width : base::round_up(base::ceil_div(width, blocks) + x_reach, lanes) - x_reach;
  blocks = base::ceil_div(width, block_columns);
  double best = cost(isa, 1);
  if (blocks == 1)
    for (std::int64_t count = 2; count <= part_rows && strips_of(count) <= kernels::strip_max_strips + 1; ++count)
      if (const double c = cost(isa, count); c < 0.97 * best) best = c, bands = count;
  band_rows = base::ceil_div(part_rows, bands);
  band_pixels = std::min(g.x.n, block_columns + x_reach) + gap();
  strips = strips_of(bands);
  const double finishing = static_cast<double>(g.y.o) * ((g.co <= 2 ? kFinishing : kWeaving) * static_cast<double>(g.x.o * g.co) + kRow);
  work_ = kBesideTiles * (best * static_cast<double>(parts * blocks) + finishing);
  const bool small = g.data_format == DataFormat::channels_last || strips * lanes * pixel_bytes() <= kScratchBytes;
  if (!small) work_ = std::numeric_limits<double>::infinity();   // never by choice
}

template <class T>
void ScatterLayout<T>::pack(const void* kernel, DType dtype, T* packed) const noexcept {
  with_elements(dtype, kernel, [&](const auto* k) {
    T* to = packed;
    for (const ScatterUnit& unit : units)
      for (const ScatterPanel& panel : unit.panels)
        for (std::size_t t = 0; t < rows[unit.y].shifts.size(); ++t, to += g.ci * panel.columns)
          for (std::int64_t i = 0; i < panel.columns; ++i) {
            const std::int64_t column = panel.first + i, f = column % g.co, b = column / g.co % g.x.k, p = column / g.co / g.x.k;
            const auto* from = k + ((rows[unit.y].tap(g.y, p, t) * g.x.k + b) * g.co + f) * g.ci;
            for (std::int64_t c = 0; c < g.ci; ++c) to[c * panel.columns + i] = base::converted<T>(from[c]);
          }
  });
}

template <class T>
std::string ScatterLayout<T>::key() const {
  std::string text = base::cat("strips", sizeof(T));
  for (const ScatterUnit& unit : units) {
    text += base::cat(";", rows[unit.y].first_phase, "x", rows[unit.y].phases, ":");
    for (const std::int64_t shift : rows[unit.y].shifts) text += base::cat(shift, ",");
    for (const ScatterPanel& panel : unit.panels) text += base::cat("/", panel.columns);
  }
  return text;
}

template struct ScatterLayout<float>;
template struct ScatterLayout<double>;

}  // namespace upconv::ops
