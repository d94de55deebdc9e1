// SPDX-License-Identifier: Apache-2.0
#include "io/byte_order.h"

#include <algorithm>
#include <cstring>

namespace upconv::io {

namespace {

template <class Bits>
Bits exchanged(Bits bits) {
  auto* bytes = reinterpret_cast<unsigned char*>(&bits);
  std::reverse(bytes, bytes + sizeof bits);
  return bits;
}

/// `usual(bits)` of at least seven in eight elements that differ from their exchanged ones.
template <class Bits, class Usual>
Orders orders_of(const void* elements, std::int64_t count, Usual usual) {
  std::int64_t changed = 0, as_read = 0, turned = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    Bits bits;
    std::memcpy(&bits, static_cast<const char*>(elements) + static_cast<std::size_t>(i) * sizeof bits, sizeof bits);
    const Bits other = exchanged(bits);
    if (bits == other) continue;
    ++changed, as_read += usual(bits) ? 1 : 0, turned += usual(other) ? 1 : 0;
  }
  const auto most = [&](std::int64_t n) { return changed > 0 && n >= changed - changed / 8; };
  return {most(as_read), most(turned)};
}

/// Whether a float is zero or its exponent, `bits` wide above `mantissa` bits, lies in [low, high].
template <int mantissa, int bits, int low, int high>
bool usual_float(std::uint64_t value) {
  const int exponent = static_cast<int>(value >> mantissa & ((1u << bits) - 1));
  return (value & ((std::uint64_t{1} << (mantissa + bits)) - 1)) == 0 || (exponent >= low && exponent <= high);
}

}  // namespace

Orders usual_sizes(const Tensor& tensor) {
  switch (tensor.dtype()) {                          // normal numbers below 2^11; numbers from 2^-64 to 2^64
    case DType::float16: return orders_of<std::uint16_t>(tensor.bytes(), tensor.elements(), usual_float<10, 5, 1, 25>);
    case DType::float32: return orders_of<std::uint32_t>(tensor.bytes(), tensor.elements(), usual_float<23, 8, 63, 191>);
    case DType::float64: return orders_of<std::uint64_t>(tensor.bytes(), tensor.elements(), usual_float<52, 11, 959, 1087>);
    default: return {};                              // bfloat16 is opaque to HDF5: it has no order
  }
}

Orders usual_sizes(const std::vector<std::int64_t>& integers) {
  const auto count = static_cast<std::int64_t>(integers.size());
  return orders_of<std::int64_t>(integers.data(), count, [](std::int64_t n) { return n > -(std::int64_t{1} << 48) && n < std::int64_t{1} << 48; });
}

}  // namespace upconv::io
