// SPDX-License-Identifier: Apache-2.0
#include "support/golden.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <vector>

#include "support/npz.h"

namespace upconv::test {

namespace {

const std::string kFolder = UPCONV_SOURCE_DIR "/tests/data/golden/";

std::vector<double> doubles(ConstTensorView view) {
  Tensor wide(view.shape, DType::float64);
  convert(view, wide);
  const auto span = wide.span<double>();
  return {span.begin(), span.end()};
}

}  // namespace

const Json& golden_index() {
  static const Json index = Json::parse(std::ifstream(kFolder + "index.json"));
  return index;
}

const Tensor& golden_array(const std::string& file, const std::string& key) {
  static std::map<std::string, std::map<std::string, Tensor>> files;
  auto found = files.find(file);
  if (found == files.end()) found = files.emplace(file, read_npz(kFolder + file)).first;
  return found->second.at(key);
}

const Tensor* golden_array_of(const Json& layer_case, const char* name) {
  const Json& arrays = layer_case.at("arrays");
  if (!arrays.contains(name)) return nullptr;
  return &golden_array(layer_case.at("file"), arrays.at(name).at("key"));
}

Tensor golden_tensor(const Json& array) {
  const auto dims = array.at("shape").get<std::vector<std::int64_t>>();
  Tensor t{Shape(std::span(dims))};
  float* to = t.data<float>();
  for (const Json& value : array.at("values")) *to++ = value.is_null() ? std::numeric_limits<float>::quiet_NaN() : value.get<float>();
  return t;
}

Config to_config(const Json& json) {
  switch (json.type()) {
    case Json::value_t::null: return {};
    case Json::value_t::boolean: return json.get<bool>();
    case Json::value_t::number_integer:
    case Json::value_t::number_unsigned: return json.get<std::int64_t>();
    case Json::value_t::number_float: return json.get<double>();
    case Json::value_t::string: return json.get<std::string>();
    case Json::value_t::array: {
      Config::List list;
      for (const Json& item : json) list.push_back(to_config(item));
      return list;
    }
    default: {
      Config::Dict dict;
      for (const auto& [key, item] : json.items()) dict.emplace_back(key, to_config(item));
      return dict;
    }
  }
}

double largest_difference(ConstTensorView a, ConstTensorView b) {
  if (a.shape != b.shape) return std::numeric_limits<double>::infinity();
  const std::vector<double> u = doubles(a), v = doubles(b);
  double largest = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    if ((std::isnan(u[i]) && std::isnan(v[i])) || u[i] == v[i]) continue;
    const double difference = std::abs(u[i] - v[i]);
    if (!(difference <= std::numeric_limits<double>::max())) return std::numeric_limits<double>::infinity();
    largest = std::max(largest, difference);
  }
  return largest;
}

double largest_magnitude(ConstTensorView a) {
  double largest = 0;
  for (const double v : doubles(a))
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  return largest;
}

bool same_bits(ConstTensorView a, ConstTensorView b) {
  if (a.dtype != b.dtype || a.shape != b.shape) return false;
  return a.elements() == 0 || std::memcmp(a.bytes, b.bytes, a.byte_size()) == 0;
}

}  // namespace upconv::test
