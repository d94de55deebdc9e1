// SPDX-License-Identifier: Apache-2.0
// Arithmetic rounded to a variable's dtype after every operation, and loops over the elements of variables in it. float32
// and float64 have the machine's own; the half types are computed in double and rounded by hand. Loops are cut into chunks
// of fixed size, so that no result depends on the number of threads.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <type_traits>
#include <vector>

#include "base/element.h"
#include "ops/parallel.h"
#include "upconv/tensor.h"

namespace upconv::nn {

/// A number of a half type: the result of each operation is rounded to it.
template <DType kType>
struct Number {
  double v;
  explicit Number(double value) : v(base::rounded(value, kType)) {}
  explicit operator double() const { return v; }
  friend Number operator+(Number a, Number b) { return Number(a.v + b.v); }
  friend Number operator-(Number a, Number b) { return Number(a.v - b.v); }
  friend Number operator*(Number a, Number b) { return Number(a.v * b.v); }
  friend Number operator/(Number a, Number b) { return Number(a.v / b.v); }
  friend bool operator<(Number a, Number b) { return a.v < b.v; }
  friend Number sqrt(Number a) { return Number(std::sqrt(a.v)); }
  friend Number abs(Number a) { return Number(std::abs(a.v)); }
};
inline float sqrt(float a) { return std::sqrt(a); }
inline double sqrt(double a) { return std::sqrt(a); }
inline float abs(float a) { return std::abs(a); }
inline double abs(double a) { return std::abs(a); }

template <class N> N max(N a, N b) { return a < b ? b : a; }
template <class N> N min(N a, N b) { return b < a ? b : a; }
/// Rounded once, from double.
template <class N> N pow(N a, N b) { return N(std::pow(static_cast<double>(a), static_cast<double>(b))); }
/// A NaN stays one.
template <class N> N sign(N a) { return a < N(0) ? N(-1) : N(0) < a ? N(1) : a; }

template <DType kType> struct Arithmetic { using Stored = std::conditional_t<kType == DType::float16, Half, BFloat16>; using N = Number<kType>; };
template <> struct Arithmetic<DType::float32> { using Stored = float; using N = float; };
template <> struct Arithmetic<DType::float64> { using Stored = double; using N = double; };

template <class N, class Stored>
N loaded(Stored x) {
  if constexpr (std::is_same_v<N, Stored>) return x;
  else return N(static_cast<double>(static_cast<float>(x)));
}
template <class Stored, class N>
Stored stored(N x) {
  if constexpr (std::is_same_v<N, Stored>) return x;
  else return Stored(static_cast<float>(static_cast<double>(x)));
}

/// f.template operator()<kType>() for a dtype.
template <class F>
decltype(auto) for_dtype(DType dtype, F f) {
  switch (dtype) {
    case DType::float32: return f.template operator()<DType::float32>();
    case DType::float64: return f.template operator()<DType::float64>();
    case DType::float16: return f.template operator()<DType::float16>();
    default: return f.template operator()<DType::bfloat16>();
  }
}

/// Who does the work.
struct Workers {
  Executor& executor;
  int threads;

  static constexpr std::int64_t kChunk = 32768;             // elements: some 10 us, several times what waking a thread costs
  /// body(first, last) for consecutive chunks of [0, count).
  template <class Body>
  void chunks(std::int64_t count, const Body& body) const {
    ops::parallel_for(executor, threads, (count + kChunk - 1) / kChunk,
                      [&](std::int64_t i) { body(i * kChunk, std::min(count, (i + 1) * kChunk)); });
  }
};

/// t[i] = f(t[i], others[i]...) for tensors and views of dtype kType.
template <DType kType, class F, class... Others>
void each_as(const Workers& workers, TensorView t, F f, const Others&... others) {
  using N = typename Arithmetic<kType>::N;
  using Stored = typename Arithmetic<kType>::Stored;
  Stored* x = t.template data<Stored>();
  workers.chunks(t.elements(), [=, ... y = others.template data<Stored>()](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) x[i] = stored<Stored>(f(loaded<N>(x[i]), loaded<N>(y[i])...));
  });
}
/// The same for any one dtype; f takes its numbers as `auto`.
template <class F, class... Others>
void each(const Workers& workers, TensorView t, F f, const Others&... others) {
  for_dtype(t.dtype, [&]<DType kType>() { each_as<kType>(workers, t, f, others...); });
}

/// The sum of squares in double: eight chains a chunk, then chunk by chunk.
inline double square_norm(const Workers& workers, ConstTensorView t) {
  std::vector<double> sums(static_cast<std::size_t>(t.elements() / Workers::kChunk + 1));
  for_dtype(t.dtype, [&]<DType kType>() {
    using Stored = typename Arithmetic<kType>::Stored;
    const auto square = [x = t.data<Stored>()](std::int64_t i) {
      const double v = static_cast<double>(loaded<typename Arithmetic<kType>::N>(x[i]));
      return v * v;
    };
    workers.chunks(t.elements(), [&](std::int64_t first, std::int64_t last) {
      std::array<double, 8> chains{};
      std::int64_t i = first;
      for (; i + 8 <= last; i += 8)
        for (std::size_t k = 0; k < 8; ++k) chains[k] += square(i + static_cast<std::int64_t>(k));
      double sum = 0;
      for (; i < last; ++i) sum += square(i);
      for (const double chain : chains) sum += chain;
      sums[static_cast<std::size_t>(first / Workers::kChunk)] = sum;
    });
  });
  double total = 0;
  for (const double sum : sums) total += sum;
  return total;
}

inline bool all_finite(const Workers& workers, const Tensor& t) {
  std::vector<char> whole(static_cast<std::size_t>(t.elements() / Workers::kChunk + 1), 1);
  for_dtype(t.dtype(), [&]<DType kType>() {
    using Stored = typename Arithmetic<kType>::Stored;
    const Stored* x = t.data<Stored>();
    workers.chunks(t.elements(), [&](std::int64_t first, std::int64_t last) {
      bool finite = true;
      for (std::int64_t i = first; i < last; ++i) finite &= std::isfinite(static_cast<double>(loaded<typename Arithmetic<kType>::N>(x[i])));
      whole[static_cast<std::size_t>(first / Workers::kChunk)] = finite;
    });
  });
  return std::all_of(whole.begin(), whole.end(), [](char part) { return part != 0; });
}

}  // namespace upconv::nn
