// SPDX-License-Identifier: Apache-2.0
#include "ops/phases.h"

#include <algorithm>

#include "base/checked.h"

namespace upconv::ops {

namespace {

std::vector<std::int64_t> shifts_of_phase(const Axis& axis, std::int64_t phase) {
  std::vector<std::int64_t> shifts;
  for (std::int64_t j = 0; j < axis.k; ++j)
    if (j * axis.d % axis.s == phase) shifts.push_back(j * axis.d / axis.s);
  return shifts;
}

/// Blocks [first, last) in which some cell of the group's phases lies in [0, o).
void set_blocks(const Axis& axis, PhaseGroup& group) {
  const std::int64_t last_phase = group.first_phase + group.phases - 1;
  group.first_block = base::ceil_div(std::max<std::int64_t>(0, axis.crop - last_phase), axis.s);
  const std::int64_t reach = axis.o + axis.crop - group.first_phase;   // cells from the group's first one to the end
  group.last_block = reach > 0 ? base::ceil_div(reach, axis.s) : 0;
  group.last_block = std::max(group.last_block, group.first_block);
}

}  // namespace

std::vector<PhaseGroup> phase_groups(const Axis& axis, bool merge) {
  std::vector<PhaseGroup> groups;
  for (std::int64_t phase = 0; phase < axis.s; ++phase) {
    std::vector<std::int64_t> shifts = shifts_of_phase(axis, phase);
    if (merge && !groups.empty() && groups.back().shifts == shifts)
      ++groups.back().phases;
    else
      groups.push_back({.first_phase = phase, .phases = 1, .shifts = std::move(shifts)});
  }
  for (PhaseGroup& group : groups) {
    set_blocks(axis, group);
    std::erase_if(group.shifts, [&](std::int64_t shift) {   // input q - shift must exist for some block q
      return group.last_block - 1 - shift < 0 || group.first_block - shift >= axis.n;
    });
  }
  std::erase_if(groups, [](const PhaseGroup& group) { return group.first_block == group.last_block; });
  return groups;
}

/// Inputs that tap j meets: i with 0 <= i*s + j*d - crop < o.
static std::int64_t inputs_met(const Axis& axis, std::int64_t j) noexcept {
  const std::int64_t low = axis.crop - j * axis.d, high = axis.o + low;
  const std::int64_t first = low > 0 ? base::ceil_div(low, axis.s) : 0;
  const std::int64_t last = high > 0 ? std::min(axis.n, base::ceil_div(high, axis.s)) : 0;
  return std::max<std::int64_t>(0, last - first);
}

std::int64_t live_products(const Axis& axis) noexcept {
  std::int64_t products = 0;
  for (std::int64_t j = 0; j < axis.k; ++j) products += inputs_met(axis, j);
  return products;
}

std::int64_t live_taps(const Axis& axis) noexcept {
  std::int64_t taps = 0;
  for (std::int64_t j = 0; j < axis.k; ++j) taps += inputs_met(axis, j) > 0;
  return taps;
}

}  // namespace upconv::ops
