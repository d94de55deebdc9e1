// SPDX-License-Identifier: Apache-2.0
// The direct algorithms at work: blocks, units, panels, tiles. What they do is at the head of tile_plan.cc.
#include <algorithm>
#include <atomic>
#include <utility>

#include "ops/parallel.h"
#include "ops/shares.h"
#include "ops/tile_plan.h"

namespace upconv::ops {

namespace {

constexpr std::int64_t kStretchBytes = 256 << 10;   // of a panel: a part of L2
/// What follows in the packed kernel, brought into L2 while tiles multiply, a cache line for each product.
template <class T>
struct Ahead {
  const T *at, *end;

  const void* take(std::int64_t products) noexcept {
    const T* const now = std::exchange(at, at + products * 64 / static_cast<std::int64_t>(sizeof(T)));
    return now < end ? now : nullptr;
  }
};

// Of a pixel, at most, whose last panel is stored in whole vectors: 256x512x20 -> 20 k2s2 1.05 x, but 91x91x16 -> 172 k2s2 0.75 x.
constexpr std::int64_t kSpilledVectors = 13;

}  // namespace

template <class T>
void TilePlan<T>::run_packed(const Call& call, char* slots) const noexcept {
  const std::int64_t blocks = blocking_.count(), items = blocks * shares_, panels = layout_.panel_count;
  Shares shared(items, shares_ > 1 ? 1 : workers_);   // shares of unequal panels are better taken in turns
  parallel_for(*e_.executor, static_cast<int>(workers_), workers_, [&](std::int64_t worker) {
    const Slot mine = slot(slots + worker * slot_bytes_);
    shared.run(worker, [&](std::int64_t item) {
      const std::int64_t share = item / blocks;
      run_block(call, blocking_[item % blocks], panels * share / shares_, panels * (share + 1) / shares_, mine);
    });
  });
}

template <class T>
InputView<T> TilePlan<T>::input(const Call& call, const Block& b, T* staged) const noexcept {
  InputView<T> view{static_cast<const T*>(call.x), in_.h * in_.w * in_.c, in_.w * in_.c, in_.c};
  if (in_.direct(dtype_of<T>) && !padded_) return view;
  const std::int64_t i0 = std::clamp<std::int64_t>(b.y0 - y_reach_, 0, in_.h), i1 = std::clamp(b.y1, i0, in_.h);
  const std::int64_t j0 = std::clamp<std::int64_t>(b.x0 - x_reach_, 0, in_.w), j1 = std::clamp(b.x1, j0, in_.w);
  const std::int64_t left = padded_ ? j0 - (b.x0 - x_reach_) : 0, right = padded_ ? b.x1 - j1 : 0;   // zeros
  view.row = (left + j1 - j0 + right) * in_.c;
  view.image = (i1 - i0) * view.row;
  for (std::int64_t n = b.n0; n < b.n1; ++n)
    for (std::int64_t i = i0; i < i1; ++i) {
      T* row = staged + (n - b.n0) * view.image + (i - i0) * view.row;
      std::fill_n(row, left * in_.c, T(0));
      load_pixels<T>(in_, call.x, n, i, j0, j1, row + left * in_.c);
      std::fill_n(row + (left + j1 - j0) * in_.c, right * in_.c, T(0));
    }
  view.base = staged - b.n0 * view.image - i0 * view.row - (j0 - left) * view.column;
  return view;
}

template <class T>
void TilePlan<T>::run_block(const Call& call, const Block& b, std::int64_t first_panel, std::int64_t last_panel,
                            const Slot& slot) const noexcept {
  const InputView<T> in = input(call, b, slot.staged);
  std::int64_t number = 0;
  for (const TileUnit& unit : layout_.units) {
    const auto count = static_cast<std::int64_t>(unit.panels.size());
    const std::int64_t first = std::max<std::int64_t>(0, first_panel - number), last = std::min(count, last_panel - number);
    number += count;
    if (first >= last) continue;
    const PhaseGroup &y = layout_.rows[unit.y], &x = layout_.columns[unit.x];
    const Block part{b.n0, b.n1, std::max(b.y0, y.first_block), std::min(b.y1, y.last_block), std::max(b.x0, x.first_block),
                     std::min(b.x1, x.last_block)};
    if (part.y0 >= part.y1 || part.x0 >= part.x1) continue;
    if (!run_rows(call, in, part, unit, first, last, slot)) run_tables(call, in, part, unit, first, last, by_rows_, slot);
  }
}

/// Panels [first, last) of a unit by way of row pointers; by_rows: tiles stay inside image rows.
template <class T>
void TilePlan<T>::run_tables(const Call& call, const InputView<T>& in, const Block& b, const TileUnit& unit, std::int64_t first,
                             std::int64_t last, bool by_rows, const Slot& slot) const noexcept {
  if (b.x0 >= b.x1) return;
  const std::int64_t pixels = fill_tables(call, in, b, unit, slot);
  for (std::int64_t i = first; i < last; ++i)
    if (const TilePanel& panel = unit.panels[static_cast<std::size_t>(i)]; slot.carry) run_taps(call, unit, panel, pixels, slot);
    else run_panel(call, b, unit, panel, pixels, by_rows, slot);
}

/// The same without tables, where neighbouring pixels are evenly spaced under every tap and in the output; only blocks that
/// the crop cuts take the other way. Panels run last to first: then whole vectors can be stored, because what the last panel
/// writes behind its columns belongs to the first panel of the next pixel. False: it does not apply.
template <class T>
bool TilePlan<T>::run_rows(const Call& call, const InputView<T>& in, const Block& b, const TileUnit& unit, std::int64_t first,
                           std::int64_t last, const Slot& slot) const noexcept {
  const PhaseGroup &y = layout_.rows[unit.y], &x = layout_.columns[unit.x];
  const Axis &ay = p_.geometry.y, &ax = p_.geometry.x;
  if (!direct_ || !by_rows_ || (in_.direct(dtype_of<T>) && !padded_ && x.shifts.size() > 1)) return false;
  std::int64_t low = std::max(b.x0, base::ceil_div(std::max<std::int64_t>(0, ax.crop - x.first_phase), ax.s));
  std::int64_t high = std::min(b.x1, (ax.o + ax.crop - x.first_phase - x.phases) / ax.s + 1);
  if (!padded_ && !x.shifts.empty()) low = std::max(low, x.shifts.back()), high = std::min(high, in_.w + x.shifts.front());
  if (high <= low) return false;
  run_tables(call, in, {b.n0, b.n1, b.y0, b.y1, b.x0, low}, unit, first, last, false, slot);
  run_tables(call, in, {b.n0, b.n1, b.y0, b.y1, high, b.x1}, unit, first, last, false, slot);
  const bool all = first == 0 && last == static_cast<std::int64_t>(unit.panels.size()) && x.phases == ax.s &&
                   x.phases * out_.c % layout_.lanes != 0 && x.phases * out_.c <= kSpilledVectors * layout_.lanes;
  kernels::RowTask<T> task{.taps = slot.table, .stride = in.column, .steps = nullptr, .step_count = 0, .panel = nullptr, .bias = nullptr,
                           .c = nullptr, .c_stride = ax.s * out_.c, .pixels = high - low, .columns = 0, .spills = false, .relu = relu_};
  const bool streams = far_output_ && x.phases * out_.c % layout_.lanes == 0;
  kernels::RowPiece pieces[kernels::tile_max_tile];
  task.pieces = y.phases > 1 ? pieces : nullptr;
  for (std::int64_t k = 0; k < last - first; ++k) {
    const TilePanel& panel = unit.panels[static_cast<std::size_t>(all ? last - 1 - k : first + k)];
    const std::int64_t behind = panel.vectors * layout_.lanes - panel.columns;
    task.panel = call.kernel + panel.packed, task.bias = call.bias + panel.bias, task.columns = panel.columns;
    if (task.pieces) task.piece_count = fill_pieces(unit, panel, pieces);
    task.spills = all && behind <= x.phases * out_.c;
    for (std::int64_t n = b.n0; n < b.n1; ++n)
      for (std::int64_t q = b.y0; q < b.y1; ++q) {
        set_steps(unit, q, task.steps, task.step_count);
        const T** tap = slot.table;
        for (const std::int64_t dy : y.shifts)
          for (const std::int64_t dx : x.shifts) *tap++ = in.base + n * in.image + (q - dy) * in.row + (low - dx) * in.column;
        const std::int64_t oy = q * ay.s + y.first_phase - ay.crop, ox = low * ax.s + x.first_phase - ax.crop;
        task.c = static_cast<T*>(call.y) + ((n * out_.h + oy) * out_.w + ox) * out_.c + (task.pieces ? 0 : panel.first);
        task.streams = streams && begins_lines(task.c, task.c_stride);
        kernels::run_row(row_tiles_, panel.vectors, task);
      }
  }
  if (streams) std::atomic_thread_fence(std::memory_order_seq_cst);   // what went past the caches is there for other threads
  return true;
}

/// Where the columns of a panel go that holds columns of several output rows; returns the number of pieces.
template <class T>
std::int64_t TilePlan<T>::fill_pieces(const TileUnit& unit, const TilePanel& panel, kernels::RowPiece* pieces) const noexcept {
  const std::int64_t row = layout_.columns[unit.x].phases * out_.c, lanes = layout_.lanes;
  kernels::RowPiece* piece = pieces;
  for (std::int64_t n = panel.first; n < panel.first + panel.columns; n += piece++->length) {
    const std::int64_t vector = (n - panel.first) / lanes, lane = (n - panel.first) % lanes;
    const std::int64_t length = std::min({row - n % row, lanes - lane, panel.first + panel.columns - n});
    *piece = {static_cast<int>(vector), lane, length, n / row * out_.w * out_.c + n % row - lane};
  }
  return piece - pieces;
}

/// The steps of a row of blocks: rows of taps that lie above or below the image add nothing.
template <class T>
void TilePlan<T>::set_steps(const TileUnit& unit, std::int64_t q, const kernels::TileStep*& steps, std::int64_t& count) const noexcept {
  const std::vector<std::int64_t>& shifts = layout_.rows[unit.y].shifts;
  const std::int64_t steps_a_row = static_cast<std::int64_t>(layout_.columns[unit.x].shifts.size()) * unit.steps_a_tap;
  std::size_t t0 = 0, t1 = shifts.size();
  while (t1 > t0 && shifts[t1 - 1] > q) --t1;
  while (t0 < t1 && shifts[t0] <= q - in_.h) ++t0;
  steps = unit.steps.data() + static_cast<std::int64_t>(t0) * steps_a_row;
  count = static_cast<std::int64_t>(t1 - t0) * steps_a_row;
}

/// Row pointers and places of every pixel of the unit in the block; returns their number.
template <class T>
std::int64_t TilePlan<T>::fill_tables(const Call& call, const InputView<T>& in, const Block& b, const TileUnit& unit,
                                      const Slot& slot) const noexcept {
  const PhaseGroup &y = layout_.rows[unit.y], &x = layout_.columns[unit.x];
  const T** row = slot.table;
  for (const std::int64_t dy : y.shifts)
    for (const std::int64_t dx : x.shifts)
      for (std::int64_t n = b.n0; n < b.n1; ++n)
        for (std::int64_t q = b.y0; q < b.y1; ++q) {
          const bool inside = q - dy >= 0 && q - dy < in_.h;
          const std::int64_t low = std::clamp<std::int64_t>(dx, b.x0, b.x1);
          const std::int64_t high = inside ? std::clamp<std::int64_t>(in_.w + dx, low, b.x1) : low;
          const T* pixel = in.base + n * in.image + (q - dy) * in.row + (low - dx) * in.column;
          for (std::int64_t j = b.x0; j < low; ++j) *row++ = call.zeros;
          for (std::int64_t j = low; j < high; ++j, pixel += in.column) *row++ = pixel;
          for (std::int64_t j = high; j < b.x1; ++j) *row++ = call.zeros;
        }
  const Axis &ay = p_.geometry.y, &ax = p_.geometry.x;
  const bool last = out_.data_format == DataFormat::channels_last;
  const std::int64_t column_step = last ? out_.c : 1;
  Place* place = slot.places;
  for (std::int64_t n = b.n0; n < b.n1; ++n)
    for (std::int64_t q = b.y0; q < b.y1; ++q) {
      const std::int64_t oy = q * ay.s + y.first_phase - ay.crop;
      const std::int64_t first = last ? (n * out_.h + oy) * out_.w * out_.c : (n * out_.c * out_.h + oy) * out_.w;
      for (std::int64_t j = b.x0; j < b.x1; ++j) {
        const std::int64_t ox = j * ax.s + x.first_phase - ax.crop;
        *place++ = {first + ox * column_step, ox};
      }
    }
  return place - slot.places;
}

template <class T>
void TilePlan<T>::run_panel(const Call& call, const Block& b, const TileUnit& unit, const TilePanel& panel, std::int64_t pixels,
                            bool by_rows, const Slot& slot) const noexcept {
  const PhaseGroup& x = layout_.columns[unit.x];
  const std::int64_t segment = by_rows ? b.x1 - b.x0 : pixels, height = b.y1 - b.y0;
  const std::int64_t tiles = base::ceil_div(segment, std::int64_t{kernels_.rows[panel.vectors]});
  kernels::TileTask<T> task = task_of(call, panel);
  task.tap_stride = pixels, task.steps = unit.steps.data(), task.step_count = static_cast<std::int64_t>(unit.steps.size());
  const std::int64_t elements = unit.taps * layout_.g.ci * panel.vectors * layout_.lanes;
  const T* const next = task.panel + elements;
  Ahead<T> ahead{next, streamed_ ? std::min(next + elements, call.kernel + layout_.packed_elements) : next};
  for (std::int64_t start = 0; start < pixels; start += segment) {
    if (by_rows) set_steps(unit, b.y0 + start / segment % height, task.steps, task.step_count);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = start + segment * tile / tiles, last = start + segment * (tile + 1) / tiles;
      task.rows = slot.table + first, task.more = far_ && last < pixels;
      task.fetch = ahead.take(task.step_count > 0 ? task.step_count * task.steps->length : 0);
      run_tile(call, panel, task, slot.places + first, last - first, x.phases);
    }
  }
}

/// A panel that no cache close by could hold, where few pixels share it: a tap of it, or a stretch of one, meets all its pixels before the
/// next is read, and what follows in the packed kernel is fetched meanwhile. The sums wait in slot.carry.
template <class T>
void TilePlan<T>::run_taps(const Call& call, const TileUnit& unit, const TilePanel& panel, std::int64_t pixels, const Slot& slot) const noexcept {
  const std::int64_t width = panel.vectors * layout_.lanes, most = kernels_.rows[panel.vectors];
  const std::int64_t longest = kStretchBytes / (width * static_cast<std::int64_t>(sizeof(T)));
  const T* rows[most_pixels_by_taps];
  T *sums[most_pixels_by_taps], *met[most_pixels_by_taps];
  for (std::int64_t m = 0; m < pixels; ++m) sums[m] = slot.carry + m * width;
  std::fill_n(slot.carry, pixels * width, T(0));
  kernels::TileTask<T> task = task_of(call, panel);
  task.resumes = task.pauses = true;
  const kernels::TileStep* const end = unit.steps.data() + unit.steps.size();
  for (const kernels::TileStep *step = unit.steps.data(), *next = step; step != end; step = next) {
    std::int64_t products = 0, live = 0;
    while (next != end && next->tap == step->tap && (next == step || products + next->length <= longest)) products += next++->length;
    for (std::int64_t m = 0; m < pixels; ++m)
      if (const T* const row = slot.table[step->tap * pixels + m]; row != call.zeros) rows[live] = row, met[live++] = sums[m];
    task.steps = step, task.step_count = next - step;
    const T* const following = task.panel + (step->position + products) * width;
    Ahead<T> ahead{following, streamed_ ? std::min(following + products * width, call.kernel + layout_.packed_elements) : following};
    const std::int64_t tiles = base::ceil_div(live, most);
    for (std::int64_t tile = 0; tile < tiles; ++tile) {
      const std::int64_t first = live * tile / tiles, last = live * (tile + 1) / tiles;
      task.rows = rows + first, task.carry = met + first, task.fetch = ahead.take(products);
      kernels_.run[panel.vectors][last - first](task);
    }
  }
  task.pauses = false, task.step_count = 0, task.fetch = nullptr;
  for (std::int64_t first = 0; first < pixels; first += most) {
    task.carry = sums + first;
    run_tile(call, panel, task, slot.places + first, std::min(most, pixels - first), layout_.columns[unit.x].phases);
  }
}

template <class T>
kernels::TileTask<T> TilePlan<T>::task_of(const Call& call, const TilePanel& panel) const noexcept {
  return {.rows = nullptr, .tap_stride = 0, .steps = nullptr, .step_count = 0, .panel = call.kernel + panel.packed, .bias = call.bias + panel.bias,
          .c = nullptr, .c_offset = panel.first, .columns = panel.columns, .relu = relu_};
}

template <class T>
void TilePlan<T>::run_tile(const Call& call, const TilePanel& panel, kernels::TileTask<T>& task, const Place* places,
                           std::int64_t count, std::int64_t phases) const noexcept {
  const auto run = kernels_.run[panel.vectors][count];
  T* c[kernels::tile_max_rows];
  task.c = c;
  const bool cut = phases > 1 && std::any_of(places, places + count, [&](const Place& place) {
    return place.column < 0 || place.column + phases > out_.w;
  });
  if (direct_ && !cut) {
    for (std::int64_t m = 0; m < count; ++m) c[m] = static_cast<T*>(call.y) + places[m].element;
    run(task);
    return;
  }
  alignas(64) T buffer[kernels::tile_max_tile];
  const std::int64_t width = panel.vectors * layout_.lanes;
  for (std::int64_t m = 0; m < count; ++m) c[m] = buffer + m * width;
  kernels::TileTask<T> buffered = task;
  buffered.c_offset = 0, buffered.columns = width;
  run(buffered);
  if (!linear_ && !relu_) kernels::activate(p_.activation, buffer, buffer, count * width, e_.isa);
  store_tile<T>(out_, call.y, buffer, width, {panel.first, panel.columns, phases}, places, count);
}

template class TilePlan<float>;
template class TilePlan<double>;

}  // namespace upconv::ops
