// SPDX-License-Identifier: Apache-2.0
// Initialisers. Each value is a function of the seed and its index; formulas and fans are Keras's.
#include "upconv/initializer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/element.h"
#include "base/text.h"
#include "nn/custom.h"
#include "nn/identifier.h"
#include "nn/random.h"
#include "upconv/error.h"

namespace upconv {

InitializerFunction::~InitializerFunction() = default;

namespace {

using initializers::Axes;
using initializers::Seed;

Config seed_config(const Seed& seed) { return seed ? Config(*seed) : Config(); }
std::uint64_t seed_value(const Seed& seed) { return seed ? static_cast<std::uint64_t>(*seed) : nn::fresh_seed(); }
Config axes_config(const Axes& axes) {
  if (!axes) return {};
  return Config(Config::List(axes->begin(), axes->end()));
}

/// An initialiser given by its Keras dictionary and a function that fills.
class Filler final : public InitializerFunction {
 public:
  Filler(std::string name, Config config, std::function<void(TensorView)> fill)
      : name_(std::move(name)), config_(std::move(config)), fill_(std::move(fill)) {}
  std::string name() const override { return name_; }
  Config config() const override {
    if (config_.is_null())
      throw ArgumentError("initializer", base::cat("The initializer ", name_.empty() ? "" : "'" + name_ + "' ",
                                                   "has no form in a Keras configuration."));
    return config_;
  }
  void fill(TensorView out) const override { fill_(out); }

 private:
  std::string name_;
  Config config_;
  std::function<void(TensorView)> fill_;
};

Initializer make(const char* name, Config::Dict config, std::function<void(TensorView)> fill) {
  return Initializer(std::make_shared<Filler>(name, nn::keras_object("initializers", name, Config(std::move(config))), std::move(fill)));
}

template <class F>
void fill_each(TensorView out, F value) {
  const std::int64_t count = out.elements();
  for (std::int64_t i = 0; i < count; ++i) base::write_element(out, i, value(static_cast<std::uint64_t>(i)));
}

/// Uniform in [low, high): a value that rounds up to `high` in the dtype is drawn again.
void fill_uniform(TensorView out, std::uint64_t seed, double low, double high) {
  const nn::Random random(seed);
  fill_each(out, [&](std::uint64_t i) {
    double value = low;
    for (std::uint32_t attempt = 0; attempt < 64; ++attempt) {
      value = base::rounded(low + (high - low) * random.uniform(i, attempt), out.dtype);
      if (value < high || low >= high) break;
      value = low;
    }
    return value;
  });
}

void fill_normal(TensorView out, std::uint64_t seed, double mean, double stddev, bool truncated) {
  const nn::Random random(seed);
  fill_each(out, [&](std::uint64_t i) { return mean + stddev * (truncated ? random.truncated_normal(i) : random.normal(i)); });
}

double fan(const Shape& shape, const std::vector<int>& axes) {
  double product = 1;
  for (const int axis : axes) product *= static_cast<double>(shape.at(axis));
  return product;
}

void fill_variance_scaling(TensorView out, const initializers::VarianceScaling& v, std::uint64_t seed) {
  double fan_in, fan_out;
  if (v.input_axes) {
    fan_in = fan(out.shape, *v.input_axes), fan_out = fan(out.shape, *v.output_axes);
  } else {
    const auto fans = compute_fans(out.shape);
    fan_in = static_cast<double>(fans.first), fan_out = static_cast<double>(fans.second);
  }
  const double n = v.mode == "fan_in" ? fan_in : v.mode == "fan_out" ? fan_out : (fan_in + fan_out) / 2;
  const double scale = v.scale / std::max(1.0, n);
  if (v.distribution == "uniform") {
    const double limit = std::sqrt(3 * scale);
    return fill_uniform(out, seed, -limit, limit);
  }
  // The deviation of a normal distribution cut at two deviations, so that what is left has the wanted one.
  constexpr double kCut = 0.87962566103423978;
  const bool truncated = v.distribution == "truncated_normal";
  fill_normal(out, seed, 0, std::sqrt(scale) / (truncated ? kCut : 1), truncated);
}

void check_variance_scaling(const initializers::VarianceScaling& v) {
  if (!(v.scale > 0))
    throw ArgumentError("scale", base::cat("Argument `scale` must be positive float. Received: scale=", v.scale));
  if (v.mode != "fan_in" && v.mode != "fan_out" && v.mode != "fan_avg")
    throw ArgumentError("mode", base::cat("Invalid `mode` argument: ", v.mode, ". Please use one of {'fan_in', 'fan_out', 'fan_avg'}"));
  if (v.distribution != "uniform" && v.distribution != "truncated_normal" && v.distribution != "untruncated_normal")
    throw ArgumentError("distribution", base::cat("Invalid `distribution` argument: ", v.distribution,
                                                  ".Please use one of {'uniform', 'truncated_normal', 'untruncated_normal'}"));
  if (v.input_axes.has_value() != v.output_axes.has_value())
    throw ArgumentError("input_axes", "`input_axes` and `output_axes` must be given together.");
}

Initializer scaled(const char* name, Config::Dict config, initializers::VarianceScaling v) {
  check_variance_scaling(v);
  return make(name, std::move(config), [v, seed = seed_value(v.seed)](TensorView out) { fill_variance_scaling(out, v, seed); });
}

template <class T>
Initializer named_scaling(const char* name, const T& o, double scale, const char* mode, const char* distribution) {
  return scaled(name, {{"seed", seed_config(o.seed)}, {"input_axes", axes_config(o.input_axes)}, {"output_axes", axes_config(o.output_axes)}},
                {scale, mode, distribution, o.seed, o.input_axes, o.output_axes});
}

/// Orthonormal columns of a (long x short) normal matrix by Gram-Schmidt, twice: the Q of a QR whose R has a positive diagonal.
void fill_orthogonal(TensorView out, std::uint64_t seed, double gain) {
  if (out.shape.rank() < 2)
    throw ArgumentError("shape", base::cat("The tensor to initialize must be at least two-dimensional. Received: shape=",
                                           out.shape.str(), " of rank ", out.shape.rank(), "."));
  const auto columns = static_cast<std::size_t>(out.shape.back());
  const std::size_t rows = columns ? static_cast<std::size_t>(out.elements()) / columns : 0;
  const std::size_t longer = std::max(rows, columns), shorter = std::min(rows, columns);
  const nn::Random random(seed);
  std::vector<std::vector<double>> q(shorter, std::vector<double>(longer));
  for (std::size_t j = 0; j < shorter; ++j) {
    for (std::size_t i = 0; i < longer; ++i) q[j][i] = random.normal(i * shorter + j);
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t k = 0; k < j; ++k) {
        const double projection = std::inner_product(q[j].begin(), q[j].end(), q[k].begin(), 0.0);
        for (std::size_t i = 0; i < longer; ++i) q[j][i] -= projection * q[k][i];
      }
    const double norm = std::sqrt(std::inner_product(q[j].begin(), q[j].end(), q[j].begin(), 0.0));
    for (double& value : q[j]) value /= norm;
  }
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t c = 0; c < columns; ++c)
      base::write_element(out, static_cast<std::int64_t>(r * columns + c), gain * (rows >= columns ? q[c][r] : q[r][c]));
}

/// The kernel (kh,kw,filters,in) that interpolates by a factor of ceil(k / 2), channel by channel.
void fill_bilinear(TensorView out) {
  if (out.shape.rank() != 4)
    throw ArgumentError("shape", base::cat("Bilinear fills a kernel (kh, kw, filters, in). Received: shape=", out.shape.str()));
  const auto weight = [](std::int64_t i, std::int64_t k) {
    const double factor = static_cast<double>((k + 1) / 2);
    const double center = k % 2 ? factor - 1 : factor - 0.5;
    return 1 - std::abs(static_cast<double>(i) - center) / factor;
  };
  const Shape& s = out.shape;
  std::int64_t at = 0;
  for (std::int64_t a = 0; a < s[0]; ++a)
    for (std::int64_t b = 0; b < s[1]; ++b)
      for (std::int64_t o = 0; o < s[2]; ++o)
        for (std::int64_t c = 0; c < s[3]; ++c) base::write_element(out, at++, o == c ? weight(a, s[0]) * weight(b, s[1]) : 0);
}

/// One phase drawn by another initialiser, the same weights for all scale x scale phases.
class IcnrFiller final : public InitializerFunction {
 public:
  explicit IcnrFiller(const initializers::ICNR& options) : scale_(options.scale), inner_(options.initializer) {}
  std::string name() const override { return "ICNR"; }
  Config config() const override {
    return Config::dict({{"module", "upconv"}, {"class_name", "ICNR"},
                         {"config", Config::dict({{"scale", scale_}, {"initializer", inner_.config()}})},
                         {"registered_name", "upconv>ICNR"}});
  }
  void fill(TensorView out) const override {
    const Shape& s = out.shape;
    if (s.rank() != 4 || scale_ < 1)
      throw ArgumentError("shape", base::cat("ICNR fills a kernel (kh, kw, filters, in) with scale >= 1. Received: shape=", s.str(),
                                             ", scale=", scale_));
    const Shape coarse{(s[0] + scale_ - 1) / scale_, (s[1] + scale_ - 1) / scale_, s[2], s[3]};
    const Tensor drawn = inner_(coarse, out.dtype);
    std::int64_t at = 0;
    for (std::int64_t a = 0; a < s[0]; ++a)
      for (std::int64_t b = 0; b < s[1]; ++b)
        for (std::int64_t i = 0; i < s[2] * s[3]; ++i)
          base::write_element(out, at++, base::read_element(drawn, (a / scale_ * coarse[1] + b / scale_) * s[2] * s[3] + i));
  }

 private:
  int scale_;
  Initializer inner_;
};

Seed seed_from(const Config& config) {
  const Config* seed = config.find("seed");
  if (!seed || seed->is_null()) return {};
  if (seed->is_dict()) return seed_from(seed->at("config"));          // a SeedGenerator
  if (!seed->is_int())
    throw ArgumentError("seed", base::cat("`seed` argument should be an instance of `keras.random.SeedGenerator()` or an integer. "
                                          "Received: seed=", seed->json()));
  return seed->as_int();
}

Axes axes_from(const Config& config, const char* key) {
  const Config* axes = config.find(key);
  if (!axes || axes->is_null()) return {};
  std::vector<int> list;
  for (const Config& axis : axes->as_list()) list.push_back(static_cast<int>(axis.as_int()));
  return list;
}

template <class T>
Initializer seeded(const nn::Identifier& id) {
  nn::check_keys(id, {"seed", "input_axes", "output_axes", "dtype"});
  return T{seed_from(id.config), axes_from(id.config, "input_axes"), axes_from(id.config, "output_axes")};
}

template <class T>
Initializer location_scale(const nn::Identifier& id, const char* first, const char* second, T o) {
  nn::check_keys(id, {"seed", "dtype", first, second});
  auto& [a, b, seed] = o;
  a = nn::number_or(id.config, first, a), b = nn::number_or(id.config, second, b), seed = seed_from(id.config);
  return o;
}

Initializer variance_scaling(const nn::Identifier& id) {
  nn::check_keys(id, {"seed", "scale", "mode", "distribution", "input_axes", "output_axes", "dtype"});
  initializers::VarianceScaling v;
  v.scale = nn::number_or(id.config, "scale", 1);
  if (const Config* mode = id.config.find("mode")) v.mode = mode->as_string();
  if (const Config* distribution = id.config.find("distribution")) v.distribution = distribution->as_string();
  v.seed = seed_from(id.config), v.input_axes = axes_from(id.config, "input_axes"), v.output_axes = axes_from(id.config, "output_axes");
  return v;
}

struct Known {
  std::vector<std::string> names;
  Initializer (*make)(const nn::Identifier& id);
};

const std::vector<Known>& known_initializers() {
  using namespace initializers;
  using Id = nn::Identifier;
  static const std::vector<Known> table = {
      {{"Zeros", "zeros", "zero"}, [](const Id& id) -> Initializer { return nn::check_keys(id, {"dtype"}), Zeros{}; }},
      {{"Ones", "ones", "one"}, [](const Id& id) -> Initializer { return nn::check_keys(id, {"dtype"}), Ones{}; }},
      {{"Constant", "constant"}, [](const Id& id) -> Initializer {
         nn::check_keys(id, {"value", "dtype"});
         return Constant{nn::number_or(id.config, "value", 0)};
       }},
      {{"Identity", "identity", "IdentityInitializer"}, [](const Id& id) -> Initializer {
         nn::check_keys(id, {"gain", "dtype"});
         return Identity{nn::number_or(id.config, "gain", 1)};
       }},
      {{"Orthogonal", "orthogonal", "OrthogonalInitializer"}, [](const Id& id) -> Initializer {
         nn::check_keys(id, {"seed", "gain", "dtype"});
         return Orthogonal{nn::number_or(id.config, "gain", 1), seed_from(id.config)};
       }},
      {{"RandomNormal", "random_normal", "normal"}, [](const Id& id) { return location_scale(id, "mean", "stddev", RandomNormal{}); }},
      {{"TruncatedNormal", "truncated_normal"}, [](const Id& id) { return location_scale(id, "mean", "stddev", TruncatedNormal{}); }},
      {{"RandomUniform", "random_uniform", "uniform"},
       [](const Id& id) { return location_scale(id, "minval", "maxval", RandomUniform{}); }},
      {{"VarianceScaling", "variance_scaling"}, variance_scaling},
      {{"GlorotNormal", "glorot_normal"}, seeded<GlorotNormal>},
      {{"GlorotUniform", "glorot_uniform"}, seeded<GlorotUniform>},
      {{"HeNormal", "he_normal"}, seeded<HeNormal>},
      {{"HeUniform", "he_uniform"}, seeded<HeUniform>},
      {{"LecunNormal", "lecun_normal"}, seeded<LecunNormal>},
      {{"LecunUniform", "lecun_uniform"}, seeded<LecunUniform>},
      {{"Bilinear", "bilinear"}, [](const Id&) -> Initializer { return Bilinear{}; }},
      {{"ICNR", "icnr"}, [](const Id& id) -> Initializer {
         return ICNR{static_cast<int>(nn::number_or(id.config, "scale", 2)),
                     id.config.find("initializer") ? Initializer::from_config(id.config.at("initializer")) : Initializer("he_normal")};
       }},
  };
  return table;
}

/// Keras writes a number as it got it, 1 or 1.0, and a SeedGenerator as a dictionary.
Initializer as_given(const Initializer& made, const Config& given) {
  Config config = made.config();
  for (auto& [key, value] : config.find("config")->as_dict()) {
    const Config* original = given.find(key);
    if (original && (original->is_dict() || (original->is_number() && value.is_number()))) value = *original;
  }
  return Initializer(std::make_shared<Filler>(made.function()->name(), std::move(config),
                                              [made](TensorView out) { made.function()->fill(out); }));
}

Initializer from_identifier(const Config& config) {
  const nn::Identifier id = nn::parse_identifier(config, "initializer");
  std::vector<std::string> names;
  for (const Known& known : known_initializers()) {
    if (std::find(known.names.begin(), known.names.end(), id.class_name) != known.names.end())
      return as_given(known.make(id), id.config);
    names.insert(names.end(), known.names.begin(), known.names.end());
  }
  nn::unknown_identifier("initializer", config.is_string() ? config.as_string() : id.class_name, names);
}

}  // namespace

Initializer::Initializer(const char* name) : Initializer(from_identifier(name)) {}
Initializer::Initializer(std::string_view name) : Initializer(from_identifier(name)) {}
Initializer::Initializer(const std::string& name) : Initializer(from_identifier(name)) {}
Initializer::Initializer(std::shared_ptr<const InitializerFunction> function) : function_(std::move(function)) {}

Initializer::Initializer(Tensor value)
    : function_(std::make_shared<Filler>("", Config(), [value = std::move(value)](TensorView out) {
        if (out.shape != value.shape())
          throw ArgumentError("initializer", base::cat("Expected `shape` to be ", value.shape().str(),
                                                       " for direct tensor as initializer. Received shape=", out.shape.str()));
        convert(value, out);
      })) {}

Initializer::Initializer(std::function<Tensor(const Shape&, DType)> callable, std::string name)
    : function_(std::make_shared<Filler>(name, Config(), [callable = std::move(callable), name](TensorView out) {
        const Tensor value = callable(out.shape, out.dtype);
        if (value.shape() != out.shape || value.dtype() != out.dtype)
          throw ArgumentError("initializer", base::cat("The initializer ", name.empty() ? "callable" : "'" + name + "'",
                                                       " must return shape ", out.shape.str(), " and dtype ", name_of(out.dtype),
                                                       ". It returned ", value.shape().str(), ", ", name_of(value.dtype()), "."));
        convert(value, out);
      })) {}

Initializer Initializer::from_config(const Config& config) {
  if (config.is_null()) return {};
  if (auto custom = nn::registered<Initializer>(config)) return *custom;
  return from_identifier(config);
}

Config Initializer::config() const { return function_ ? function_->config() : Config(); }

Tensor Initializer::operator()(const Shape& shape, DType dtype) const {
  Tensor out = Tensor::uninitialized(shape, dtype);
  if (!function_) throw ArgumentError("initializer", "No initializer is given.");
  function_->fill(out);
  return out;
}

std::pair<std::int64_t, std::int64_t> compute_fans(const Shape& shape) {
  if (shape.rank() == 0) return {1, 1};
  if (shape.rank() == 1) return {shape[0], shape[0]};
  std::int64_t receptive = 1;
  for (std::size_t i = 0; i + 2 < shape.rank(); ++i) receptive *= shape[i];
  return {receptive * shape.at(-2), receptive * shape.at(-1)};
}

namespace initializers {

Zeros::operator Initializer() const {
  return make("Zeros", {}, [](TensorView out) { fill_each(out, [](std::uint64_t) { return 0.0; }); });
}
Ones::operator Initializer() const {
  return make("Ones", {}, [](TensorView out) { fill_each(out, [](std::uint64_t) { return 1.0; }); });
}
Constant::operator Initializer() const {
  return make("Constant", {{"value", value}}, [v = value](TensorView out) { fill_each(out, [v](std::uint64_t) { return v; }); });
}
RandomNormal::operator Initializer() const {
  return make("RandomNormal", {{"seed", seed_config(seed)}, {"mean", mean}, {"stddev", stddev}},
              [o = *this, s = seed_value(seed)](TensorView out) { fill_normal(out, s, o.mean, o.stddev, false); });
}
TruncatedNormal::operator Initializer() const {
  return make("TruncatedNormal", {{"seed", seed_config(seed)}, {"mean", mean}, {"stddev", stddev}},
              [o = *this, s = seed_value(seed)](TensorView out) { fill_normal(out, s, o.mean, o.stddev, true); });
}
RandomUniform::operator Initializer() const {
  return make("RandomUniform", {{"seed", seed_config(seed)}, {"minval", minval}, {"maxval", maxval}},
              [o = *this, s = seed_value(seed)](TensorView out) { fill_uniform(out, s, o.minval, o.maxval); });
}
VarianceScaling::operator Initializer() const {
  VarianceScaling v = *this;
  v.distribution = base::lower(distribution);
  if (v.distribution == "normal") v.distribution = "truncated_normal";
  return scaled("VarianceScaling",
                {{"seed", seed_config(seed)}, {"scale", scale}, {"mode", mode}, {"distribution", v.distribution},
                 {"input_axes", axes_config(input_axes)}, {"output_axes", axes_config(output_axes)}}, v);
}
GlorotNormal::operator Initializer() const { return named_scaling("GlorotNormal", *this, 1, "fan_avg", "truncated_normal"); }
GlorotUniform::operator Initializer() const { return named_scaling("GlorotUniform", *this, 1, "fan_avg", "uniform"); }
HeNormal::operator Initializer() const { return named_scaling("HeNormal", *this, 2, "fan_in", "truncated_normal"); }
HeUniform::operator Initializer() const { return named_scaling("HeUniform", *this, 2, "fan_in", "uniform"); }
LecunNormal::operator Initializer() const { return named_scaling("LecunNormal", *this, 1, "fan_in", "truncated_normal"); }
LecunUniform::operator Initializer() const { return named_scaling("LecunUniform", *this, 1, "fan_in", "uniform"); }
Orthogonal::operator Initializer() const {
  return make("Orthogonal", {{"seed", seed_config(seed)}, {"gain", gain}},
              [g = gain, s = seed_value(seed)](TensorView out) { fill_orthogonal(out, s, g); });
}
Identity::operator Initializer() const {
  return make("Identity", {}, [g = gain](TensorView out) {
    if (out.shape.rank() != 2)
      throw ArgumentError("shape", base::cat("Identity matrix initializer can only be used for 2D matrices. Received: shape=",
                                             out.shape.str(), " of rank ", out.shape.rank(), "."));
    const auto columns = static_cast<std::uint64_t>(out.shape[1]);
    fill_each(out, [&](std::uint64_t i) { return i / columns == i % columns ? g : 0.0; });
  });
}
Bilinear::operator Initializer() const {
  return Initializer(std::make_shared<Filler>(
      "Bilinear", Config::dict({{"module", "upconv"}, {"class_name", "Bilinear"}, {"config", Config(Config::Dict{})},
                                {"registered_name", "upconv>Bilinear"}}), fill_bilinear));
}
ICNR::operator Initializer() const { return Initializer(std::make_shared<IcnrFiller>(*this)); }

}  // namespace initializers

}  // namespace upconv
