// SPDX-License-Identifier: Apache-2.0
// nlohmann-json's SAX parser feeds the tree; its own errors become FileErrors with the byte they speak of. Python's NaN,
// Infinity and -Infinity stand outside strings only: they are set aside as strings with a mark that JSON text cannot hold
// in one byte (0x01 raw is illegal in a string), and read back as numbers.
#include "io/json.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr std::string_view kMark = "\\u0001upconv:";

/// Replaces the three tokens outside strings.
std::string mark_python_tokens(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out += text[i++];
    } else if (text[i] == '"') {
      in_string = !in_string;
    } else if (!in_string) {
      bool replaced = false;
      for (const std::string_view token : {"-Infinity", "Infinity", "NaN"}) {
        if (text.substr(i, token.size()) != token) continue;
        ((((out += '"') += kMark) += token) += '"');
        i += token.size() - 1;
        replaced = true;
        break;
      }
      if (replaced) continue;
    }
    out += text[i];
  }
  return out;
}

class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(const std::string& path, const std::string& where, int nesting) : path_(path), where_(where), nesting_(nesting) {}
  Config take() { return std::move(root_); }

  bool null() override { return add({}); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(std::int64_t{value}); }
  bool number_unsigned(number_unsigned_t value) override {
    if (value > static_cast<number_unsigned_t>(std::numeric_limits<std::int64_t>::max())) return add(static_cast<double>(value));
    return add(static_cast<std::int64_t>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override {
    static const std::string mark = "\1upconv:";
    if (value.rfind(mark, 0) != 0) return add(value);
    const std::string token = value.substr(mark.size());
    const double infinity = std::numeric_limits<double>::infinity();
    if (token == "NaN") return add(std::numeric_limits<double>::quiet_NaN());
    if (token == "Infinity") return add(infinity);
    if (token == "-Infinity") return add(-infinity);
    return add(value);
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Config(Config::Dict{})); }
  bool key(string_t& value) override {
    if (stack_.back()->find(value)) fail(base::cat("the key '", value, "' appears twice"));
    key_ = value;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Config(Config::List{})); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    const std::string text = e.what();
    const std::size_t colon = text.find("] ");
    fail(base::cat("not valid JSON at byte ", position, ": ", colon == std::string::npos ? text : text.substr(colon + 2)));
  }

 private:
  [[noreturn]] void fail(const std::string& why) { throw FileError(path_, where_, why); }

  Config* place(Config value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Config& parent = *stack_.back();
    if (parent.is_list()) return &parent.as_list().emplace_back(std::move(value));
    return &parent.as_dict().emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Config value) {
    place(std::move(value));
    return true;
  }
  bool open(Config container) {
    if (static_cast<int>(stack_.size()) >= nesting_) fail(base::cat("is nested deeper than ", nesting_));
    stack_.push_back(place(std::move(container)));
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  const std::string& path_;
  const std::string& where_;
  int nesting_;
  Config root_;
  std::vector<Config*> stack_;      // open containers; each is the last element of the one before, so pointers stay good
  std::string key_;
};

}  // namespace

Config parse_json(std::string_view text, const std::string& path, const std::string& where, const LoadLimits& limits) {
  if (static_cast<std::int64_t>(text.size()) > limits.json_bytes)
    throw FileError(path, where, base::cat("has ", text.size(), " bytes of JSON; at most ", limits.json_bytes, " are read"));
  Builder builder(path, where, limits.nesting);
  const std::string marked = mark_python_tokens(text);
  nlohmann::json::sax_parse(marked, &builder);
  return builder.take();
}

}  // namespace upconv::io
