// SPDX-License-Identifier: Apache-2.0
#include "io/picture_math.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace upconv::io {
namespace {

double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

float round_to_8_bits(double value) { return static_cast<float>(std::floor(std::clamp(value, 0.0, 1.0) * 255 + 0.5) / 255); }

/// Which input cells make an output cell, and with which weights; at the border the weights of the cells that exist.
struct Taps {
  std::int64_t first;
  std::vector<double> weights;
};

Taps taps_at(std::int64_t o, std::int64_t from, std::int64_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to), stretch = std::max(scale, 1.0), support = 2 * stretch;
  const double centre = (static_cast<double>(o) + 0.5) * scale;
  const std::int64_t first = std::max<std::int64_t>(static_cast<std::int64_t>(centre - support + 0.5), 0);
  const std::int64_t last = std::min(static_cast<std::int64_t>(centre + support + 0.5), from);
  Taps taps{first, {}};
  double sum = 0;
  for (std::int64_t i = first; i < last; ++i) {
    taps.weights.push_back(cubic((static_cast<double>(i) + 0.5 - centre) / stretch));
    sum += taps.weights.back();
  }
  for (double& w : taps.weights) w /= sum;
  return taps;
}

/// (outer, from, inner) -> (outer, to, inner).
Tensor resize_axis(ConstTensorView x, std::int64_t outer, std::int64_t from, std::int64_t to, std::int64_t inner) {
  Tensor y({outer, to, inner});
  const float* in = x.data<float>();
  float* out = y.data<float>();
  for (std::int64_t o = 0; o < to; ++o) {
    const Taps taps = taps_at(o, from, to);
    for (std::int64_t p = 0; p < outer; ++p)
      for (std::int64_t q = 0; q < inner; ++q) {
        double sum = 0;
        for (std::size_t t = 0; t < taps.weights.size(); ++t)
          sum += taps.weights[t] * static_cast<double>(in[(p * from + taps.first + static_cast<std::int64_t>(t)) * inner + q]);
        out[(p * to + o) * inner + q] = round_to_8_bits(sum);
      }
  }
  return y;
}

}  // namespace

Tensor to_8_bits(ConstTensorView picture) {
  Tensor y = Tensor::copy_of(picture);
  for (float& v : y.span<float>()) v = static_cast<float>(std::rint(std::clamp(static_cast<double>(v), 0.0, 1.0) * 255) / 255);
  return y;
}

Tensor bicubic(ConstTensorView picture, std::int64_t height, std::int64_t width) {
  const std::int64_t h = picture.shape[0], w = picture.shape[1], c = picture.shape[2];
  const Tensor wide = resize_axis(picture, h, w, width, c);
  return resize_axis(wide, 1, h, height, width * c).reshaped({height, width, c});
}

double psnr(ConstTensorView a, ConstTensorView b, std::int64_t edge) {
  const std::int64_t h = a.shape[0], w = a.shape[1], c = a.shape[2];
  const float *pa = a.data<float>(), *pb = b.data<float>();
  double sum = 0;
  for (std::int64_t y = edge; y < h - edge; ++y)
    for (std::int64_t i = (y * w + edge) * c; i < (y * w + w - edge) * c; ++i) {
      const double difference = static_cast<double>(pa[i]) - static_cast<double>(pb[i]);
      sum += difference * difference;
    }
  return -10 * std::log10(sum / static_cast<double>((h - 2 * edge) * (w - 2 * edge) * c));
}

Tensor side_by_side(std::span<const Tensor> pictures, std::int64_t gap) {
  const std::int64_t h = pictures[0].shape()[0], c = pictures[0].shape()[2];
  std::int64_t width = -gap;
  for (const Tensor& p : pictures) width += p.shape()[1] + gap;
  Tensor sheet({h, width, c});
  std::ranges::fill(sheet.span<float>(), 1.0f);
  std::int64_t left = 0;
  for (const Tensor& p : pictures) {
    const std::int64_t row = p.shape()[1] * c;
    for (std::int64_t y = 0; y < h; ++y)
      std::memcpy(sheet.data<float>() + (y * width + left) * c, p.data<float>() + y * row, static_cast<std::size_t>(row) * sizeof(float));
    left += p.shape()[1] + gap;
  }
  return sheet;
}

}  // namespace upconv::io
