// SPDX-License-Identifier: Apache-2.0
// Conv2DTranspose from and to Keras's configuration, key by key in Keras's order.
#include <algorithm>

#include "base/text.h"
#include "nn/tuple_argument.h"
#include "upconv/conv2d_transpose.h"
#include "upconv/error.h"

namespace upconv {

void nn::check_tuple(const char* name, Size2 value, std::int64_t least, const std::string& shown) {
  std::vector<std::string> wrong;
  if (value.h < least) wrong.push_back(std::to_string(value.h));
  if (value.w < least && value.w != value.h) wrong.push_back(std::to_string(value.w));
  if (!wrong.empty())
    throw ArgumentError(name, base::cat("The `", name, "` argument must be a tuple of 2 integers. Received ", name, "=", shown,
                                        ", including values {", base::join(wrong, ", "), "} that do not satisfy `value ",
                                        least == 0 ? ">=" : ">", " 0`"));
}

namespace {

/// A JSON value as Python prints it with str(): lists as tuples, null as None.
std::string shown(const Config& value) {
  if (value.is_null()) return "None";
  if (value.is_bool()) return value.as_bool() ? "True" : "False";
  if (value.is_string()) return base::escaped(value.as_string());
  if (!value.is_list()) return value.json();
  std::vector<std::string> items;
  for (const Config& item : value.as_list()) items.push_back(shown(item));
  return "(" + base::join(items, ", ") + (items.size() == 1 ? ",)" : ")");
}

/// A whole number, or one or two of them in a list; one means both axes. Booleans and fractions are refused. The values are
/// checked here too, so that errors come in Keras's order.
Size2 pair(const Config& value, const char* name, std::int64_t least = 1) {
  const auto whole = [](const Config& v) { return v.is_int(); };
  const bool fits = whole(value) || (value.is_list() && (value.as_list().size() == 1 || value.as_list().size() == 2) &&
                    std::all_of(value.as_list().begin(), value.as_list().end(), whole));
  if (!fits)
    throw ArgumentError(name, base::cat("The `", name, "` argument must be a tuple of 2 integers. Received ", name, "=", shown(value)));
  const Size2 size = whole(value) ? Size2(value.as_int()) : Size2(value.as_list().front().as_int(), value.as_list().back().as_int());
  nn::check_tuple(name, size, least, shown(value));
  return size;
}

Config list_of(Size2 size) { return Config::list({size.h, size.w}); }

/// "name=3 (of type <class 'int'>)"
std::string with_type(const char* name, const Config& value) {
  const char* type = value.is_bool() ? "bool" : value.is_int() ? "int" : value.is_double() ? "float" : value.is_string() ? "str"
                     : value.is_list() ? "list" : value.is_dict() ? "dict" : "NoneType";
  return base::cat(name, "=", shown(value), " (of type <class '", type, "'>)");
}

/// What Keras's base layer takes.
bool read_base_option(Conv2DTransposeOptions& o, const std::string& key, const Config& value) {
  if (key == "name") {
    if (!value.is_null() && !value.is_string())
      throw ArgumentError("name", base::cat("Argument `name` must be a string and cannot contain character `/`. Received: ",
                                            with_type("name", value)));
    if (value.is_string()) o.name = value.as_string();
  } else if (key == "trainable") {
    if (!value.is_bool())
      throw ArgumentError("trainable", base::cat("Expected `trainable` to be a boolean. Received: ", with_type("trainable", value)));
    o.trainable = value.as_bool();
  } else if (key == "dtype") {
    if (!value.is_null()) o.dtype = DTypePolicy::from_config(value).name;
  } else if (key == "autocast") {
    o.autocast = value.as_bool();
  } else if (key == "activity_regularizer") {
    o.activity_regularizer = Regularizer::from_config(value);
  } else {
    return false;
  }
  return true;
}

void read_option(Conv2DTransposeOptions& o, const std::string& key, const Config& value) {
  if (key == "strides") o.strides = pair(value, "strides");
  else if (key == "padding") {
    if (!value.is_string())
      throw ArgumentError("padding", base::cat("The `padding` argument must be one of 'valid', 'same'. Received: ", shown(value)));
    o.padding = name_of(parse_padding(value.as_string()));
  } else if (key == "output_padding") {
    if (!value.is_null()) o.output_padding = pair(value, "output_padding", 0);
  } else if (key == "data_format") {
    if (!value.is_null()) o.data_format = name_of(parse_data_format(shown(value)));
  } else if (key == "dilation_rate") o.dilation_rate = pair(value, "dilation_rate");
  else if (key == "activation") o.activation = Activation::from_config(value);
  else if (key == "use_bias") o.use_bias = value.as_bool();
  else if (key == "kernel_initializer") o.kernel_initializer = Initializer::from_config(value);
  else if (key == "bias_initializer") o.bias_initializer = Initializer::from_config(value);
  else if (key == "kernel_regularizer") o.kernel_regularizer = Regularizer::from_config(value);
  else if (key == "bias_regularizer") o.bias_regularizer = Regularizer::from_config(value);
  else if (key == "kernel_constraint") o.kernel_constraint = Constraint::from_config(value);
  else if (key == "bias_constraint") o.bias_constraint = Constraint::from_config(value);
}

/// Keys in the order in which Keras looks at the arguments; filters are the last it checks.
constexpr const char* kOrder[] = {"kernel_size", "strides", "dilation_rate", "padding", "output_padding", "data_format", "activation",
                                  "use_bias", "kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer",
                                  "kernel_constraint", "bias_constraint"};

/// input_shape (without the batch), or input_dim: the channels alone.
void read_input_shape(Conv2DTransposeOptions& o, const Config& shape, const Config& channels) {
  if (channels.is_int()) {
    const bool first = (o.data_format.empty() ? default_data_format() : o.data_format) == "channels_first";
    o.input_shape = first ? Shape{channels.as_int(), Shape::unknown, Shape::unknown} : Shape{Shape::unknown, Shape::unknown, channels.as_int()};
  }
  if (shape.is_null()) return;
  Shape dims;
  for (const Config& dim : shape.as_list()) dims.push_back(dim.is_null() ? Shape::unknown : dim.as_int());
  o.input_shape = dims;
}

const Config& required(const Config& config, const char* name) {
  if (const Config* value = config.find(name)) return *value;
  throw ArgumentError(name, base::cat("Conv2DTranspose.__init__() missing 1 required positional argument: '", name, "'"));
}

}  // namespace

Conv2DTranspose Conv2DTranspose::from_config(const Config& config) {
  const Config& filters = required(config, "filters");
  required(config, "kernel_size");
  Conv2DTransposeOptions options;
  Config input_shape, input_dim;
  for (const auto& [key, value] : config.as_dict()) {
    if (read_base_option(options, key, value) || key == "filters" || std::find(std::begin(kOrder), std::end(kOrder), key) != std::end(kOrder))
      continue;
    if (key == "input_shape") input_shape = value;
    else if (key == "input_dim") input_dim = value;
    else
      throw ArgumentError(key, base::cat("Unrecognized keyword arguments passed to Conv2DTranspose: {'", base::escaped(key), "': ",
                                         shown(value), "}"));
  }
  const Size2 kernel_size = pair(config.at("kernel_size"), "kernel_size");
  for (const char* key : kOrder)
    if (const Config* value = config.find(key)) read_option(options, key, *value);
  read_input_shape(options, input_shape, input_dim);
  if (!filters.is_int())
    throw ArgumentError("filters", base::cat("Invalid value for argument `filters`. Expected a strictly positive value. "
                                             "Received filters=", shown(filters), "."));
  return Conv2DTranspose(filters.as_int(), kernel_size, std::move(options));
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
