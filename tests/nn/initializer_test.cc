// SPDX-License-Identifier: Apache-2.0
// Initialisers: limits, mean, deviation and the whole distribution (Kolmogorov and Smirnov) under fixed seeds, in every
// dtype; the structured ones element by element; the caller's own.
#include "upconv/initializer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/element.h"
#include "support/error_text.h"

namespace upconv {
namespace {

using test::argument_error;

std::vector<double> values(ConstTensorView t) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < t.elements(); ++i) out.push_back(base::read_element(t, i));
  return out;
}

double normal_cdf(double z) { return std::erfc(-z / std::sqrt(2.0)) / 2; }

/// What an initialiser promises: its kind, mean and scale (half the width, or the deviation before truncation).
struct Law {
  enum Kind { uniform, normal, truncated } kind;
  double mean, scale;

  double deviation() const {                                   // of a normal cut at 2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1))
    return scale * (kind == uniform ? 1 / std::sqrt(3.0) : kind == normal ? 1 : 0.87962566103423978);
  }
  double limit() const { return kind == uniform ? scale : kind == truncated ? 2 * scale : HUGE_VAL; }
  double cdf(double x) const {
    const double z = (x - mean) / scale;
    if (kind == uniform) return std::clamp((z + 1) / 2, 0.0, 1.0);
    if (kind == normal) return normal_cdf(z);
    return std::clamp((normal_cdf(z) - normal_cdf(-2)) / (normal_cdf(2) - normal_cdf(-2)), 0.0, 1.0);
  }
};

/// Largest distance of the sample's distribution function to the law's, times sqrt(n): above 1.95 once in a thousand samples.
double kolmogorov_smirnov(std::vector<double> sample, const Law& law) {
  std::sort(sample.begin(), sample.end());
  const auto n = static_cast<double>(sample.size());
  double distance = 0;
  for (std::size_t i = 0; i < sample.size(); ++i) {
    const double wanted = law.cdf(sample[i]), below = static_cast<double>(i) / n;
    distance = std::max({distance, wanted - below, below + 1 / n - wanted});
  }
  return distance * std::sqrt(n);
}

void expect_law(const std::vector<double>& sample, const Law& law) {
  const auto n = static_cast<double>(sample.size());
  const double mean = std::accumulate(sample.begin(), sample.end(), 0.0) / n;
  double square = 0;
  for (const double v : sample) square += (v - mean) * (v - mean);
  EXPECT_LT(std::abs(mean - law.mean), 4 * law.deviation() / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(square / n) / law.deviation(), 1, 4 / std::sqrt(2 * n));
  EXPECT_LT(kolmogorov_smirnov(sample, law), 1.95);
  const auto [low, high] = std::minmax_element(sample.begin(), sample.end());
  EXPECT_GE(*low, law.mean - law.limit() * (1 + 0x1p-24));
  EXPECT_LE(*high, law.mean + law.limit() * (1 + 0x1p-24));
}

// A kernel of 32 filters and 64 inputs: fan_in = 3 * 5 * 32 = 480, fan_out = 3 * 5 * 64 = 960, as Keras counts them.
const Shape kKernel{3, 5, 32, 64};

TEST(Initializer, RandomOnesFollowTheirLaws) {
  using namespace initializers;
  constexpr double kCut = 0.87962566103423978;
  const struct {
    const char* what;
    Initializer initializer;
    Law law;
  } cases[] = {
      {"RandomNormal", RandomNormal{.mean = 1, .stddev = 0.5, .seed = 1}, {Law::normal, 1, 0.5}},
      {"TruncatedNormal", TruncatedNormal{.mean = -1, .stddev = 0.5, .seed = 2}, {Law::truncated, -1, 0.5}},
      {"RandomUniform", RandomUniform{.minval = 1, .maxval = 4, .seed = 3}, {Law::uniform, 2.5, 1.5}},
      {"GlorotUniform", GlorotUniform{.seed = 4}, {Law::uniform, 0, std::sqrt(6.0 / (480 + 960))}},
      {"GlorotNormal", GlorotNormal{.seed = 5}, {Law::truncated, 0, std::sqrt(2.0 / (480 + 960)) / kCut}},
      {"HeUniform", HeUniform{.seed = 6}, {Law::uniform, 0, std::sqrt(6.0 / 480)}},
      {"HeNormal", HeNormal{.seed = 7}, {Law::truncated, 0, std::sqrt(2.0 / 480) / kCut}},
      {"LecunUniform", LecunUniform{.seed = 8}, {Law::uniform, 0, std::sqrt(3.0 / 480)}},
      {"LecunNormal", LecunNormal{.seed = 9}, {Law::truncated, 0, std::sqrt(1.0 / 480) / kCut}},
      {"fan_out", VarianceScaling{3, "fan_out", "untruncated_normal", 10}, {Law::normal, 0, std::sqrt(3.0 / 960)}},
      {"fan_avg", VarianceScaling{3, "fan_avg", "uniform", 11}, {Law::uniform, 0, std::sqrt(9.0 / 720)}},
      {"axes", HeNormal{.seed = 12, .input_axes = {{0, 1, 3}}, .output_axes = {{0, 1, 2}}},
       {Law::truncated, 0, std::sqrt(2.0 / 960) / kCut}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.what);
    const Tensor drawn = c.initializer(kKernel);
    EXPECT_EQ(drawn.shape(), kKernel);
    EXPECT_EQ(drawn.dtype(), DType::float32);
    expect_law(values(drawn), c.law);
  }
}

TEST(Initializer, EveryDTypeGetsTheSameNumbersRounded) {
  const Initializer seeded = initializers::HeNormal{.seed = 7};
  const std::vector<double> exact = values(seeded(kKernel, DType::float64));
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const std::vector<double> rounded = values(seeded(kKernel, dtype));
    for (std::size_t i = 0; i < exact.size(); ++i) ASSERT_EQ(rounded[i], base::rounded(exact[i], dtype)) << name_of(dtype);
  }
}

/// [min, max) holds in the dtype: a number that would round up to the upper end is drawn again.
TEST(Initializer, UniformNeverReachesItsUpperEnd) {
  for (const DType dtype : {DType::bfloat16, DType::float16, DType::float32, DType::float64}) {
    const std::vector<double> drawn = values(Initializer(initializers::RandomUniform{.minval = 1, .maxval = 2, .seed = 5})({20000}, dtype));
    EXPECT_GE(*std::min_element(drawn.begin(), drawn.end()), 1);
    EXPECT_LT(*std::max_element(drawn.begin(), drawn.end()), 2);
  }
}

TEST(Initializer, SeedsAndCalls) {
  const auto seeded = [](std::int64_t seed) { return values(Initializer(initializers::RandomNormal{.seed = seed})({50})); };
  EXPECT_EQ(seeded(3), seeded(3));
  EXPECT_NE(seeded(3), seeded(4));
  EXPECT_NE(seeded(3), seeded(-3));
  const Initializer unseeded = "random_normal";
  EXPECT_EQ(values(unseeded({50})), values(unseeded({50})));
  EXPECT_NE(values(unseeded({50})), values(Initializer("random_normal")({50})));
  EXPECT_EQ(unseeded.config().at("config").at("seed"), Config());
}

TEST(Initializer, Fans) {
  using Fans = std::pair<std::int64_t, std::int64_t>;
  EXPECT_EQ(compute_fans({3, 5, 4, 7}), (Fans{60, 105}));
  EXPECT_EQ(compute_fans({4, 7}), (Fans{4, 7}));
  EXPECT_EQ(compute_fans({9}), (Fans{9, 9}));
  EXPECT_EQ(compute_fans({}), (Fans{1, 1}));
}

TEST(Initializer, ConstantsAndIdentity) {
  EXPECT_EQ(values(Initializer("zeros")({3})), (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(values(Initializer("Ones")({2}, DType::float16)), (std::vector<double>{1, 1}));
  EXPECT_EQ(values(Initializer(initializers::Constant{-2.5})({2}, DType::bfloat16)), (std::vector<double>{-2.5, -2.5}));
  EXPECT_EQ(values(Initializer(initializers::Identity{3})({2, 3})), (std::vector<double>{3, 0, 0, 0, 3, 0}));
  EXPECT_EQ(argument_error([] { Initializer("identity")({3, 3, 2, 3}); }),
            "Identity matrix initializer can only be used for 2D matrices. Received: shape=(3, 3, 2, 3) of rank 4.");
}

/// gain * Q with orthonormal rows or columns, whichever are fewer; rows = kh * kw * filters.
TEST(Initializer, OrthogonalIsOrthogonal) {
  for (const Shape& shape : {Shape{3, 3, 4, 5}, Shape{1, 2, 3, 20}, Shape{6, 6}}) {
    const std::vector<double> q = values(Initializer(initializers::Orthogonal{.gain = 2, .seed = 1})(shape, DType::float64));
    const auto columns = static_cast<std::size_t>(shape.back()), rows = q.size() / columns;
    const bool tall = rows >= columns;
    for (std::size_t a = 0; a < std::min(rows, columns); ++a)
      for (std::size_t b = 0; b <= a; ++b) {
        double dot = 0;
        for (std::size_t i = 0; i < std::max(rows, columns); ++i)
          dot += tall ? q[i * columns + a] * q[i * columns + b] : q[a * columns + i] * q[b * columns + i];
        EXPECT_NEAR(dot, a == b ? 4 : 0, 1e-13) << shape.str();
      }
  }
  EXPECT_EQ(argument_error([] { Initializer("orthogonal")({3}); }),
            "The tensor to initialize must be at least two-dimensional. Received: shape=(3,) of rank 1.");
}

/// Drawn from all rotations alike: no entry prefers a sign, and its deviation is 1 / sqrt(n).
TEST(Initializer, OrthogonalHasNoPreferredDirection) {
  constexpr int draws = 2000;
  double sum = 0, square = 0;
  for (int i = 0; i < draws; ++i) {
    const double first = values(Initializer(initializers::Orthogonal{.seed = i})({3, 3}, DType::float64)).front();
    sum += first, square += first * first;
  }
  EXPECT_LT(std::abs(sum), 4 * std::sqrt(draws / 3.0));
  EXPECT_NEAR(square / draws, 1 / 3.0, 4 * std::sqrt(4 / 45.0 / draws));
}

TEST(Initializer, BilinearInterpolatesChannelByChannel) {
  const std::vector<double> kernel = values(Initializer(initializers::Bilinear{})({4, 3, 2, 2}));
  const double down[] = {0.25, 0.75, 0.75, 0.25}, across[] = {0.5, 1, 0.5};
  std::size_t at = 0;
  for (const double a : down)
    for (const double b : across)
      for (int filter = 0; filter < 2; ++filter)
        for (int in = 0; in < 2; ++in) EXPECT_EQ(kernel[at++], filter == in ? a * b : 0);
}

TEST(Initializer, ICNRGivesEveryPhaseTheSameWeights) {
  const Initializer inner = initializers::HeNormal{.seed = 3};
  const std::vector<double> kernel = values(Initializer(initializers::ICNR{2, inner})({4, 4, 3, 2}));
  const std::vector<double> phase = values(inner({2, 2, 3, 2}));
  for (std::size_t a = 0; a < 4; ++a)
    for (std::size_t b = 0; b < 4; ++b)
      for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(kernel[(a * 4 + b) * 6 + i], phase[(a / 2 * 2 + b / 2) * 6 + i]);
}

TEST(Initializer, TensorsAndCallables) {
  const Initializer direct = Tensor::of<float>({1, 2}, {3, 4});
  EXPECT_EQ(values(direct({1, 2}, DType::float64)), (std::vector<double>{3, 4}));
  EXPECT_EQ(argument_error([&] { direct({3, 3, 2, 3}); }),
            "Expected `shape` to be (1, 2) for direct tensor as initializer. Received shape=(3, 3, 2, 3)");
  const Initializer own = [](const Shape& shape, DType dtype) { return Initializer("ones")(shape, dtype); };
  EXPECT_EQ(values(own({2}, DType::float16)), (std::vector<double>{1, 1}));
  const Initializer liar(std::function<Tensor(const Shape&, DType)>([](const Shape&, DType) { return Tensor({7}); }), "liar");
  EXPECT_EQ(argument_error([&] { liar({2, 2}); }),
            "The initializer 'liar' must return shape (2, 2) and dtype float32. It returned (7,), float32.");
}

TEST(Initializer, EmptyTensors) {
  for (const char* name : {"glorot_uniform", "he_normal", "zeros", "orthogonal"})
    EXPECT_EQ(Initializer(name)({3, 3, 2, 0}).elements(), 0) << name;
}

}  // namespace
}  // namespace upconv
