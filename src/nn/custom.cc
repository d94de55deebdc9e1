// SPDX-License-Identifier: Apache-2.0
#include "upconv/custom.h"

#include <map>
#include <mutex>

#include "nn/custom.h"
#include "upconv/error.h"

namespace upconv {

namespace {

template <class Handle>
struct Registry {
  std::mutex mutex;
  std::map<std::string, std::function<Handle(const Config&)>> makers;
};

template <class Handle>
Registry<Handle>& registry() {
  static auto* r = new Registry<Handle>;       // never destroyed: makers may belong to an interpreter that is gone by then
  return *r;
}

/// The names an identifier may be registered by, the most particular first.
std::vector<std::string> names_of(const Config& identifier) {
  std::vector<std::string> names;
  const auto add = [&](const Config* name) {
    if (name && name->is_string()) names.push_back(name->as_string());
  };
  if (identifier.is_string()) add(&identifier);
  add(identifier.find("registered_name"));
  const Config* class_name = identifier.find("class_name");
  const bool function = class_name && class_name->is_string() && class_name->as_string() == "function";
  add(function ? identifier.find("config") : class_name);
  return names;
}

}  // namespace

template <class Handle>
void register_custom(const std::string& name, std::function<Handle(const Config&)> make) {
  if (name.empty()) throw ArgumentError("name", "A registered name cannot be empty.");
  Registry<Handle>& r = registry<Handle>();
  const std::lock_guard lock(r.mutex);
  if (make) r.makers[name] = std::move(make);
  else r.makers.erase(name);
}

namespace nn {

template <class Handle>
std::optional<Handle> registered(const Config& identifier) {
  std::function<Handle(const Config&)> make;
  {
    Registry<Handle>& r = registry<Handle>();
    const std::lock_guard lock(r.mutex);
    if (r.makers.empty()) return {};
    for (const std::string& name : names_of(identifier))
      if (const auto found = r.makers.find(name); found != r.makers.end() && !make) make = found->second;
  }
  return make ? std::optional<Handle>(make(identifier)) : std::nullopt;
}

template std::optional<Activation> registered<Activation>(const Config&);
template std::optional<Initializer> registered<Initializer>(const Config&);
template std::optional<Regularizer> registered<Regularizer>(const Config&);
template std::optional<Constraint> registered<Constraint>(const Config&);

}  // namespace nn

template UPCONV_EXPORT void register_custom<Activation>(const std::string&, std::function<Activation(const Config&)>);
template UPCONV_EXPORT void register_custom<Initializer>(const std::string&, std::function<Initializer(const Config&)>);
template UPCONV_EXPORT void register_custom<Regularizer>(const std::string&, std::function<Regularizer(const Config&)>);
template UPCONV_EXPORT void register_custom<Constraint>(const std::string&, std::function<Constraint(const Config&)>);

}  // namespace upconv
