// SPDX-License-Identifier: Apache-2.0
// nlohmann-json's SAX parser feeds the tree; its own errors become FileErrors with the byte they speak of. Python's NaN,
// Infinity and -Infinity are put in quotes before the parse; which strings of the text were such tokens is known by count,
// so no text can pass for one.
#include "io/json.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <vector>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

/// The text with the tokens quoted; for each the number of strings before it and its place in the new text.
struct Quoted {
  struct Token {
    std::size_t strings_before, place;
  };
  std::string text;
  std::vector<Token> tokens;
};

std::string_view token_at(std::string_view text) {
  for (const std::string_view token : {"-Infinity", "Infinity", "NaN"})
    if (text.substr(0, token.size()) == token) return token;
  return {};
}

Quoted quote_python_tokens(std::string_view text) {
  Quoted out;
  out.text.reserve(text.size());
  std::size_t strings = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (in_string && text[i] == '\\' && i + 1 < text.size()) {
      out.text += text[i++];
    } else if (text[i] == '"') {
      strings += in_string ? 0 : 1;
      in_string = !in_string;
    } else if (const std::string_view token = in_string ? std::string_view() : token_at(text.substr(i)); !token.empty()) {
      out.tokens.push_back({strings++, out.text.size()});
      ((out.text += '"') += token) += '"';
      i += token.size() - 1;
      continue;
    }
    out.text += text[i];
  }
  return out;
}

class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Builder(const std::string& path, const std::string& where, int nesting, const std::vector<Quoted::Token>& tokens)
      : path_(path), where_(where), nesting_(nesting), tokens_(tokens) {}
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
    if (!is_token()) return add(value);
    const double infinity = std::numeric_limits<double>::infinity();
    return add(value == "NaN" ? std::numeric_limits<double>::quiet_NaN() : value[0] == '-' ? -infinity : infinity);
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return open(Config(Config::Dict{})); }
  bool key(string_t& value) override {
    if (is_token()) fail(base::cat("a key is a string. Received: ", value));
    if (!stack_.back().keys.insert(value).second) fail(base::cat("the key '", value, "' appears twice"));
    key_ = value;
    return true;
  }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(Config(Config::List{})); }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::detail::exception& e) override {
    std::size_t position = at;
    for (const Quoted::Token& token : tokens_) position -= token.place < at ? 2 : 0;
    const std::string text = e.what();
    const std::size_t colon = text.find("] ");
    fail(base::cat("not valid JSON at byte ", position, ": ", colon == std::string::npos ? text : text.substr(colon + 2)));
  }

 private:
  /// Whether the string that was just read, key or value, stands for a token.
  bool is_token() {
    const std::size_t number = strings_++;
    if (next_token_ == tokens_.size() || tokens_[next_token_].strings_before != number) return false;
    ++next_token_;
    return true;
  }

  [[noreturn]] void fail(const std::string& why) { throw FileError(path_, where_, why); }

  Config* place(Config value) {
    if (stack_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Config& parent = *stack_.back().node;
    if (parent.is_list()) return &parent.as_list().emplace_back(std::move(value));
    return &parent.as_dict().emplace_back(std::move(key_), std::move(value)).second;
  }
  bool add(Config value) {
    place(std::move(value));
    return true;
  }
  bool open(Config container) {
    if (static_cast<int>(stack_.size()) >= nesting_) fail(base::cat("is nested deeper than ", nesting_));
    stack_.push_back({place(std::move(container)), {}});
    return true;
  }
  bool close() {
    stack_.pop_back();
    return true;
  }

  struct Open {
    Config* node;                   // the last element of the container before, so the pointer stays good
    std::set<std::string> keys;     // of a dictionary: Config's own look-up is linear
  };

  const std::string& path_;
  const std::string& where_;
  int nesting_;
  const std::vector<Quoted::Token>& tokens_;
  std::size_t strings_ = 0, next_token_ = 0;
  Config root_;
  std::vector<Open> stack_;
  std::string key_;
};

}  // namespace

Config parse_json(std::string_view text, const std::string& path, const std::string& where, const LoadLimits& limits) {
  if (static_cast<std::int64_t>(text.size()) > limits.json_bytes)
    throw FileError(path, where, base::cat("has ", text.size(), " bytes of JSON; at most ", limits.json_bytes, " are read"));
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos)      // the parser takes it for the end
    throw FileError(path, where, base::cat("not valid JSON at byte ", at + 1, ": a control character (NUL)"));
  const Quoted quoted = quote_python_tokens(text);
  Builder builder(path, where, limits.nesting, quoted.tokens);
  nlohmann::json::sax_parse(quoted.text, &builder);
  return builder.take();
}

}  // namespace upconv::io
