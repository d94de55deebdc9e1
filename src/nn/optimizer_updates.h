// SPDX-License-Identifier: Apache-2.0
// The update of one parameter by each algorithm, in arithmetic rounded to the variable's dtype after every operation.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/element.h"
#include "upconv/optimizer.h"

namespace upconv::nn {

/// A number of a dtype: the result of each operation is rounded to it.
template <DType kType>
struct Number {
  double v;
  Number(double value) : v(base::rounded(value, kType)) {}
  friend Number operator+(Number a, Number b) { return a.v + b.v; }
  friend Number operator-(Number a, Number b) { return a.v - b.v; }
  friend Number operator*(Number a, Number b) { return a.v * b.v; }
  friend Number operator/(Number a, Number b) { return a.v / b.v; }
  friend Number sqrt(Number a) { return std::sqrt(a.v); }
  friend Number pow(Number a, Number b) { return std::pow(a.v, b.v); }
  friend Number abs(Number a) { return std::abs(a.v); }
  friend Number max(Number a, Number b) { return std::max(a.v, b.v); }
  friend Number min(Number a, Number b) { return std::min(a.v, b.v); }
};

/// One parameter with its gradient and slots; `step` counts updates from 1.
struct Parameter {
  Tensor& value;
  const Tensor& gradient;
  std::vector<Tensor>& slots;
  double learning_rate;
  std::int64_t step;
  double u_product = 1;                      // Nadam: this step's, shared by all parameters
};

template <DType kType>
struct Update {
  using N = Number<kType>;
  Parameter p;

  static N read(const Tensor& t, std::int64_t i) { return base::read_element(t, i); }
  static void write(Tensor& t, std::int64_t i, N n) { base::write_element(t, i, n.v); }
  N lr() const { return p.learning_rate; }
  N steps() const { return static_cast<double>(p.step); }

  /// f(w, g, slots...) for every element; the slots are updated by reference.
  template <class F>
  void each(F f) {
    for (std::int64_t i = 0; i < p.value.elements(); ++i) {
      N w = read(p.value, i);
      std::vector<N> s;
      for (const Tensor& slot : p.slots) s.push_back(read(slot, i));
      f(w, read(p.gradient, i), s);
      write(p.value, i, w);
      for (std::size_t k = 0; k < s.size(); ++k) write(p.slots[k], i, s[k]);
    }
  }

  void operator()(const optimizers::SGD& o) {
    each([&](N& w, N g, std::vector<N>& s) {
      if (o.momentum == 0) return void(w = w - lr() * g);
      s[0] = s[0] * N(o.momentum) - lr() * g;
      w = o.nesterov ? w + (s[0] * N(o.momentum) - lr() * g) : w + s[0];
    });
  }

  void operator()(const optimizers::RMSprop& o) {
    const N rho = o.rho;
    const std::size_t average = o.momentum > 0 ? 2 : 1;
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = s[0] * rho + g * g * N(1 - o.rho);
      N denominator = s[0] + N(o.epsilon);
      if (o.centered) {
        s[average] = s[average] * rho + g * N(1 - o.rho);
        denominator = s[0] - s[average] * s[average] + N(o.epsilon);
      }
      const N increment = lr() * g / sqrt(denominator);
      if (o.momentum <= 0) return void(w = w - increment);
      s[1] = s[1] * N(o.momentum) + increment;
      w = w - s[1];
    });
  }

  template <class Adam>
  void adam(const Adam& o) {
    const N one = 1, b1 = pow(N(o.beta_1), steps()), b2 = pow(N(o.beta_2), steps());
    const N alpha = lr() * sqrt(one - b2) / (one - b1);
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = s[0] + (g - s[0]) * N(1 - o.beta_1);
      s[1] = s[1] + (g * g - s[1]) * N(1 - o.beta_2);
      N v = s[1];
      if (o.amsgrad) v = s[2] = max(s[2], v);
      w = w - s[0] * alpha / (sqrt(v) + N(o.epsilon));
    });
  }
  void operator()(const optimizers::Adam& o) { adam(o); }
  void operator()(const optimizers::AdamW& o) { adam(o); }

  void operator()(const optimizers::Adamax& o) {
    const N b1 = pow(N(o.beta_1), steps());
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = s[0] + (g - s[0]) * N(1 - o.beta_1);
      s[1] = max(N(o.beta_2) * s[1], abs(g));
      w = w - lr() * s[0] / ((N(1) - b1) * (s[1] + N(o.epsilon)));
    });
  }

  void operator()(const optimizers::Nadam& o) {
    const N one = 1, half = 0.5, b1 = o.beta_1, b2 = o.beta_2;
    const N u_t = b1 * (one - half * pow(N(0.96), steps())), u_next = b1 * (one - half * pow(N(0.96), steps() + one));
    const N product = p.u_product, next = product * u_next, power = pow(b2, steps());
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = s[0] + (g - s[0]) * (one - b1);
      s[1] = s[1] + (g * g - s[1]) * (one - b2);
      const N m = u_next * s[0] / (one - next) + (one - u_t) * g / (one - product);
      w = w - m * lr() / (sqrt(s[1] / (one - power)) + N(o.epsilon));
    });
  }

  void operator()(const optimizers::Adagrad& o) {
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = s[0] + g * g;
      w = w - lr() * g / sqrt(s[0] + N(o.epsilon));
    });
  }

  void operator()(const optimizers::Adadelta& o) {
    const N rho = o.rho, rest = 1 - o.rho, epsilon = o.epsilon;
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = rho * s[0] + rest * (g * g);
      const N delta = N(0) - sqrt(s[1] + epsilon) * g / sqrt(s[0] + epsilon);
      s[1] = rho * s[1] + rest * (delta * delta);
      w = w + lr() * delta;
    });
  }

  void operator()(const optimizers::Lion& o) {
    each([&](N& w, N g, std::vector<N>& s) {
      const N direction = s[0] * N(o.beta_1) + g * N(1 - o.beta_1);
      w = w - lr() * N(direction.v > 0 ? 1 : direction.v < 0 ? -1 : direction.v);
      s[0] = s[0] * N(o.beta_2) + g * N(1 - o.beta_2);
    });
  }

  void operator()(const optimizers::Lamb& o) {
    const N one = 1, b1 = pow(N(o.beta_1), steps()), b2 = pow(N(o.beta_2), steps());
    std::vector<N> update;
    double weight_norm = 0, update_norm = 0;
    each([&](N& w, N g, std::vector<N>& s) {
      s[0] = s[0] + (g - s[0]) * N(1 - o.beta_1);
      s[1] = s[1] + (g * g - s[1]) * N(1 - o.beta_2);
      const N u = s[0] / (one - b1) / (sqrt(s[1] / (one - b2)) + N(o.epsilon));
      update.push_back(u);
      weight_norm += w.v * w.v, update_norm += u.v * u.v;
    });
    const N ratio = weight_norm > 0 && update_norm > 0 ? std::sqrt(weight_norm) / std::sqrt(update_norm) : 1.0;
    std::size_t i = 0;
    each([&](N& w, N, std::vector<N>&) { w = w - ratio * lr() * update[i++]; });
  }

  void operator()(const optimizers::Ftrl& o) {
    const N power = -o.learning_rate_power, l1 = o.l1_regularization_strength;
    const N l2 = N(o.l2_regularization_strength) + N(o.beta) / (N(2) * lr());
    each([&](N& w, N g, std::vector<N>& s) {
      const N used = g + N(2 * o.l2_shrinkage_regularization_strength) * w, accumulated = s[0] + g * g;
      s[1] = s[1] + (used - (pow(accumulated, power) - pow(s[0], power)) / lr() * w);
      const N quadratic = pow(accumulated, power) / lr() + N(2) * l2;
      w = (max(min(s[1], l1), N(0) - l1) - s[1]) / quadratic;
      s[0] = accumulated;
    });
  }

  /// Slots: row means r, column means c (both of the last two axes; unused below rank 2), velocity v.
  void operator()(const optimizers::Adafactor& o) {
    const N one = 1, t = steps();
    const N rate = o.relative_step && !o.learning_rate.is_schedule() ? min(lr(), one / sqrt(t)) : lr();
    const N rho = min(rate, one / sqrt(t)), beta = one - pow(t, N(o.beta_2_decay)), rest = one - beta;
    const N alpha = max(N(o.epsilon_2), rms(p.value)) * rho;
    const std::int64_t count = p.value.elements();
    const bool factored = p.value.shape().rank() >= 2;
    const std::int64_t columns = factored ? p.value.shape().at(-1) : 1, rows = factored ? p.value.shape().at(-2) : 1;
    Tensor &r = p.slots[0], &c = p.slots[1], &v = p.slots[2];
    const auto square = [&](std::int64_t i) { return (read(p.gradient, i) * read(p.gradient, i)).v + o.epsilon_1; };
    if (!factored) {
      for (std::int64_t i = 0; i < count; ++i) write(v, i, beta * read(v, i) + rest * N(square(i)));
    } else {
      for (std::int64_t m = 0; m < count / (rows * columns); ++m) {
        const std::int64_t first = m * rows * columns;
        double mean_r = 0;
        for (std::int64_t i = 0; i < rows; ++i) {
          double mean = 0;
          for (std::int64_t j = 0; j < columns; ++j) mean += square(first + i * columns + j) / static_cast<double>(columns);
          write(r, m * rows + i, beta * read(r, m * rows + i) + rest * N(mean));
          mean_r += read(r, m * rows + i).v / static_cast<double>(rows);
        }
        for (std::int64_t j = 0; j < columns; ++j) {
          double mean = 0;
          for (std::int64_t i = 0; i < rows; ++i) mean += square(first + i * columns + j) / static_cast<double>(rows);
          write(c, m * columns + j, beta * read(c, m * columns + j) + rest * N(mean));
        }
        for (std::int64_t i = 0; i < rows; ++i)
          for (std::int64_t j = 0; j < columns; ++j)
            write(v, first + i * columns + j, read(r, m * rows + i) / N(mean_r) * read(c, m * columns + j));
      }
    }
    Tensor u = p.gradient;
    for (std::int64_t i = 0; i < count; ++i) write(u, i, read(p.gradient, i) / sqrt(read(v, i)));
    const N scale = max(one, rms(u) / N(o.clip_threshold));
    for (std::int64_t i = 0; i < count; ++i) write(p.value, i, read(p.value, i) - alpha * (read(u, i) / scale));
  }

  static N rms(const Tensor& t) {
    double square = 0;
    for (std::int64_t i = 0; i < t.elements(); ++i) square += base::read_element(t, i) * base::read_element(t, i);
    return t.elements() ? std::sqrt(square / static_cast<double>(t.elements())) : 0.0;
  }
};

}  // namespace upconv::nn
