// SPDX-License-Identifier: Apache-2.0
// Each schedule evaluates in float32, operation by operation, as Keras does.
#include <cmath>
#include <numbers>

#include "base/text.h"
#include "nn/identifier.h"
#include "upconv/error.h"
#include "upconv/optimizer.h"

namespace upconv {

namespace {

float f(double value) { return static_cast<float>(value); }

/// step / steps, floored for a staircase.
float progress(std::int64_t step, std::int64_t steps, bool staircase) {
  const float p = f(static_cast<double>(step)) / f(static_cast<double>(steps));
  return staircase ? std::floor(p) : p;
}

float cosine(float initial, float alpha, float completed) {
  const float decayed = 0.5f * (1.0f + std::cos(f(std::numbers::pi) * completed));
  return initial * ((1.0f - alpha) * decayed + alpha);
}

struct Evaluate {
  std::int64_t step;

  float operator()(double value) const { return f(value); }
  float operator()(const schedules::ExponentialDecay& s) const {
    return f(s.initial_learning_rate) * std::pow(f(s.decay_rate), progress(step, s.decay_steps, s.staircase));
  }
  float operator()(const schedules::InverseTimeDecay& s) const {
    return f(s.initial_learning_rate) / (1.0f + f(s.decay_rate) * progress(step, s.decay_steps, s.staircase));
  }
  float operator()(const schedules::PolynomialDecay& s) const {
    float steps = f(static_cast<double>(s.decay_steps)), at = f(static_cast<double>(step));
    if (s.cycle) steps *= step == 0 ? 1.0f : std::ceil(at / steps);
    else at = std::min(at, steps);
    return (f(s.initial_learning_rate) - f(s.end_learning_rate)) * std::pow(1.0f - at / steps, f(s.power)) + f(s.end_learning_rate);
  }
  float operator()(const schedules::PiecewiseConstantDecay& s) const {
    for (std::size_t i = 0; i < s.boundaries.size(); ++i)
      if (step <= s.boundaries[i]) return f(s.values[i]);
    return f(s.values.back());
  }
  float operator()(const schedules::CosineDecay& s) const {
    const float initial = f(s.initial_learning_rate);
    std::int64_t at = step;
    float from = initial;
    if (s.warmup_target) {
      const float target = f(*s.warmup_target);
      if (step <= s.warmup_steps)
        return (target - initial) * (f(static_cast<double>(step)) / f(static_cast<double>(s.warmup_steps))) + initial;
      at = step - s.warmup_steps, from = target;
    }
    const float completed = std::min(f(static_cast<double>(at)), f(static_cast<double>(s.decay_steps))) / f(static_cast<double>(s.decay_steps));
    return cosine(from, f(s.alpha), completed);
  }
  float operator()(const schedules::CosineDecayRestarts& s) const {
    float completed = f(static_cast<double>(step)) / f(static_cast<double>(s.first_decay_steps)), restart;
    const float t = f(s.t_mul);
    if (s.t_mul == 1) {
      restart = std::floor(completed);
      completed -= restart;
    } else {
      restart = std::floor(std::log(1.0f - completed * (1.0f - t)) / std::log(t));
      const float before = (1.0f - std::pow(t, restart)) / (1.0f - t);
      completed = (completed - before) / std::pow(t, restart);
    }
    const float m = std::pow(f(s.m_mul), restart);
    return f(s.initial_learning_rate) * ((1.0f - f(s.alpha)) * (0.5f * m * (1.0f + std::cos(f(std::numbers::pi) * completed))) + f(s.alpha));
  }
};

}  // namespace

LearningRate::LearningRate(double value) : rate_(value) {
  if (!std::isfinite(value) || value < 0)
    throw ArgumentError("learning_rate", base::cat("Argument `learning_rate` must be a finite number >= 0 or a schedule. Received: ", value));
}

double LearningRate::at(std::int64_t step) const { return static_cast<double>(std::visit(Evaluate{step}, rate_)); }

LearningRate LearningRate::from_config(const Config& config) {
  if (config.is_number()) return config.as_double();
  const nn::Identifier id = nn::parse_identifier(config, "learning_rate");
  const Config& c = id.config;
  const auto number = [&](const char* key, double missing) { return nn::number_or(c, key, missing); };
  const auto flag = [&](const char* key) { return c.find(key) && c.at(key).as_bool(); };
  const auto steps = [&](const char* key) { return c.at(key).as_int(); };
  const auto initial = [&] { return c.at("initial_learning_rate").as_double(); };
  if (id.class_name == "ExponentialDecay")
    return schedules::ExponentialDecay{initial(), steps("decay_steps"), c.at("decay_rate").as_double(), flag("staircase")};
  if (id.class_name == "InverseTimeDecay")
    return schedules::InverseTimeDecay{initial(), steps("decay_steps"), c.at("decay_rate").as_double(), flag("staircase")};
  if (id.class_name == "PolynomialDecay")
    return schedules::PolynomialDecay{initial(), steps("decay_steps"), number("end_learning_rate", 1e-4), number("power", 1), flag("cycle")};
  if (id.class_name == "PiecewiseConstantDecay") {
    schedules::PiecewiseConstantDecay s;
    for (const Config& b : c.at("boundaries").as_list()) s.boundaries.push_back(b.as_int());
    for (const Config& v : c.at("values").as_list()) s.values.push_back(v.as_double());
    if (s.values.size() != s.boundaries.size() + 1)
      throw ArgumentError("boundaries", base::cat("The length of boundaries should be 1 less than the length of values. Received: boundaries=",
                                                  c.at("boundaries").json(), " of length ", s.boundaries.size(), ", and values=",
                                                  c.at("values").json(), " of length ", s.values.size(), "."));
    return s;
  }
  if (id.class_name == "CosineDecay") {
    const Config* target = c.find("warmup_target");
    return schedules::CosineDecay{initial(), steps("decay_steps"), number("alpha", 0),
                                  target && !target->is_null() ? std::optional(target->as_double()) : std::nullopt,
                                  static_cast<std::int64_t>(number("warmup_steps", 0))};
  }
  if (id.class_name == "CosineDecayRestarts")
    return schedules::CosineDecayRestarts{initial(), steps("first_decay_steps"), number("t_mul", 2), number("m_mul", 1), number("alpha", 0)};
  nn::unknown_identifier("learning_rate", id.class_name, {"ExponentialDecay", "InverseTimeDecay", "PolynomialDecay",
                                                          "PiecewiseConstantDecay", "CosineDecay", "CosineDecayRestarts"});
}

namespace {

Config optional_number(const std::optional<double>& value) { return value ? Config(*value) : Config(); }

struct Describe {
  static Config object(const char* class_name, Config::Dict config, const char* name = nullptr) {
    config.emplace_back("name", name ? name : class_name);
    return nn::keras_object("optimizers.schedules", class_name, Config(std::move(config)));
  }
  Config operator()(double value) const { return static_cast<double>(f(value)); }
  Config operator()(const schedules::ExponentialDecay& s) const {
    return object("ExponentialDecay", {{"initial_learning_rate", s.initial_learning_rate}, {"decay_steps", s.decay_steps}, {"decay_rate", s.decay_rate},
                                       {"staircase", s.staircase}});
  }
  Config operator()(const schedules::InverseTimeDecay& s) const {
    return object("InverseTimeDecay", {{"initial_learning_rate", s.initial_learning_rate}, {"decay_steps", s.decay_steps}, {"decay_rate", s.decay_rate},
                                       {"staircase", s.staircase}});
  }
  Config operator()(const schedules::PolynomialDecay& s) const {
    return object("PolynomialDecay", {{"initial_learning_rate", s.initial_learning_rate}, {"decay_steps", s.decay_steps},
                                      {"end_learning_rate", s.end_learning_rate}, {"power", s.power}, {"cycle", s.cycle}});
  }
  Config operator()(const schedules::PiecewiseConstantDecay& s) const {
    Config::List boundaries(s.boundaries.begin(), s.boundaries.end()), values(s.values.begin(), s.values.end());
    return object("PiecewiseConstantDecay", {{"boundaries", std::move(boundaries)}, {"values", std::move(values)}}, "PiecewiseConstant");
  }
  Config operator()(const schedules::CosineDecay& s) const {
    return nn::keras_object("optimizers.schedules", "CosineDecay",
                            Config::dict({{"initial_learning_rate", s.initial_learning_rate}, {"decay_steps", s.decay_steps}, {"alpha", s.alpha},
                                          {"name", "CosineDecay"}, {"warmup_target", optional_number(s.warmup_target)}, {"warmup_steps", s.warmup_steps}}));
  }
  Config operator()(const schedules::CosineDecayRestarts& s) const {
    return object("CosineDecayRestarts", {{"initial_learning_rate", s.initial_learning_rate}, {"first_decay_steps", s.first_decay_steps}, {"t_mul", s.t_mul},
                                          {"m_mul", s.m_mul}, {"alpha", s.alpha}}, "SGDRDecay");
  }
};

}  // namespace

Config LearningRate::config() const { return std::visit(Describe{}, rate_); }

}  // namespace upconv
