// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"
#include "upconv/error.h"
#include "upconv/layer.h"

namespace upconv {

namespace {

struct Known {
  std::string_view name;
  DType compute, variable;
};

constexpr Known kPolicies[] = {
    {"float32", DType::float32, DType::float32},         {"float64", DType::float64, DType::float64},
    {"float16", DType::float16, DType::float16},         {"bfloat16", DType::bfloat16, DType::bfloat16},
    {"mixed_float16", DType::float16, DType::float32},   {"mixed_bfloat16", DType::bfloat16, DType::float32},
};

/// Policies of Keras that no layer of this library can compute in.
bool exists_in_keras(std::string_view name) {
  for (const std::string_view prefix : {"int", "uint", "bool", "complex", "string", "float8"})
    if (name.starts_with(prefix)) return true;
  return false;
}

}  // namespace

DTypePolicy::DTypePolicy() : DTypePolicy(default_dtype_policy()) {}
DTypePolicy::DTypePolicy(const char* name) : DTypePolicy(std::string_view(name)) {}
DTypePolicy::DTypePolicy(const std::string& name) : DTypePolicy(std::string_view(name)) {}

DTypePolicy::DTypePolicy(std::string_view given) : name(given) {
  for (const Known& known : kPolicies)
    if (known.name == given) {
      compute_dtype = known.compute, variable_dtype = known.variable;
      return;
    }
  if (exists_in_keras(given))
    throw ArgumentError("dtype", base::cat("This layer computes in float32, float64, float16, bfloat16, mixed_float16 or "
                                           "mixed_bfloat16. Received: dtype=", base::escaped(given)));
  throw ArgumentError("dtype", base::cat("Cannot convert '", base::escaped(given),
                                         "' to a mixed precision DTypePolicy. Valid policies include 'mixed_float16', "
                                         "'mixed_bfloat16', and the name of any float dtype such as 'float32'."));
}

DTypePolicy DTypePolicy::from_config(const Config& config) {
  if (config.is_null()) return {};
  if (config.is_string()) return DTypePolicy(config.as_string());
  const Config* class_name = config.find("class_name");
  const Config* inner = config.find("config");
  const Config* name = inner ? inner->find("name") : nullptr;
  if (!class_name || !class_name->is_string() || !name || !name->is_string())
    throw ArgumentError("dtype", base::cat("Cannot interpret `dtype` argument. Expected a string or an instance of DTypePolicy. "
                                           "Received: dtype=", config.json()));
  const std::string& kind = class_name->as_string();
  if (kind != "DTypePolicy" && kind != "FloatDTypePolicy" && kind != "Policy" && kind != "PolicyV1")
    throw ArgumentError("dtype", base::cat("A dtype policy of class '", base::escaped(kind),
                                           "' is not supported: only DTypePolicy is (quantized layers cannot be run)."));
  return DTypePolicy(name->as_string());
}

Config DTypePolicy::config() const {
  return Config::dict({{"module", "keras"},
                       {"class_name", "DTypePolicy"},
                       {"config", Config::dict({{"name", name}})},
                       {"registered_name", nullptr}});
}

}  // namespace upconv
