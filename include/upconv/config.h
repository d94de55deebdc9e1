// SPDX-License-Identifier: Apache-2.0
// The value tree of get_config(): what Keras writes as JSON, in Keras's key order.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "upconv/export.h"

namespace upconv {

/// null, bool, integer, double, string, list or ordered dictionary. A value type; copying copies the tree.
class UPCONV_EXPORT Config {
 public:
  using List = std::vector<Config>;
  using Item = std::pair<std::string, Config>;
  using Dict = std::vector<Item>;      ///< in insertion order; keys are unique

  Config() = default;                                         ///< null
  Config(std::nullptr_t) {}
  Config(bool value) : value_(value) {}
  Config(int value) : value_(std::int64_t{value}) {}
  Config(std::int64_t value) : value_(value) {}
  Config(double value) : value_(value) {}
  Config(const char* value) : value_(std::string(value)) {}
  Config(std::string value) : value_(std::move(value)) {}
  Config(std::string_view value) : value_(std::string(value)) {}
  Config(List value) : value_(std::move(value)) {}
  Config(Dict value) : value_(std::move(value)) {}
  static Config dict(std::initializer_list<Item> items) { return Config(Dict(items)); }
  static Config list(std::initializer_list<Config> items) { return Config(List(items)); }

  bool is_null() const noexcept { return value_.index() == 0; }
  bool is_bool() const noexcept { return value_.index() == 1; }
  bool is_int() const noexcept { return value_.index() == 2; }
  bool is_double() const noexcept { return value_.index() == 3; }
  bool is_number() const noexcept { return is_int() || is_double(); }
  bool is_string() const noexcept { return value_.index() == 4; }
  bool is_list() const noexcept { return value_.index() == 5; }
  bool is_dict() const noexcept { return value_.index() == 6; }

  // Each throws ArgumentError that says what the value is, when it is not of the wanted kind.
  bool as_bool() const;
  std::int64_t as_int() const;                                ///< an integer, or a double without fraction
  double as_double() const;                                   ///< an integer or a double
  const std::string& as_string() const;
  const List& as_list() const;
  List& as_list();
  const Dict& as_dict() const;
  Dict& as_dict();

  const Config* find(std::string_view key) const noexcept;    ///< nullptr when this is no dict or lacks the key
  Config* find(std::string_view key) noexcept;
  const Config& at(std::string_view key) const;               ///< throws ArgumentError naming the key
  void set(std::string_view key, Config value);               ///< replaces in place, or appends; a null becomes a dict
  bool erase(std::string_view key);                           ///< true if it was there

  /// As Python's json.dumps writes it: ", " and ": ", shortest numbers, ASCII escapes, NaN and Infinity.
  std::string json() const;

  /// Equal kinds and values in equal key order; doubles by their bits.
  friend UPCONV_EXPORT bool operator==(const Config& a, const Config& b);

 private:
  std::variant<std::monostate, bool, std::int64_t, double, std::string, List, Dict> value_;
};

}  // namespace upconv
