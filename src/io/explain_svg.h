// SPDX-License-Identifier: Apache-2.0
// The picture of a transposed convolution: input cells, kernel windows, output cells.
#pragma once

#include <string>

#include "ops/geometry.h"

namespace upconv::io {

/// How many kernel elements reach output cell `o` of an axis.
std::int64_t windows_over(const ops::Axis& axis, std::int64_t o);
/// How many kernel elements land on phase p (0 <= p < stride) of every stride.
std::int64_t taps_of_phase(const ops::Axis& axis, std::int64_t p);
/// "" when every phase of both axes has equally many taps, else what the picture will show and how to avoid it.
std::string checkerboard_warning(const ops::Axis& y, const ops::Axis& x);

/// A whole SVG file. An input too large to draw is cut to the part that shows the pattern, and the picture says so.
/// Throws ArgumentError when one kernel window alone is too large to draw.
std::string explain_svg(ops::Axis y, ops::Axis x, Padding padding);

}  // namespace upconv::io
