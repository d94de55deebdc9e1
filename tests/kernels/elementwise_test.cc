// SPDX-License-Identifier: Apache-2.0
// Every element-wise function on every instruction set of this machine, against formulas in long double: error in units of
// the last place over the whole range of float32 (2 are promised, 0.5 measured, 1 allowed here), the same bits at any
// offset and count, and gradients.
#include "kernels/elementwise.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "kernels/isa.h"

namespace upconv::kernels {
namespace {

using Real = long double;
using Function = std::function<Real(Real)>;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Case {
  const char* name;
  ActivationSpec spec;
  Function value, slope;
};

Real sigmoid(Real x) { return 1 / (1 + std::exp(-x)); }
Real normal(Real x) { return std::erfc(-x / std::sqrt(Real{2})) / 2; }
Real softplus(Real x) { return std::max(x, Real{0}) + std::log1p(std::exp(-std::abs(x))); }
Real clip(Real x, Real low, Real high) { return std::min(std::max(x, low), high); }
Real square(Real x) { return x * x; }

/// tanh(softplus(x)) without cancellation.
Real mish_factor(Real x) {
  const Real n = std::exp(std::min(x, Real{100}));
  return n * (n + 2) / (n * (n + 2) + 2);
}
Real tanh_shrink(Real x) {                                // the sum of the series beats the difference near 0
  if (std::abs(x) > 0.3L) return x - std::tanh(x);
  const Real u = x * x;                                   // continued fraction: tanh x = x / (1 + u / (3 + u / (5 + ...)))
  Real tail = 31;
  for (int k = 29; k >= 3; k -= 2) tail = static_cast<Real>(k) + u / tail;
  return x * (u / tail) / (1 + u / tail);
}
const Real kScale = 1.05070098735548049342L, kAlpha = 1.67326324235437728482L, kSlope = std::sqrt(2 / std::acos(Real{-1}));
Real gelu_inner(Real x) { return kSlope * (x + 0.044715L * x * x * x); }

const std::vector<Case>& transcendental() {
  using A = Activation;
  static const std::vector<Case> cases = {
      {"elu", {A::elu, 1, 0, 0}, [](Real x) { return x > 0 ? x : std::expm1(x); }, [](Real x) { return x > 0 ? 1 : std::exp(x); }},
      {"selu", {A::selu, 0, 0, 0}, [](Real x) { return kScale * (x > 0 ? x : kAlpha * std::expm1(x)); },
       [](Real x) { return kScale * (x > 0 ? 1 : kAlpha * std::exp(x)); }},
      {"celu", {A::celu, 2, 0, 0}, [](Real x) { return x > 0 ? x : 2 * std::expm1(x / 2); },
       [](Real x) { return x > 0 ? 1 : std::exp(x / 2); }},
      {"gelu", {A::gelu, 0, 0, 0}, [](Real x) { return x * normal(x); },
       [](Real x) { return normal(x) + x * kSlope / 2 * std::exp(-x * x / 2); }},
      {"gelu_tanh", {A::gelu_tanh, 0, 0, 0}, [](Real x) { return x * sigmoid(2 * gelu_inner(x)); },
       [](Real x) {
         const Real u = 2 * gelu_inner(x);
         return sigmoid(u) + x * 2 * kSlope * (1 + 3 * 0.044715L * x * x) * sigmoid(u) * sigmoid(-u);
       }},
      {"silu", {A::silu, 0, 0, 0}, [](Real x) { return x * sigmoid(x); },
       [](Real x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }},
      {"mish", {A::mish, 0, 0, 0}, [](Real x) { return x * mish_factor(x); },
       [](Real x) { return mish_factor(x) + x * (1 - square(mish_factor(x))) * sigmoid(x); }},
      {"sigmoid", {A::sigmoid, 0, 0, 0}, sigmoid, [](Real x) { return sigmoid(x) * sigmoid(-x); }},
      {"log_sigmoid", {A::log_sigmoid, 0, 0, 0}, [](Real x) { return -softplus(-x); }, [](Real x) { return sigmoid(-x); }},
      {"softplus", {A::softplus, 0, 0, 0}, softplus, sigmoid},
      {"tanh", {A::tanh, 0, 0, 0}, [](Real x) { return std::tanh(x); }, [](Real x) { return 1 / square(std::cosh(x)); }},
      {"tanh_shrink", {A::tanh_shrink, 0, 0, 0}, tanh_shrink, [](Real x) { return square(std::tanh(x)); }},
      {"exponential", {A::exponential, 0, 0, 0}, [](Real x) { return std::exp(x); }, [](Real x) { return std::exp(x); }},
  };
  return cases;
}

/// Keras's formulas for the functions without transcendental parts; slopes away from kinks.
const std::vector<Case>& algebraic() {
  using A = Activation;
  static const std::vector<Case> cases = {
      {"linear", {A::linear, 0, 0, 0}, [](Real x) { return x; }, [](Real) { return 1; }},
      {"relu", {A::relu, 0, kInfinity, 0}, [](Real x) { return std::max(x, Real{0}); }, [](Real x) { return x > 0; }},
      {"relu with all parameters", {A::relu, 0.25, 4, 0.5},
       [](Real x) { return clip(x > 0.5L ? x : 0, 0, 4) - (x < 0.5L ? 0.25L * (0.5L - x) : 0); },
       [](Real x) { return x < 0.5L ? 0.25L : x < 4 ? 1 : 0; }},
      {"leaky_relu", {A::leaky_relu, 0.25, 0, 0}, [](Real x) { return x < 0 ? 0.25L * x : x; },
       [](Real x) { return x < 0 ? 0.25L : 1; }},
      {"relu6", {A::relu6, 0, 0, 0}, [](Real x) { return clip(x, 0, 6); }, [](Real x) { return x > 0 && x < 6; }},
      {"hard_sigmoid", {A::hard_sigmoid, 0, 0, 0}, [](Real x) { return clip(x + 3, 0, 6) / 6; },
       [](Real x) { return std::abs(x) < 3 ? 1 / Real{6} : 0; }},
      {"hard_sigmoid of Keras 2", {A::hard_sigmoid_keras2, 0, 0, 0},
       [](Real x) { return clip(x * static_cast<Real>(0.2f) + 0.5L, 0, 1); }, [](Real x) { return std::abs(x) < 2.5L ? 0.2L : 0; }},
      {"hard_silu", {A::hard_silu, 0, 0, 0}, [](Real x) { return x * clip(x + 3, 0, 6) / 6; },
       [](Real x) { return clip(x + 3, 0, 6) / 6 + (std::abs(x) < 3 ? x / 6 : 0); }},
      {"sparse_sigmoid", {A::sparse_sigmoid, 0, 0, 0}, [](Real x) { return clip((x + 1) / 2, 0, 1); },
       [](Real x) { return std::abs(x) < 1 ? 0.5L : 0; }},
      {"sparse_plus", {A::sparse_plus, 0, 0, 0}, [](Real x) { return x <= -1 ? 0 : x < 1 ? square(x + 1) / 4 : x; },
       [](Real x) { return x <= -1 ? 0 : x < 1 ? (x + 1) / 2 : 1; }},
      {"softsign", {A::softsign, 0, 0, 0}, [](Real x) { return x / (1 + std::abs(x)); },
       [](Real x) { return 1 / square(1 + std::abs(x)); }},
      {"hard_tanh", {A::hard_tanh, 0, 0, 0}, [](Real x) { return clip(x, -1, 1); }, [](Real x) { return std::abs(x) < 1; }},
      {"soft_shrink", {A::soft_shrink, 0.5, 0, 0}, [](Real x) { return x - clip(x, -0.5L, 0.5L); },
       [](Real x) { return std::abs(x) > 0.5L; }},
      {"hard_shrink", {A::hard_shrink, 0.5, 0, 0}, [](Real x) { return std::abs(x) > 0.5L ? x : 0; },
       [](Real x) { return std::abs(x) > 0.5L; }},
      {"threshold", {A::threshold, 0.5, -0.25, 0}, [](Real x) { return x > 0.5L ? x : -0.25L; }, [](Real x) { return x > 0.5L; }},
  };
  return cases;
}

/// |a - exact| in units of the last place of the exact value; 0 when both are the same infinity.
double ulps(float a, Real exact) {
  if (!std::isfinite(a)) return a == static_cast<float>(exact) ? 0 : kInfinity;
  const Real unit = exact == 0 ? 0 : std::ldexp(Real{1}, std::ilogb(exact) - 23);
  return static_cast<double>(std::abs(a - exact) / std::max(unit, Real{std::numeric_limits<float>::denorm_min()}));
}

/// Every 15991st bit pattern of the finite floats (all exponents, both signs, subnormals), and more where functions bend.
const std::vector<float>& sweep() {
  static const std::vector<float> points = [] {
    std::vector<float> all;
    for (std::uint64_t bits = 0; bits < 0x7f800000u; bits += 15991)
      for (const std::uint32_t sign : {0u, 0x80000000u}) all.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits) | sign));
    std::mt19937 random(5);
    for (int i = 0; i < 200000; ++i) all.push_back(std::uniform_real_distribution<float>(-110, 110)(random));
    for (int i = 0; i < 100000; ++i) all.push_back(std::uniform_real_distribution<float>(-4, 4)(random));
    return all;
  }();
  return points;
}

/// The reference is slow: computed once for all instruction sets.
const std::vector<Real>& expected(const Case& c, bool slope) {
  static std::map<std::pair<std::string, bool>, std::vector<Real>> kept;
  std::vector<Real>& values = kept[{c.name, slope}];
  if (values.empty())
    for (const float x : sweep()) values.push_back(slope ? c.slope(x) : c.value(x));
  return values;
}

class Elementwise : public testing::TestWithParam<int> {};

void expect_within(const Case& c, bool slope, const std::vector<float>& got, double limit) {
  const std::vector<Real>& exact = expected(c, slope);
  double worst = 0;
  float where = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    if (const double error = ulps(got[i], exact[i]); !(error <= worst)) worst = error, where = sweep()[i];
  EXPECT_LE(worst, limit) << c.name << (slope ? "' at x = " : " at x = ") << where;
}

TEST_P(Elementwise, TranscendentalOverTheWholeRange) {
  std::vector<float> y(sweep().size());
  for (const Case& c : transcendental()) {
    activate(c.spec, sweep().data(), y.data(), static_cast<std::int64_t>(y.size()), GetParam());
    expect_within(c, false, y, 1);
  }
}

TEST_P(Elementwise, SlopesOfTranscendentalFunctions) {
  const std::vector<float> ones(sweep().size(), 1.0f);
  std::vector<float> dx(sweep().size());
  for (const Case& c : transcendental()) {
    activate_gradient(c.spec, sweep().data(), ones.data(), dx.data(), static_cast<std::int64_t>(dx.size()), GetParam());
    expect_within(c, true, dx, 1);
  }
}

/// Multiples of 1/8 between -8 and 8: these formulas lose nothing there but one or two roundings of a division.
TEST_P(Elementwise, AlgebraicFormulas) {
  std::vector<float> x, ones;
  for (int i = -64; i <= 64; ++i) x.push_back(static_cast<float>(i) / 8), ones.push_back(1);
  std::vector<float> y(x.size()), dx(x.size());
  const auto kink = [](float v) {
    return v == 0 || std::abs(v) == 0.5f || std::abs(v) == 1 || std::abs(v) == 2.5f || std::abs(v) == 3 || v == 4 || v == 6;
  };
  for (const Case& c : algebraic()) {
    activate(c.spec, x.data(), y.data(), static_cast<std::int64_t>(x.size()), GetParam());
    activate_gradient(c.spec, x.data(), ones.data(), dx.data(), static_cast<std::int64_t>(x.size()), GetParam());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double value = static_cast<double>(c.value(x[i]));
      EXPECT_NEAR(static_cast<double>(y[i]), value, 0x1p-23 * std::max(1.0, std::abs(value))) << c.name << "(" << x[i] << ")";
      if (kink(x[i])) continue;
      EXPECT_NEAR(static_cast<double>(dx[i]), static_cast<double>(c.slope(x[i])), 0x1p-23) << c.name << "'(" << x[i] << ")";
    }
  }
}

template <class T>
void expect_same_bits_at_any_offset_and_count(const Case& c, int isa) {
  std::mt19937 random(3);
  std::vector<T> x(70), dy(70);
  for (T& v : x) v = static_cast<T>(std::uniform_real_distribution<double>(-8, 8)(random));
  for (T& v : dy) v = static_cast<T>(std::uniform_real_distribution<double>(-2, 2)(random));
  std::vector<T> one(1), whole(70), part(70);
  const auto check = [&](const char* what, const auto& run) {
    for (std::int64_t count = 0; count <= 37; ++count)
      for (std::int64_t offset = 0; offset < 5; ++offset) {
        std::fill(part.begin(), part.end(), T{77});
        run(x.data() + offset, dy.data() + offset, part.data() + offset, count);
        for (std::int64_t i = 0; i < 70; ++i) {
          T wanted = 77;
          if (i >= offset && i < offset + count) run(x.data() + i, dy.data() + i, &wanted, 1);
          ASSERT_EQ(part[static_cast<std::size_t>(i)], wanted) << c.name << what << " count " << count << " offset " << offset;
        }
      }
  };
  check("", [&](const T* in, const T*, T* out, std::int64_t n) { activate(c.spec, in, out, n, isa); });
  check("'", [&](const T* in, const T* g, T* out, std::int64_t n) { activate_gradient(c.spec, in, g, out, n, isa); });
}

TEST_P(Elementwise, TheSameBitsAtAnyOffsetAndCountAndNothingWrittenOutside) {
  for (const auto* cases : {&transcendental(), &algebraic()})
    for (const Case& c : *cases) {
      expect_same_bits_at_any_offset_and_count<float>(c, GetParam());
      expect_same_bits_at_any_offset_and_count<double>(c, GetParam());
    }
}

/// float64 is promised 1e-13 of the larger of 1 and |y|.
TEST_P(Elementwise, DoublePrecision) {
  std::vector<double> x;
  for (int i = -60000; i <= 60000; ++i) x.push_back(i / 1500.0);
  const auto n = static_cast<std::int64_t>(x.size());
  const std::vector<double> ones(x.size(), 1.0);
  std::vector<double> y(x.size()), dx(x.size());
  for (const Case& c : transcendental()) {
    activate(c.spec, x.data(), y.data(), n, GetParam());
    activate_gradient(c.spec, x.data(), ones.data(), dx.data(), n, GetParam());
    for (std::size_t i = 0; i < x.size(); ++i) {
      const Real value = c.value(x[i]), slope = c.slope(x[i]);
      ASSERT_LE(std::abs(static_cast<Real>(y[i]) - value), 1e-13L * std::max(Real{1}, std::abs(value))) << c.name << " at " << x[i];
      ASSERT_LE(std::abs(static_cast<Real>(dx[i]) - slope), 1e-13L * std::max(Real{1}, std::abs(slope))) << c.name << "' at " << x[i];
    }
  }
}

struct Limits {
  Activation function;
  double parameter, at_minus_infinity, at_infinity;
};

/// Keras's formulas at the ends: those that multiply x by a vanishing factor have no limit at -infinity.
template <class T>
void expect_limits(int isa) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const Limits limits[] = {
      {Activation::elu, 1, -1, kInfinity}, {Activation::selu, 0, -static_cast<double>(kScale) * static_cast<double>(kAlpha), kInfinity},
      {Activation::celu, 2, -2, kInfinity}, {Activation::gelu, 0, nan, kInfinity},
      {Activation::gelu_tanh, 0, nan, kInfinity}, {Activation::silu, 0, nan, kInfinity},
      {Activation::mish, 0, nan, kInfinity}, {Activation::sigmoid, 0, 0, 1},
      {Activation::log_sigmoid, 0, -kInfinity, 0}, {Activation::softplus, 0, 0, kInfinity},
      {Activation::tanh, 0, -1, 1}, {Activation::tanh_shrink, 0, -kInfinity, kInfinity},
      {Activation::exponential, 0, 0, kInfinity}};
  for (const Limits& f : limits) {
    const T x[] = {-std::numeric_limits<T>::infinity(), std::numeric_limits<T>::infinity(), std::numeric_limits<T>::quiet_NaN()};
    T y[3];
    activate({f.function, f.parameter, 0, 0}, x, y, 3, isa);
    const int number = static_cast<int>(f.function);
    EXPECT_TRUE(std::isnan(f.at_minus_infinity) ? std::isnan(y[0]) : y[0] == static_cast<T>(f.at_minus_infinity))
        << "function " << number << ": " << y[0];
    EXPECT_EQ(y[1], static_cast<T>(f.at_infinity)) << "function " << number;
    EXPECT_TRUE(std::isnan(y[2])) << "function " << number << ": " << y[2];
  }
}

TEST_P(Elementwise, InfinitiesAndNaN) {
  expect_limits<float>(GetParam());
  expect_limits<double>(GetParam());
}

TEST_P(Elementwise, TheSignOfZeroStays) {
  for (const Activation function : {Activation::elu, Activation::selu, Activation::gelu, Activation::gelu_tanh, Activation::silu,
                                    Activation::mish, Activation::tanh}) {
    const float x[] = {-0.0f, 0.0f};
    float y[2];
    activate({function, 1, 0, 0}, x, y, 2, GetParam());
    EXPECT_EQ(y[0], 0) << static_cast<int>(function);
    EXPECT_TRUE(std::signbit(y[0])) << static_cast<int>(function);
    EXPECT_FALSE(std::signbit(y[1])) << static_cast<int>(function);
  }
}

/// gelu's left tail has nothing of erfc's cancellation: relative error, down to the end of the normal numbers.
TEST_P(Elementwise, GeluKeepsItsRelativePrecisionInTheTail) {
  for (int i = 1; i <= 370; ++i) {
    const double x = -i / 10.0;
    double y = 0;
    activate({Activation::gelu, 0, 0, 0}, &x, &y, 1, GetParam());
    const Real exact = x * normal(x);
    EXPECT_LE(std::abs((y - exact) / exact), 4e-16L + x * x / 2 * 0x1p-52L) << x;      // the bell's argument is rounded
  }
}

/// squareplus overflows where x * x does, in each type, as Keras's formula does.
TEST_P(Elementwise, SquareplusOverflowsWithItsSquare) {
  const ActivationSpec spec{Activation::squareplus, 4, 0, 0};
  const float x[] = {1.5f, 1e18f, 1e20f, -1e20f};
  float y[4];
  activate(spec, x, y, 4, GetParam());
  EXPECT_EQ(y[0], 2.0f);
  EXPECT_EQ(y[1], 1e18f);
  EXPECT_EQ(y[2], std::numeric_limits<float>::infinity());
  EXPECT_EQ(y[3], std::numeric_limits<float>::infinity());
}

INSTANTIATE_TEST_SUITE_P(Isa, Elementwise, testing::Range(0, static_cast<int>(isas().size())), [](const auto& info) {
  return isas()[static_cast<std::size_t>(info.param)].name;
});

template <class T>
void expect_relu_bits(int isa) {
  const T nan = std::numeric_limits<T>::quiet_NaN(), infinity = std::numeric_limits<T>::infinity();
  const T values[] = {T(1), T(-1), T(0), T(-0.0), nan, infinity, -infinity, std::numeric_limits<T>::denorm_min()};
  for (std::int64_t count = 0; count <= 41; ++count) {
    std::vector<T> y(static_cast<std::size_t>(count) + 1), dy(y.size()), dx(y.size(), T(7));
    for (std::size_t i = 1; i < y.size(); ++i) y[i] = values[i * i % 8], dy[i] = values[i * 3 % 8] + T(2);
    std::vector<std::uint8_t> bits(static_cast<std::size_t>(count + 7) / 8 + 1, 0xA5);
    kernels::positive_bits(y.data() + 1, bits.data(), count, isa);
    kernels::where_positive(bits.data(), dy.data() + 1, dx.data() + 1, count, isa);
    EXPECT_EQ(bits.back(), 0xA5);
    EXPECT_EQ(dx[0], T(7));
    for (std::size_t i = 1; i < y.size(); ++i) {
      EXPECT_EQ(bits[(i - 1) / 8] >> (i - 1) % 8 & 1, y[i] > 0 ? 1 : 0) << i << " of " << count;
      const T expected = y[i] > 0 ? dy[i] : T(0);
      EXPECT_EQ(std::memcmp(&dx[i], &expected, sizeof(T)), 0) << i << " of " << count;
    }
  }
}

TEST(Elementwise, ReluBitsOnEveryTarget) {
  for (std::size_t isa = 0; isa < kernels::isas().size(); ++isa) {
    SCOPED_TRACE(kernels::isas()[isa].name);
    expect_relu_bits<float>(static_cast<int>(isa));
    expect_relu_bits<double>(static_cast<int>(isa));
  }
}

}  // namespace
}  // namespace upconv::kernels
