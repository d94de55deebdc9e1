// SPDX-License-Identifier: Apache-2.0
// The process-wide defaults that Keras keeps: set by the program, else by keras.json, else Keras's own.
#include <cmath>
#include <mutex>

#include "base/text.h"
#include "nn/keras_json.h"
#include "upconv/conv_transpose.h"
#include "upconv/error.h"
#include "upconv/layer.h"
#include "upconv/runtime.h"

namespace upconv {

namespace {

std::mutex mutex;
std::string chosen_policy, chosen_format;
double chosen_epsilon = 0;

}  // namespace

std::string default_dtype_policy() {
  const std::lock_guard lock(mutex);
  return !chosen_policy.empty() ? chosen_policy : nn::keras_json().floatx.value_or("float32");
}

void set_default_dtype_policy(std::string_view name) {
  const std::string checked = name.empty() ? "" : DTypePolicy(name).name;
  const std::lock_guard lock(mutex);
  chosen_policy = checked;
}

std::string default_data_format() {
  const std::lock_guard lock(mutex);
  return !chosen_format.empty() ? chosen_format : nn::keras_json().image_data_format.value_or("channels_last");
}

void set_default_data_format(std::string_view name) {
  const std::string checked(name.empty() ? "" : name_of(parse_data_format(name)));
  const std::lock_guard lock(mutex);
  chosen_format = checked;
}

double default_epsilon() {
  const std::lock_guard lock(mutex);
  return chosen_epsilon > 0 ? chosen_epsilon : nn::keras_json().epsilon.value_or(1e-7);
}

void set_default_epsilon(double epsilon) {
  if (!std::isfinite(epsilon) || epsilon < 0)
    throw ArgumentError("epsilon", base::cat("epsilon must be a finite number > 0, or 0 for the default. Received: ",
                                             base::python_repr(epsilon)));
  const std::lock_guard lock(mutex);
  chosen_epsilon = epsilon;
}

}  // namespace upconv
