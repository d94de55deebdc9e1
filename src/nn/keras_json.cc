// SPDX-License-Identifier: Apache-2.0
// A reader for one flat JSON object. It checks the whole text, because Keras drops all settings of a file that is no JSON,
// and keeps the strings and fractional numbers of the top level. No library: the core links no JSON.
#include "nn/keras_json.h"

#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <vector>

namespace upconv::nn {

namespace {

struct Members {
  std::map<std::string, std::string, std::less<>> strings;
  std::map<std::string, double, std::less<>> fractions;
};

/// Every function returns false at the first character that is not JSON.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  bool document(Members& members) { return object(&members, 0) && (skip_space(), at_ == text_.size()); }

 private:
  static constexpr int kDeepest = 32;

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool take(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return false;
    at_ += expected.size();
    return true;
  }

  /// Escapes are kept as they are: no setting needs one.
  bool string(std::string& out) {
    if (!take('"')) return false;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_)
      if (text_[at_] == '\\') ++at_;
    if (at_ >= text_.size()) return false;
    out = text_.substr(begin, at_++ - begin);
    return true;
  }

  bool number(const std::string& key, Members* members) {
    double value = 0;
    const char* begin = text_.data() + at_;
    const auto [end, error] = std::from_chars(begin, text_.data() + text_.size(), value);
    if (error != std::errc() || !std::isfinite(value)) return false;
    const std::string_view digits(begin, static_cast<std::size_t>(end - begin));
    if (members && digits.find_first_of(".eE") != std::string_view::npos) members->fractions[key] = value;
    at_ += digits.size();
    return true;
  }

  bool value(const std::string& key, Members* members, int depth) {
    skip_space();
    if (at_ >= text_.size() || depth > kDeepest) return false;
    std::string text;
    switch (text_[at_]) {
      case '{': return object(nullptr, depth);
      case '[': return list(depth);
      case 't': return word("true");
      case 'f': return word("false");
      case 'n': return word("null");
      case '"':
        if (!string(text)) return false;
        if (members) members->strings[key] = text;
        return true;
      default: return number(key, members);
    }
  }

  bool list(int depth) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do
      if (!value({}, nullptr, depth + 1)) return false;
    while (take(','));
    return take(']');
  }

  bool object(Members* members, int depth) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      std::string key;
      if (!string(key) || !take(':') || !value(key, members, depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::string settings_path() {
  if (const char* folder = std::getenv("KERAS_HOME"); folder && *folder) return std::string(folder) + "/keras.json";
  passwd entry{};
  passwd* found = nullptr;
  std::vector<char> buffer(16384);
  if (getpwuid_r(getuid(), &entry, buffer.data(), buffer.size(), &found) != 0 || !found) return {};
  return std::string(found->pw_dir) + "/.keras/keras.json";
}

}  // namespace

KerasJson parse_keras_json(std::string_view text) {
  Members members;
  if (!Reader(text).document(members)) return {};
  const auto one_of = [&](std::string_view key, std::initializer_list<std::string_view> valid) -> std::optional<std::string> {
    const auto found = members.strings.find(key);
    if (found == members.strings.end()) return {};
    for (const std::string_view name : valid)
      if (found->second == name) return found->second;
    return {};
  };
  KerasJson settings;
  settings.floatx = one_of("floatx", {"float16", "float32", "float64"});
  settings.image_data_format = one_of("image_data_format", {"channels_last", "channels_first"});
  if (const auto found = members.fractions.find("epsilon"); found != members.fractions.end() && found->second > 0)
    settings.epsilon = found->second;
  return settings;
}

const KerasJson& keras_json() {
  static const KerasJson settings = [] {
    std::ifstream file(settings_path(), std::ios::binary);
    return parse_keras_json(std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()));
  }();
  return settings;
}

}  // namespace upconv::nn
