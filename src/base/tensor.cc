// SPDX-License-Identifier: Apache-2.0
#include "upconv/tensor.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/checked.h"
#include "base/half.h"
#include "base/memory.h"
#include "base/text.h"
#include "upconv/error.h"

namespace upconv {

std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::float32: return 4;
    case DType::float64: return 8;
    default: return 2;
  }
}

std::string_view name_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::float32: return "float32";
    case DType::float64: return "float64";
    case DType::float16: return "float16";
    default: return "bfloat16";
  }
}

DType parse_dtype(std::string_view name) {
  for (const DType dtype : {DType::float32, DType::float64, DType::float16, DType::bfloat16})
    if (name == name_of(dtype)) return dtype;
  throw ArgumentError("dtype", base::cat("A dtype is one of 'float32', 'float64', 'float16', 'bfloat16'. Received: ",
                                         base::escaped(name), "."));
}

static void check_dtype(DType wanted, DType actual) {
  if (wanted != actual)
    throw ArgumentError("dtype", base::cat("The elements are ", name_of(actual), ", not ", name_of(wanted), "."));
}

void ConstTensorView::check(DType wanted) const { check_dtype(wanted, dtype); }
void TensorView::check(DType wanted) const { check_dtype(wanted, dtype); }

void Tensor::Free::operator()(void* p) const noexcept { base::deallocate(p, bytes); }

Tensor::Tensor() noexcept { shape_.push_back(0); }

Tensor Tensor::uninitialized(const Shape& shape, DType dtype) {
  Tensor t;
  t.shape_ = shape;
  t.dtype_ = dtype;
  t.elements_ = shape.elements();
  const std::int64_t bytes = base::checked_mul(t.elements_, static_cast<std::int64_t>(size_of(dtype)), "tensor size in bytes");
  if (bytes == 0) return t;
  base::checked_add(bytes, 63, "tensor size in bytes");   // allocate() rounds up
  const auto size = static_cast<std::size_t>(bytes);
  t.bytes_ = {base::allocate(size), Free{size}};
  return t;
}

Tensor::Tensor(const Shape& shape, DType dtype) : Tensor(uninitialized(shape, dtype)) {
  if (bytes_) std::memset(bytes_.get(), 0, byte_size());
}

Tensor Tensor::copy_of(ConstTensorView view) {
  Tensor t = uninitialized(view.shape, view.dtype);
  if (t.bytes_) std::memcpy(t.bytes_.get(), view.bytes, t.byte_size());
  return t;
}

Tensor Tensor::copy_checked(const void* values, std::size_t count, const Shape& shape, DType dtype) {
  if (static_cast<std::int64_t>(count) != shape.elements())
    throw ArgumentError("values", base::cat("A tensor of shape ", shape.str(), " has ", shape.elements(),
                                            " elements. Received: ", count, "."));
  return copy_of({values, shape, dtype});
}

Tensor::Tensor(const Tensor& other) : Tensor(copy_of(other.view())) {}
Tensor& Tensor::operator=(const Tensor& other) { return this == &other ? *this : *this = copy_of(other.view()); }

Tensor::Tensor(Tensor&& other) noexcept : Tensor() { *this = std::move(other); }

Tensor& Tensor::operator=(Tensor&& other) noexcept {
  std::swap(bytes_, other.bytes_);
  std::swap(shape_, other.shape_);
  std::swap(elements_, other.elements_);
  std::swap(dtype_, other.dtype_);
  return *this;
}

Tensor::~Tensor() = default;

Tensor Tensor::reshaped(const Shape& shape) && {
  if (shape.elements() != elements_)
    throw ArgumentError("shape", base::cat("Cannot reshape ", shape_.str(), " (", elements_, " elements) to ", shape.str(),
                                           " (", shape.elements(), " elements)."));
  shape_ = shape;
  return std::move(*this);
}

Tensor Tensor::cast(DType dtype) const {
  Tensor t = uninitialized(shape_, dtype);
  convert(view(), t.view());
  return t;
}

template <class From, class To>
static void convert_elements(const From* from, To* to, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<From, double> && !std::is_floating_point_v<To>) {
      // double -> half types through float would round twice; round to odd first so that the second rounding is right.
      float f = static_cast<float>(from[i]);
      if (static_cast<double>(f) != from[i] && from[i] == from[i]) {
        auto u = std::bit_cast<std::uint32_t>(f);
        const bool away = std::abs(static_cast<double>(f)) > std::abs(from[i]);
        if (away) u -= 1;                        // towards zero
        u |= 1u;                                 // sticky
        f = std::bit_cast<float>(u);
      }
      to[i] = static_cast<To>(f);
    } else {
      to[i] = base::converted<To>(from[i]);
    }
  }
}

template <class From>
static void convert_from(const From* from, TensorView to, std::int64_t count) {
  switch (to.dtype) {
    case DType::float32: return convert_elements(from, to.data<float>(), count);
    case DType::float64: return convert_elements(from, to.data<double>(), count);
    case DType::float16: return convert_elements(from, to.data<Half>(), count);
    case DType::bfloat16: return convert_elements(from, to.data<BFloat16>(), count);
  }
}

void convert(ConstTensorView from, TensorView to) {
  const std::int64_t count = from.elements();
  if (count != to.elements())
    throw ArgumentError("to", base::cat("Cannot convert ", from.shape.str(), " into ", to.shape.str(), "."));
  if (count == 0) return;
  if (from.dtype == to.dtype) {
    if (from.bytes != to.bytes) std::memmove(to.bytes, from.bytes, from.byte_size());
    return;
  }
  switch (from.dtype) {
    case DType::float32: return convert_from(from.data<float>(), to, count);
    case DType::float64: return convert_from(from.data<double>(), to, count);
    case DType::float16: return convert_from(from.data<Half>(), to, count);
    case DType::bfloat16: return convert_from(from.data<BFloat16>(), to, count);
  }
}

}  // namespace upconv
