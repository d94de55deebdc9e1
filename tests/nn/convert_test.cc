// SPDX-License-Identifier: Apache-2.0
// torch's transposed convolution by its definition, beside a layer with the converted kernel and padding.
#include <gtest/gtest.h>

#include <cmath>

#include "upconv/conv2d_transpose.h"
#include "upconv/convert.h"
#include "upconv/error.h"

namespace upconv {
namespace {

Tensor numbers(const Shape& shape, double seed) {
  Tensor t(shape, DType::float64);
  for (std::int64_t i = 0; i < t.elements(); ++i) t.data<double>()[i] = std::sin(seed + 0.7 * static_cast<double>(i * i % 97));
  return t;
}

/// One image of (ci, n, n), weight (ci, co, k, k): torch.nn.functional.conv_transpose2d.
Tensor torch_output(const Tensor& x, const Tensor& w, std::int64_t s, std::int64_t p, std::int64_t op) {
  const std::int64_t ci = w.shape()[0], co = w.shape()[1], k = w.shape()[2], n = x.shape()[2], o = (n - 1) * s - 2 * p + k + op;
  Tensor y({1, co, o, o}, DType::float64);
  for (std::int64_t c = 0; c < ci; ++c)
    for (std::int64_t f = 0; f < co; ++f)
      for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j < n; ++j)
          for (std::int64_t a = 0; a < k; ++a)
            for (std::int64_t b = 0; b < k; ++b) {
              const std::int64_t row = i * s + a - p, column = j * s + b - p;
              if (row < 0 || row >= o || column < 0 || column >= o) continue;
              y.data<double>()[(f * o + row) * o + column] += x.data<double>()[(c * n + i) * n + j] * w.data<double>()[((c * co + f) * k + a) * k + b];
            }
  return y;
}

TEST(Convert, TorchLayersComputeTheSame) {
  int same = 0, impossible = 0;
  for (std::int64_t k = 1; k < 6; ++k)
    for (std::int64_t s = 1; s < 4; ++s)
      for (std::int64_t p = 0; p < 3; ++p)
        for (std::int64_t op = 0; op < s; ++op) {
          KerasPadding padding;
          try {
            padding = padding_from_torch(k, s, p, op);
          } catch (const ArgumentError&) {
            ++impossible;
            continue;
          }
          const Tensor x = numbers({1, 3, 5, 5}, 1), w = numbers({3, 2, k, k}, 2), expected = torch_output(x, w, s, p, op);
          Conv2DTransposeOptions o{.strides = s, .padding = padding.padding, .data_format = "channels_first", .use_bias = false, .dtype = "float64"};
          if (padding.output_padding) o.output_padding = Size2(*padding.output_padding);
          Conv2DTranspose layer(2, k, o);
          layer.build(x.shape());
          layer.set_weights(std::vector{kernel_from_torch(w)});
          const Tensor y = layer(x);
          ASSERT_EQ(y.shape(), expected.shape()) << "k " << k << " s " << s << " p " << p << " op " << op;
          for (std::int64_t i = 0; i < y.elements(); ++i) ASSERT_NEAR(y.data<double>()[i], expected.data<double>()[i], 1e-12);
          ++same;
        }
  EXPECT_GE(same, 25);
  EXPECT_GE(impossible, 5);
}

TEST(Convert, AndBack) {
  const Tensor w = numbers({3, 2, 4, 5}, 1), k = kernel_from_torch(w), back = kernel_to_torch(k);
  EXPECT_EQ(k.shape(), (Shape{4, 5, 2, 3}));
  for (std::int64_t i = 0; i < w.elements(); ++i) EXPECT_EQ(w.data<double>()[i], back.data<double>()[i]);
  EXPECT_EQ(padding_from_torch(4, 2, 1), (KerasPadding{"same", {}}));
  EXPECT_THROW(kernel_from_torch(Tensor({2, 2})), ArgumentError);
}

}  // namespace
}  // namespace upconv
