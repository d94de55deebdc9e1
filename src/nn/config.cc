// SPDX-License-Identifier: Apache-2.0
#include "upconv/config.h"

#include <bit>
#include <cmath>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv {

namespace {

[[noreturn]] void wrong_kind(const char* wanted, const Config& value) {
  std::string shown = value.json();
  if (shown.size() > 200) shown = shown.substr(0, 200) + "...";
  throw ArgumentError("config", base::cat("Expected ", wanted, " in a configuration. Received: ", shown));
}

/// One UTF-8 code point starting at text[i]; i moves behind it. An invalid byte gives U+FFFD.
std::uint32_t next_code_point(const std::string& text, std::size_t& i) {
  const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
  const std::uint32_t lead = byte(i);
  const int extra = lead < 0x80 ? 0 : (lead >> 5) == 6 ? 1 : (lead >> 4) == 14 ? 2 : (lead >> 3) == 30 ? 3 : -1;
  if (extra < 0) return ++i, 0xfffdu;
  std::uint32_t code = extra == 0 ? lead : lead & (0x3fu >> extra);
  for (int k = 1; k <= extra; ++k) {
    const std::uint32_t next = byte(i + static_cast<std::size_t>(k));
    if ((next >> 6) != 2) return ++i, 0xfffdu;
    code = (code << 6) | (next & 0x3fu);
  }
  i += static_cast<std::size_t>(extra) + 1;
  return code;
}

void append_unicode(std::string& out, std::uint32_t unit) {
  static constexpr char hex[] = "0123456789abcdef";
  out += "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += hex[(unit >> shift) & 15u];
}

void append_string(std::string& out, const std::string& text) {
  out += '"';
  for (std::size_t i = 0; i < text.size();) {
    const std::uint32_t code = next_code_point(text, i);
    switch (code) {
      case '"': out += "\\\""; break;
      case '\\': out += "\\\\"; break;
      case '\n': out += "\\n"; break;
      case '\r': out += "\\r"; break;
      case '\t': out += "\\t"; break;
      case '\b': out += "\\b"; break;
      case '\f': out += "\\f"; break;
      default:
        if (code >= 0x20 && code < 0x7f) out += static_cast<char>(code);
        else if (code < 0x10000) append_unicode(out, code);
        else append_unicode(out, 0xd800u + ((code - 0x10000u) >> 10)), append_unicode(out, 0xdc00u + ((code - 0x10000u) & 0x3ffu));
    }
  }
  out += '"';
}

void append(std::string& out, const Config& value) {
  if (value.is_null()) out += "null";
  else if (value.is_bool()) out += value.as_bool() ? "true" : "false";
  else if (value.is_int()) out += std::to_string(value.as_int());
  else if (value.is_double()) {
    const double d = value.as_double();
    out += std::isnan(d) ? "NaN" : std::isinf(d) ? (d < 0 ? "-Infinity" : "Infinity") : base::python_repr(d);
  } else if (value.is_string()) append_string(out, value.as_string());
  else if (value.is_list()) {
    out += '[';
    bool first = true;
    for (const Config& item : value.as_list()) {
      if (!first) out += ", ";
      first = false;
      append(out, item);
    }
    out += ']';
  } else {
    out += '{';
    bool first = true;
    for (const auto& [key, item] : value.as_dict()) {
      if (!first) out += ", ";
      first = false;
      append_string(out, key);
      out += ": ";
      append(out, item);
    }
    out += '}';
  }
}

}  // namespace

bool Config::as_bool() const {
  if (const bool* v = std::get_if<bool>(&value_)) return *v;
  wrong_kind("true or false", *this);
}

std::int64_t Config::as_int() const {
  if (const std::int64_t* v = std::get_if<std::int64_t>(&value_)) return *v;
  if (const double* v = std::get_if<double>(&value_); v && *v == std::floor(*v) && std::abs(*v) < 0x1p62)
    return static_cast<std::int64_t>(*v);
  wrong_kind("a whole number", *this);
}

double Config::as_double() const {
  if (const double* v = std::get_if<double>(&value_)) return *v;
  if (const std::int64_t* v = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*v);
  wrong_kind("a number", *this);
}

const std::string& Config::as_string() const {
  if (const std::string* v = std::get_if<std::string>(&value_)) return *v;
  wrong_kind("a string", *this);
}

const Config::List& Config::as_list() const {
  if (const List* v = std::get_if<List>(&value_)) return *v;
  wrong_kind("a list", *this);
}
Config::List& Config::as_list() { return const_cast<List&>(std::as_const(*this).as_list()); }

const Config::Dict& Config::as_dict() const {
  if (const Dict* v = std::get_if<Dict>(&value_)) return *v;
  wrong_kind("a dictionary", *this);
}
Config::Dict& Config::as_dict() { return const_cast<Dict&>(std::as_const(*this).as_dict()); }

const Config* Config::find(std::string_view key) const noexcept {
  if (const Dict* items = std::get_if<Dict>(&value_))
    for (const Item& item : *items)
      if (item.first == key) return &item.second;
  return nullptr;
}
Config* Config::find(std::string_view key) noexcept { return const_cast<Config*>(std::as_const(*this).find(key)); }

const Config& Config::at(std::string_view key) const {
  if (const Config* value = find(key)) return *value;
  throw ArgumentError(std::string(key), base::cat("A configuration lacks the key '", base::escaped(key), "'."));
}

void Config::set(std::string_view key, Config value) {
  if (is_null()) value_ = Dict{};
  if (Config* present = find(key)) *present = std::move(value);
  else as_dict().emplace_back(std::string(key), std::move(value));
}

bool Config::erase(std::string_view key) {
  if (!is_dict()) return false;
  return std::erase_if(as_dict(), [&](const Item& item) { return item.first == key; }) > 0;
}

std::string Config::json() const {
  std::string out;
  append(out, *this);
  return out;
}

bool operator==(const Config& a, const Config& b) {
  if (a.value_.index() != b.value_.index()) return false;
  if (a.is_double()) return std::bit_cast<std::uint64_t>(a.as_double()) == std::bit_cast<std::uint64_t>(b.as_double());
  return a.value_ == b.value_;
}

}  // namespace upconv
