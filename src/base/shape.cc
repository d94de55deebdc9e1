// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/checked.h"
#include "base/text.h"
#include "upconv/error.h"
#include "upconv/tensor.h"

namespace upconv {

namespace base {

UPCONV_EXPORT std::int64_t checked_mul(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t r;
  if (__builtin_mul_overflow(a, b, &r))
    throw ArgumentError(what, cat("The ", what, " does not fit 64 bits: ", a, " * ", b, "."));
  return r;
}

UPCONV_EXPORT std::int64_t checked_add(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t r;
  if (__builtin_add_overflow(a, b, &r))
    throw ArgumentError(what, cat("The ", what, " does not fit 64 bits: ", a, " + ", b, "."));
  return r;
}

}  // namespace base

Shape::Shape(std::initializer_list<std::int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const std::int64_t> dims) {
  for (const std::int64_t dim : dims) push_back(dim);
}

void Shape::push_back(std::int64_t dim) {
  if (rank_ == max_rank)
    throw ArgumentError("shape", base::cat("A shape has at most ", max_rank, " dimensions. Received more: ", str(), "."));
  if (dim < unknown)
    throw ArgumentError("shape", base::cat("A dimension of a shape cannot be negative. Received: ", dim, "."));
  dims_[rank_++] = dim;
}

std::int64_t Shape::at(std::ptrdiff_t axis) const {
  const auto rank = static_cast<std::ptrdiff_t>(rank_);
  const std::ptrdiff_t i = axis < 0 ? axis + rank : axis;
  if (i < 0 || i >= rank)
    throw ArgumentError("axis", base::cat("Axis ", axis, " is out of range for a shape of rank ", rank, ": ", str(), "."));
  return dims_[static_cast<std::size_t>(i)];
}

bool Shape::fully_defined() const noexcept { return std::find(begin(), end(), unknown) == end(); }

std::int64_t Shape::elements() const {
  if (!fully_defined())
    throw ArgumentError("shape", base::cat("The number of elements needs a fully-defined shape. Received: ", str(), "."));
  if (std::find(begin(), end(), 0) != end()) return 0;
  std::int64_t product = 1;
  for (const std::int64_t dim : *this) product = base::checked_mul(product, dim, "number of elements");
  return product;
}

std::string Shape::str() const {
  std::string out = "(";
  for (std::size_t i = 0; i < rank_; ++i) {
    if (i) out += ", ";
    out += dims_[i] == unknown ? "None" : std::to_string(dims_[i]);
  }
  return out + (rank_ == 1 ? ",)" : ")");
}

UPCONV_EXPORT bool operator==(const Shape& a, const Shape& b) noexcept {
  return std::equal(a.begin(), a.end(), b.begin(), b.end());
}

}  // namespace upconv
