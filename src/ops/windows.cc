// SPDX-License-Identifier: Apache-2.0
#include "ops/windows.h"

#include <utility>

#include "ops/pixels.h"

namespace upconv::ops {

template <class T>
Windows<T>::Windows(const Geometry& g, DType dtype, const void* dy, const Blocking& blocking)
    : run(g.x.d == 1 ? g.x.k : 1), taps(g.y.k * g.x.k / run), values(run * g.co), g_(g),
      image_{dtype, g.data_format, g.y.o, g.x.o, g.co}, dy_(dy), blocking_(blocking),
      stage_row_(((blocking.columns - 1) * g.x.s + g.x.effective_kernel()) * g.co),
      stage_image_(((blocking.rows - 1) * g.y.s + g.y.effective_kernel()) * stage_row_), zeros_(static_cast<std::size_t>(values), T(0)) {}

template <class T>
typename Windows<T>::Scratch Windows<T>::scratch() const {
  const std::int64_t cut_columns = std::min(blocking_.columns, 2 * base::ceil_div(run, g_.x.s));
  Scratch s;
  s.table.resize(static_cast<std::size_t>(taps * blocking_.pixels()));
  s.cut.resize(static_cast<std::size_t>(taps * values * blocking_.images * blocking_.rows * cut_columns));
  if (!image_.direct(dtype_of<T>)) s.staged.resize(static_cast<std::size_t>(blocking_.images * stage_image_));
  return s;
}

/// Positions of dY that inputs [first, last) meet.
template <class T>
typename Windows<T>::Range Windows<T>::under(const Axis& axis, std::int64_t first, std::int64_t last) noexcept {
  const std::int64_t low = std::clamp<std::int64_t>(first * axis.s - axis.crop, 0, axis.o);
  return {low, std::clamp((last - 1) * axis.s + axis.effective_kernel() - axis.crop, low, axis.o)};
}

template <class T>
std::int64_t Windows<T>::staged_rows(const Block& b) const noexcept {
  return image_.direct(dtype_of<T>) ? 0 : (b.n1 - b.n0) * under(g_.y, b.y0, b.y1).size();
}

template <class T>
void Windows<T>::stage(const Block& b, std::int64_t first_row, std::int64_t last_row, Scratch& scratch) const noexcept {
  const Range rows = under(g_.y, b.y0, b.y1), columns = under(g_.x, b.x0, b.x1);
  for (std::int64_t r = first_row; r < last_row; ++r)
    load_pixels<T>(image_, dy_, b.n0 + r / rows.size(), rows.first + r % rows.size(), columns.first, columns.last,
                   scratch.staged.data() + r / rows.size() * stage_image_ + r % rows.size() * stage_row_);
}

template <class T>
typename Windows<T>::View Windows<T>::view(const Block& b, const Scratch& scratch) const noexcept {
  if (image_.direct(dtype_of<T>)) return {static_cast<const T*>(dy_), g_.y.o * g_.x.o * g_.co, g_.x.o * g_.co};
  const Range rows = under(g_.y, b.y0, b.y1), columns = under(g_.x, b.x0, b.x1);
  return {scratch.staged.data() - b.n0 * stage_image_ - rows.first * stage_row_ - columns.first * g_.co, stage_image_, stage_row_};
}

template <class T>
void Windows<T>::fill_table(const Block& b, Scratch& scratch) const noexcept {
  const View in = view(b, scratch);
  const T** pointer = scratch.table.data();
  T* cut = scratch.cut.data();
  const std::int64_t groups = g_.x.k / run;
  for (std::int64_t tap = 0; tap < taps; ++tap)
    for (std::int64_t n = b.n0; n < b.n1; ++n)
      for (std::int64_t i = b.y0; i < b.y1; ++i) {
        const std::int64_t oh = dy_row(i, tap / groups), shift = tap % groups * g_.x.d - g_.x.crop;
        const bool inside = oh >= 0 && oh < g_.y.o;
        const T* row = inside ? in.base + n * in.image + oh * in.row : nullptr;
        for (std::int64_t j = b.x0; j < b.x1; ++j) {
          const std::int64_t ow = j * g_.x.s + shift;
          if (!inside || ow + run <= 0 || ow >= g_.x.o) *pointer++ = zeros_.data();
          else if (ow >= 0 && ow + run <= g_.x.o) *pointer++ = row + ow * g_.co;
          else *pointer++ = std::exchange(cut, cut_window(row, ow, cut));
        }
      }
}

/// Copies the window at `column` of a row of dY with zeros for what lies outside; returns the end of the copy.
template <class T>
T* Windows<T>::cut_window(const T* row, std::int64_t column, T* to) const noexcept {
  const std::int64_t low = std::max<std::int64_t>(column, 0), high = std::min(column + run, g_.x.o);
  to = std::fill_n(to, (low - column) * g_.co, T(0));
  to = std::copy(row + low * g_.co, row + high * g_.co, to);
  return std::fill_n(to, (column + run - high) * g_.co, T(0));
}

template <class T>
typename Windows<T>::KernelRows Windows<T>::kernel_rows(std::int64_t i) const noexcept {
  KernelRows rows{0, g_.y.k};
  while (rows.first < rows.last && dy_row(i, rows.first) < 0) ++rows.first;
  while (rows.last > rows.first && dy_row(i, rows.last - 1) >= g_.y.o) --rows.last;
  return rows;
}

template class Windows<float>;
template class Windows<double>;

}  // namespace upconv::ops
