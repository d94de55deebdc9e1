// SPDX-License-Identifier: Apache-2.0
// The update of one parameter by each algorithm, in arithmetic rounded to the variable's dtype after every operation.
#pragma once

#include <array>
#include <cmath>
#include <vector>

#include "nn/optimizer_arithmetic.h"
#include "upconv/optimizer.h"

namespace upconv::nn {

/// One parameter with its gradient and slots; `step` counts updates from 1.
struct Parameter {
  TensorView value;
  const Tensor& gradient;
  std::vector<Tensor>& slots;
  Workers workers;
  double learning_rate;
  std::int64_t step;
  double u_product = 1;                      // Nadam: this step's, shared by all parameters
};

template <DType kType>
struct Update {
  using N = typename Arithmetic<kType>::N;
  using Stored = typename Arithmetic<kType>::Stored;
  Parameter p;

  N rate() const { return N(p.learning_rate); }
  N steps() const { return N(static_cast<double>(p.step)); }

  /// f(w, g, slots) for every element; w and the first kSlots slots are updated by reference.
  template <std::size_t kSlots, class F>
  void each(F f) const {
    Stored* w = p.value.data<Stored>();
    const Stored* g = p.gradient.data<Stored>();
    std::array<Stored*, kSlots> slots{};
    for (std::size_t k = 0; k < kSlots; ++k) slots[k] = p.slots[k].data<Stored>();
    p.workers.chunks(p.value.elements(), [=](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        N value = loaded<N>(w[i]);
        std::array<N, kSlots> s = [&]<std::size_t... k>(std::index_sequence<k...>) {
          return std::array<N, kSlots>{loaded<N>(slots[k][i])...};
        }(std::make_index_sequence<kSlots>());
        f(value, loaded<N>(g[i]), s);
        w[i] = stored<Stored>(value);
        for (std::size_t k = 0; k < kSlots; ++k) slots[k][i] = stored<Stored>(s[k]);
      }
    });
  }

  void operator()(const optimizers::SGD& o) const {
    const N lr = rate(), momentum = N(o.momentum);
    if (o.momentum == 0) return each<0>([=](N& w, N g, auto&) { w = w - lr * g; });
    if (o.nesterov)
      return each<1>([=](N& w, N g, auto& s) {
        s[0] = s[0] * momentum - lr * g;
        w = w + (s[0] * momentum - lr * g);
      });
    each<1>([=](N& w, N g, auto& s) {
      s[0] = s[0] * momentum - lr * g;
      w = w + s[0];
    });
  }

  void operator()(const optimizers::RMSprop& o) const {
    const N lr = rate(), rho = N(o.rho), rest = N(1 - o.rho), epsilon = N(o.epsilon), momentum = N(o.momentum);
    // Slots: the mean of squares, the momentum where there is one, the mean where it is centered.
    const auto step = [=](N& w, N g, N& square, N* mean, N* moved) {
      square = square * rho + g * g * rest;
      N denominator = square + epsilon;
      if (mean) {
        *mean = *mean * rho + g * rest;
        denominator = square - *mean * *mean + epsilon;
      }
      const N increment = lr * g / sqrt(denominator);
      if (!moved) return void(w = w - increment);
      *moved = *moved * momentum + increment;
      w = w - *moved;
    };
    if (o.momentum > 0 && o.centered) return each<3>([=](N& w, N g, auto& s) { step(w, g, s[0], &s[2], &s[1]); });
    if (o.momentum > 0) return each<2>([=](N& w, N g, auto& s) { step(w, g, s[0], nullptr, &s[1]); });
    if (o.centered) return each<2>([=](N& w, N g, auto& s) { step(w, g, s[0], &s[1], nullptr); });
    each<1>([=](N& w, N g, auto& s) { step(w, g, s[0], nullptr, nullptr); });
  }

  template <class Adam>
  void adam(const Adam& o) const {
    const N one = N(1), alpha = rate() * sqrt(one - pow(N(o.beta_2), steps())) / (one - pow(N(o.beta_1), steps()));
    const N rest_1 = N(1 - o.beta_1), rest_2 = N(1 - o.beta_2), epsilon = N(o.epsilon);
    const auto step = [=](N& w, N g, auto& s) {
      s[0] = s[0] + (g - s[0]) * rest_1;
      s[1] = s[1] + (g * g - s[1]) * rest_2;
      N v = s[1];
      if constexpr (std::tuple_size_v<std::remove_reference_t<decltype(s)>> == 3) v = s[2] = max(s[2], v);
      w = w - s[0] * alpha / (sqrt(v) + epsilon);
    };
    if (o.amsgrad) each<3>(step);
    else each<2>(step);
  }
  void operator()(const optimizers::Adam& o) const { adam(o); }
  void operator()(const optimizers::AdamW& o) const { adam(o); }

  void operator()(const optimizers::Adamax& o) const {
    const N lr = rate(), rest = N(1 - o.beta_1), beta_2 = N(o.beta_2), epsilon = N(o.epsilon), unbias = N(1) - pow(N(o.beta_1), steps());
    each<2>([=](N& w, N g, auto& s) {
      s[0] = s[0] + (g - s[0]) * rest;
      s[1] = max(beta_2 * s[1], abs(g));
      w = w - lr * s[0] / (unbias * (s[1] + epsilon));
    });
  }

  void operator()(const optimizers::Nadam& o) const {
    const N lr = rate(), one = N(1), half = N(0.5), b1 = N(o.beta_1), b2 = N(o.beta_2), epsilon = N(o.epsilon), decay = N(0.96);
    const N u_t = b1 * (one - half * pow(decay, steps())), u_next = b1 * (one - half * pow(decay, steps() + one));
    const N product = N(p.u_product), unbias_next = one - product * u_next, unbias = one - product, unbias_v = one - pow(b2, steps());
    each<2>([=](N& w, N g, auto& s) {
      s[0] = s[0] + (g - s[0]) * (one - b1);
      s[1] = s[1] + (g * g - s[1]) * (one - b2);
      const N m = u_next * s[0] / unbias_next + (one - u_t) * g / unbias;
      w = w - m * lr / (sqrt(s[1] / unbias_v) + epsilon);
    });
  }

  void operator()(const optimizers::Adagrad& o) const {
    const N lr = rate(), epsilon = N(o.epsilon);
    each<1>([=](N& w, N g, auto& s) {
      s[0] = s[0] + g * g;
      w = w - lr * g / sqrt(s[0] + epsilon);
    });
  }

  void operator()(const optimizers::Adadelta& o) const {
    const N lr = rate(), zero = N(0), rho = N(o.rho), rest = N(1 - o.rho), epsilon = N(o.epsilon);
    each<2>([=](N& w, N g, auto& s) {
      s[0] = rho * s[0] + rest * (g * g);
      const N delta = zero - sqrt(s[1] + epsilon) * g / sqrt(s[0] + epsilon);
      s[1] = rho * s[1] + rest * (delta * delta);
      w = w + lr * delta;
    });
  }

  void operator()(const optimizers::Lion& o) const {
    const N lr = rate(), beta_1 = N(o.beta_1), rest_1 = N(1 - o.beta_1), beta_2 = N(o.beta_2), rest_2 = N(1 - o.beta_2);
    each<1>([=](N& w, N g, auto& s) {
      w = w - lr * sign(s[0] * beta_1 + g * rest_1);
      s[0] = s[0] * beta_2 + g * rest_2;
    });
  }

  void operator()(const optimizers::Lamb& o) const {
    const N lr = rate(), one = N(1), unbias_1 = one - pow(N(o.beta_1), steps()), unbias_2 = one - pow(N(o.beta_2), steps());
    const N rest_1 = N(1 - o.beta_1), rest_2 = N(1 - o.beta_2), epsilon = N(o.epsilon);
    each<2>([=](N&, N g, auto& s) {
      s[0] = s[0] + (g - s[0]) * rest_1;
      s[1] = s[1] + (g * g - s[1]) * rest_2;
    });
    const auto direction = [=](N m, N v) { return m / unbias_1 / (sqrt(v / unbias_2) + epsilon); };
    Tensor update = p.slots[0];
    each_as<kType>(p.workers, update, direction, p.slots[1]);
    const double weight_norm = std::sqrt(square_norm(p.workers, p.value)), update_norm = std::sqrt(square_norm(p.workers, update));
    const N ratio = N(weight_norm > 0 && update_norm > 0 ? weight_norm / update_norm : 1.0);
    each_as<kType>(p.workers, p.value, [=](N w, N u) { return w - ratio * lr * u; }, update);
  }

  void operator()(const optimizers::Ftrl& o) const {
    const N lr = rate(), two = N(2), power = N(-o.learning_rate_power), l1 = N(o.l1_regularization_strength);
    const N shrinkage = N(2 * o.l2_shrinkage_regularization_strength);
    const N l2 = N(o.l2_regularization_strength) + N(o.beta) / (two * lr), minus_l1 = N(0) - l1;
    each<2>([=](N& w, N g, auto& s) {
      const N used = g + shrinkage * w, accumulated = s[0] + g * g;
      s[1] = s[1] + (used - (pow(accumulated, power) - pow(s[0], power)) / lr * w);
      const N quadratic = pow(accumulated, power) / lr + two * l2;
      w = (max(min(s[1], l1), minus_l1) - s[1]) / quadratic;
      s[0] = accumulated;
    });
  }

  /// Slots: row means r, column means c (both of the last two axes; unused below rank 2), velocity v.
  void operator()(const optimizers::Adafactor& o) const {
    const N one = N(1), t = steps();
    const N lr = o.relative_step && !o.learning_rate.is_schedule() ? min(rate(), one / sqrt(t)) : rate();
    const N beta = one - pow(t, N(o.beta_2_decay)), rest = one - beta;
    const N alpha = max(N(o.epsilon_2), rms(p.value)) * min(lr, one / sqrt(t));
    if (p.value.shape.rank() >= 2) {
      factored_velocity(o.epsilon_1, beta, rest);
    } else {
      each_as<kType>(p.workers, p.slots[2], [=, epsilon = o.epsilon_1](N v, N g) { return beta * v + rest * N(static_cast<double>(g * g) + epsilon); }, p.gradient);
    }
    Tensor u = p.gradient;
    each_as<kType>(p.workers, u, [](N g, N v) { return g / sqrt(v); }, p.slots[2]);
    const N scale = max(one, rms(u) / N(o.clip_threshold));
    each_as<kType>(p.workers, p.value, [=](N w, N direction) { return w - alpha * (direction / scale); }, u);
  }

 private:
  /// v = r * c / mean(r), where r and c are running means of the squared gradient along rows and columns.
  void factored_velocity(double epsilon, N beta, N rest) const {
    const std::int64_t columns = p.value.shape.at(-1), rows = p.value.shape.at(-2), matrix = rows * columns;
    if (matrix == 0) return;
    const Stored* g = p.gradient.data<Stored>();
    Stored *r = p.slots[0].data<Stored>(), *c = p.slots[1].data<Stored>(), *v = p.slots[2].data<Stored>();
    const auto running = [=](Stored& mean, double sum, std::int64_t count) {
      mean = stored<Stored>(beta * loaded<N>(mean) + rest * N(sum / static_cast<double>(count)));
      return loaded<N>(mean);
    };
    std::vector<double> sums(static_cast<std::size_t>(p.value.elements() / rows));
    ops::parallel_for(p.workers.executor, p.workers.threads, p.value.elements() / matrix, [=, all = sums.data()](std::int64_t m) {
      double* column_sums = all + m * columns;
      double mean_r = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        double row_sum = 0;
        for (std::int64_t j = 0; j < columns; ++j) {
          const N x = loaded<N>(g[m * matrix + i * columns + j]);
          const double square = static_cast<double>(x * x) + epsilon;
          row_sum += square, column_sums[j] += square;
        }
        mean_r += static_cast<double>(running(r[m * rows + i], row_sum, columns)) / static_cast<double>(rows);
      }
      for (std::int64_t j = 0; j < columns; ++j) running(c[m * columns + j], column_sums[j], rows);
      for (std::int64_t i = 0; i < rows; ++i) {
        const N share = loaded<N>(r[m * rows + i]) / N(mean_r);
        for (std::int64_t j = 0; j < columns; ++j) v[m * matrix + i * columns + j] = stored<Stored>(share * loaded<N>(c[m * columns + j]));
      }
    });
  }

  N rms(ConstTensorView t) const {
    return N(t.elements() ? std::sqrt(square_norm(p.workers, t) / static_cast<double>(t.elements())) : 0.0);
  }
};

}  // namespace upconv::nn
