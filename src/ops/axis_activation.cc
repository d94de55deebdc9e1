// SPDX-License-Identifier: Apache-2.0
#include "ops/axis_activation.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "base/element.h"
#include "base/lines.h"

namespace upconv::ops {

namespace {

using Line = std::vector<double>;

using base::Lines;
using base::lines_along;

void gather(ConstTensorView t, std::int64_t start, const std::vector<std::int64_t>& steps, Line& line) {
  line.resize(steps.size());
  for (std::size_t k = 0; k < steps.size(); ++k) line[k] = base::read_element(t, start + steps[k]);
}

/// Line by line: f(line of a, line of b) changes the first, which goes to `out` as far as its lines reach. The lines of the
/// three tensors have their own lengths and the same order; without b its line is empty. The buffers are made once.
template <class F>
void for_each_line(ConstTensorView a, std::optional<ConstTensorView> b, TensorView out, std::span<const int> axes, F f) {
  const Lines in = lines_along(a.shape, axes), second = b ? lines_along(b->shape, axes) : Lines{}, to = lines_along(out.shape, axes);
  Line line, other;
  for (std::size_t i = 0; i < to.starts.size(); ++i) {
    gather(a, in.starts[i], in.steps, line);
    if (b) gather(*b, second.starts[i], second.steps, other);
    f(line, other);
    for (std::size_t k = 0; k < to.steps.size(); ++k) base::write_element(out, to.starts[i] + to.steps[k], line[k]);
  }
}

double sum(const Line& line) { return std::accumulate(line.begin(), line.end(), 0.0); }
double largest(const Line& line) {
  return std::accumulate(line.begin(), line.end(), -std::numeric_limits<double>::infinity(),
                         [](double m, double v) { return v > m || std::isnan(v) ? v : m; });
}
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

void softmax(ConstTensorView x, TensorView y, std::span<const int> axes) {
  for_each_line(x, {}, y, axes, [](Line& a, const Line&) {
    const double m = largest(a);
    for (double& v : a) v = std::exp(v - m);
    const double total = sum(a);
    for (double& v : a) v /= total;
  });
}

void log_softmax(ConstTensorView x, TensorView y, std::span<const int> axes) {
  for_each_line(x, {}, y, axes, [](Line& a, const Line&) {
    const double m = largest(a);
    double total = 0;
    for (const double v : a) total += std::exp(v - m);
    const double log_total = std::log(total);
    for (double& v : a) v = v - m - log_total;
  });
}

void softmax_gradient(ConstTensorView y, ConstTensorView dy, TensorView dx, std::span<const int> axes) {
  for_each_line(y, dy, dx, axes, [](Line& a, const Line& d) {
    const double mean = std::inner_product(a.begin(), a.end(), d.begin(), 0.0);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] *= d[i] - mean;
  });
}

void log_softmax_gradient(ConstTensorView y, ConstTensorView dy, TensorView dx, std::span<const int> axes) {
  for_each_line(y, dy, dx, axes, [](Line& a, const Line& d) {
    const double total = sum(d);
    for (std::size_t i = 0; i < a.size(); ++i) a[i] = d[i] - std::exp(a[i]) * total;
  });
}

void glu(ConstTensorView x, TensorView y, int axis) {
  for_each_line(x, {}, y, {&axis, 1}, [](Line& a, const Line&) {
    const std::size_t half = a.size() / 2;
    for (std::size_t i = 0; i < half; ++i) a[i] *= sigmoid(a[half + i]);
  });
}

void glu_gradient(ConstTensorView x, ConstTensorView dy, TensorView dx, int axis) {
  for_each_line(x, dy, dx, {&axis, 1}, [](Line& a, const Line& d) {
    const std::size_t half = a.size() / 2;
    for (std::size_t i = 0; i < half; ++i) {
      const double s = sigmoid(a[half + i]), value = a[i];
      a[i] = d[i] * s;
      a[half + i] = d[i] * value * s * sigmoid(-a[half + i]);
    }
  });
}

namespace {

/// Places of a line's elements in descending order, equal ones in their order, and how many of them are in the support.
struct Support {
  std::vector<std::size_t> order;
  std::size_t size = 0;
  double threshold = 0;
};

Support support_of(const Line& line) {
  Support s;
  s.order.resize(line.size());
  std::iota(s.order.begin(), s.order.end(), std::size_t{0});
  std::stable_sort(s.order.begin(), s.order.end(), [&](std::size_t i, std::size_t j) { return line[i] > line[j]; });
  double running = 0, running_sums = 0;
  for (std::size_t k = 1; k <= line.size(); ++k) {
    const double value = line[s.order[k - 1]];
    running += value;
    if (value - (running - 1) / static_cast<double>(k) > 0) running_sums += running, s.size = k;
  }
  s.threshold = (running_sums - 1) / static_cast<double>(s.size);
  return s;
}

}  // namespace

void sparsemax(ConstTensorView x, TensorView y, int axis) {
  for_each_line(x, {}, y, {&axis, 1}, [](Line& a, const Line&) {
    const double threshold = support_of(a).threshold;
    for (double& v : a) v = v - threshold < 0 ? 0 : v - threshold;
  });
}

void sparsemax_gradient(ConstTensorView x, ConstTensorView dy, TensorView dx, int axis) {
  for_each_line(x, dy, dx, {&axis, 1}, [](Line& a, const Line& d) {
    const Support s = support_of(a);
    Line out(a.size());
    double total = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (a[i] > s.threshold) total += d[i], out[i] = d[i];
    for (std::size_t rank = 0; rank < s.size; ++rank)
      out[s.order[rank]] -= total * static_cast<double>(s.size - rank) / static_cast<double>(s.size);
    a = std::move(out);
  });
}

}  // namespace upconv::ops
