// SPDX-License-Identifier: Apache-2.0
// Conv2DTranspose from and to Keras's configuration, key by key in Keras's order.
#include <algorithm>

#include "base/text.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"

namespace upconv {

namespace {

/// A JSON value as Python shows it where that is easy: lists as tuples, null as None.
std::string shown(const Config& value) {
  if (value.is_null()) return "None";
  if (value.is_bool()) return value.as_bool() ? "True" : "False";
  if (value.is_string()) return base::escaped(value.as_string());
  std::string text = value.json();
  if (value.is_list() && text.size() >= 2) text.front() = '(', text.back() = ')';
  return text;
}

/// A whole number, or one or two of them in a list; one means both axes. Booleans and fractions are refused.
Size2 pair(const Config& value, const char* name) {
  const auto whole = [](const Config& v) { return v.is_int(); };
  if (whole(value)) return Size2(value.as_int());
  const bool list = value.is_list() && (value.as_list().size() == 1 || value.as_list().size() == 2) &&
                    std::all_of(value.as_list().begin(), value.as_list().end(), whole);
  if (!list)
    throw ArgumentError(name, base::cat("The `", name, "` argument must be a tuple of 2 integers. Received ", name, "=", shown(value)));
  return {value.as_list().front().as_int(), value.as_list().back().as_int()};
}

Config list_of(Size2 size) { return Config::list({size.h, size.w}); }

void read_option(Conv2DTransposeOptions& o, const std::string& key, const Config& value) {
  if (key == "strides") o.strides = pair(value, "strides");
  else if (key == "padding") {
    if (!value.is_string())
      throw ArgumentError("padding", base::cat("The `padding` argument must be one of 'valid', 'same'. Received: ", shown(value)));
    o.padding = value.as_string();
  } else if (key == "output_padding") {
    if (!value.is_null()) o.output_padding = pair(value, "output_padding");
  } else if (key == "data_format") {
    if (!value.is_null()) o.data_format = value.is_string() ? value.as_string() : shown(value);
  } else if (key == "dilation_rate") o.dilation_rate = pair(value, "dilation_rate");
  else if (key == "activation") o.activation = Activation::from_config(value);
  else if (key == "use_bias") o.use_bias = value.as_bool();
  else if (key == "kernel_initializer") o.kernel_initializer = Initializer::from_config(value);
  else if (key == "bias_initializer") o.bias_initializer = Initializer::from_config(value);
  else if (key == "kernel_regularizer") o.kernel_regularizer = Regularizer::from_config(value);
  else if (key == "bias_regularizer") o.bias_regularizer = Regularizer::from_config(value);
  else if (key == "activity_regularizer") o.activity_regularizer = Regularizer::from_config(value);
  else if (key == "kernel_constraint") o.kernel_constraint = Constraint::from_config(value);
  else if (key == "bias_constraint") o.bias_constraint = Constraint::from_config(value);
  else if (key == "name") o.name = value.as_string();
  else if (key == "trainable") {
    if (!value.is_bool())
      throw ArgumentError("trainable", base::cat("Expected `trainable` to be a boolean. Received: trainable=", shown(value)));
    o.trainable = value.as_bool();
  } else if (key == "dtype") {
    if (!value.is_null()) o.dtype = DTypePolicy::from_config(value).name;
  } else if (key == "autocast") o.autocast = value.as_bool();
  else
    throw ArgumentError(key, base::cat("Unrecognized keyword arguments passed to Conv2DTranspose: {'", base::escaped(key), "': ",
                                       shown(value), "}"));
}

}  // namespace

Conv2DTranspose Conv2DTranspose::from_config(const Config& config) {
  Conv2DTransposeOptions options;
  for (const auto& [key, value] : config.as_dict())
    if (key != "filters" && key != "kernel_size") read_option(options, key, value);
  const Config& filters = config.at("filters");
  if (!filters.is_int())
    throw ArgumentError("filters", base::cat("Invalid value for argument `filters`. Expected a strictly positive value. "
                                             "Received filters=", shown(filters), "."));
  return Conv2DTranspose(filters.as_int(), pair(config.at("kernel_size"), "kernel_size"), std::move(options));
}

Config Conv2DTranspose::get_config() const {
  const Conv2DTransposeOptions& o = options();
  Config config = base_config();
  // Keras's base layer writes a set activity_regularizer at once, so the key moves up; an unset one comes in its turn.
  if (o.activity_regularizer) config.set("activity_regularizer", o.activity_regularizer.config());
  config.set("filters", filters());
  config.set("kernel_size", list_of(kernel_size()));
  config.set("strides", list_of(o.strides));
  config.set("padding", o.padding);
  config.set("output_padding", o.output_padding ? list_of(*o.output_padding) : Config());
  config.set("data_format", o.data_format);
  config.set("dilation_rate", list_of(o.dilation_rate));
  config.set("activation", o.activation.config());
  config.set("use_bias", o.use_bias);
  config.set("kernel_initializer", o.kernel_initializer.config());
  config.set("bias_initializer", o.bias_initializer.config());
  config.set("kernel_regularizer", o.kernel_regularizer.config());
  config.set("bias_regularizer", o.bias_regularizer.config());
  if (!o.activity_regularizer) config.set("activity_regularizer", {});
  config.set("kernel_constraint", o.kernel_constraint.config());
  config.set("bias_constraint", o.bias_constraint.config());
  return config;
}

}  // namespace upconv
