// SPDX-License-Identifier: Apache-2.0
// Shapes, element types, owning tensors and non-owning views. Everything is dense and row-major.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "upconv/export.h"

namespace upconv {

/// Element types, named as Keras names them.
enum class DType : std::uint8_t { float32, float64, float16, bfloat16 };

UPCONV_EXPORT std::size_t size_of(DType dtype) noexcept;          ///< bytes of one element
UPCONV_EXPORT std::string_view name_of(DType dtype) noexcept;     ///< "float32", ...
UPCONV_EXPORT DType parse_dtype(std::string_view name);           ///< throws ArgumentError listing the names

/// IEEE 754 binary16. Conversions round to nearest, ties to even; NaN stays NaN, overflow gives infinity.
struct UPCONV_EXPORT Half {
  std::uint16_t bits = 0;
  Half() = default;
  explicit Half(float value) noexcept;
  explicit operator float() const noexcept;
  friend bool operator==(Half, Half) = default;  ///< bit equality
};

/// The upper 16 bits of a binary32, rounded to nearest, ties to even.
struct UPCONV_EXPORT BFloat16 {
  std::uint16_t bits = 0;
  BFloat16() = default;
  explicit BFloat16(float value) noexcept;
  explicit operator float() const noexcept;
  friend bool operator==(BFloat16, BFloat16) = default;  ///< bit equality
};

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::float32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::float64; };
template <> struct DTypeOf<Half> { static constexpr DType value = DType::float16; };
template <> struct DTypeOf<BFloat16> { static constexpr DType value = DType::bfloat16; };
template <class T> inline constexpr DType dtype_of = DTypeOf<T>::value;

/// Dimensions of a tensor: at most 8, held in place (no allocation). A dimension may be `unknown` where a shape
/// describes many tensors (Keras's None), never in a Tensor. Compares by value.
class UPCONV_EXPORT Shape {
 public:
  static constexpr std::int64_t unknown = -1;
  static constexpr std::size_t max_rank = 8;

  Shape() = default;  ///< rank 0: a scalar
  Shape(std::initializer_list<std::int64_t> dims);          ///< throws ArgumentError over max_rank or under -1
  explicit Shape(std::span<const std::int64_t> dims);

  std::size_t rank() const noexcept { return rank_; }
  std::int64_t operator[](std::size_t axis) const noexcept { return dims_[axis]; }
  std::int64_t& operator[](std::size_t axis) noexcept { return dims_[axis]; }
  std::int64_t at(std::ptrdiff_t axis) const;               ///< negative axes count from the end; throws ArgumentError
  const std::int64_t* begin() const noexcept { return dims_.data(); }
  const std::int64_t* end() const noexcept { return dims_.data() + rank_; }
  std::int64_t back() const { return at(-1); }
  void push_back(std::int64_t dim);

  bool fully_defined() const noexcept;
  /// Number of elements (1 for a scalar). Throws ArgumentError if a dimension is unknown or the product leaves 63 bits.
  std::int64_t elements() const;
  /// As Python prints the tuple: "(4, 10, 8, 128)", "(None, 3)", "(7,)", "()".
  std::string str() const;
  friend bool operator==(const Shape& a, const Shape& b) noexcept;

 private:
  std::array<std::int64_t, max_rank> dims_{};
  std::size_t rank_ = 0;
};

/// A read-only, non-owning view of a dense row-major tensor. The viewed memory must outlive it.
struct UPCONV_EXPORT ConstTensorView {
  const void* bytes = nullptr;
  Shape shape;
  DType dtype = DType::float32;

  ConstTensorView() = default;
  ConstTensorView(const void* bytes, Shape shape, DType dtype) : bytes(bytes), shape(shape), dtype(dtype) {}
  template <class T>
  ConstTensorView(const T* data, Shape shape) : bytes(data), shape(shape), dtype(dtype_of<T>) {}

  std::int64_t elements() const { return shape.elements(); }
  std::size_t byte_size() const { return static_cast<std::size_t>(elements()) * size_of(dtype); }
  /// Typed pointer; throws ArgumentError if T is not the element type.
  template <class T> const T* data() const { check(dtype_of<T>); return static_cast<const T*>(bytes); }
  template <class T> std::span<const T> span() const { return {data<T>(), static_cast<std::size_t>(elements())}; }

 private:
  void check(DType wanted) const;
};

/// A writable, non-owning view of a dense row-major tensor.
struct UPCONV_EXPORT TensorView {
  void* bytes = nullptr;
  Shape shape;
  DType dtype = DType::float32;

  TensorView() = default;
  TensorView(void* bytes, Shape shape, DType dtype) : bytes(bytes), shape(shape), dtype(dtype) {}
  template <class T>
  TensorView(T* data, Shape shape) : bytes(data), shape(shape), dtype(dtype_of<T>) {}

  operator ConstTensorView() const { return {bytes, shape, dtype}; }
  std::int64_t elements() const { return shape.elements(); }
  std::size_t byte_size() const { return static_cast<std::size_t>(elements()) * size_of(dtype); }
  template <class T> T* data() const { check(dtype_of<T>); return static_cast<T*>(bytes); }
  template <class T> std::span<T> span() const { return {data<T>(), static_cast<std::size_t>(elements())}; }

 private:
  void check(DType wanted) const;
};

/// An owning tensor: dense, row-major, 64-byte aligned. Copying copies the data; moving leaves an empty scalar-less
/// tensor of shape (0). Not synchronised: concurrent reads are fine, a write needs exclusive access.
class UPCONV_EXPORT Tensor {
 public:
  Tensor() noexcept;                                        ///< shape (0), float32
  explicit Tensor(const Shape& shape, DType dtype = DType::float32);   ///< zeros; throws ArgumentError, std::bad_alloc
  static Tensor uninitialized(const Shape& shape, DType dtype = DType::float32);
  static Tensor copy_of(ConstTensorView view);
  /// Elements given in row-major order; throws ArgumentError if their number is not shape.elements().
  template <class T> static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return copy_checked(values.begin(), values.size(), shape, dtype_of<T>);
  }

  Tensor(const Tensor& other);
  Tensor(Tensor&& other) noexcept;
  Tensor& operator=(const Tensor& other);
  Tensor& operator=(Tensor&& other) noexcept;
  ~Tensor();

  const Shape& shape() const noexcept { return shape_; }
  DType dtype() const noexcept { return dtype_; }
  std::int64_t elements() const noexcept { return elements_; }
  std::size_t byte_size() const noexcept { return static_cast<std::size_t>(elements_) * size_of(dtype_); }

  const void* bytes() const noexcept { return bytes_.get(); }
  void* bytes() noexcept { return bytes_.get(); }
  template <class T> const T* data() const { return view().template data<T>(); }
  template <class T> T* data() { return view().template data<T>(); }
  template <class T> std::span<const T> span() const { return {data<T>(), static_cast<std::size_t>(elements_)}; }
  template <class T> std::span<T> span() { return {data<T>(), static_cast<std::size_t>(elements_)}; }

  ConstTensorView view() const noexcept { return {bytes_.get(), shape_, dtype_}; }
  TensorView view() noexcept { return {bytes_.get(), shape_, dtype_}; }
  operator ConstTensorView() const noexcept { return view(); }
  operator TensorView() noexcept { return view(); }

  /// The same elements under another shape; throws ArgumentError unless the number of elements agrees.
  Tensor reshaped(const Shape& shape) &&;
  /// A copy with every element converted (rounded to nearest even).
  Tensor cast(DType dtype) const;

 private:
  struct Free { std::size_t bytes; void operator()(void* p) const noexcept; };
  static Tensor copy_checked(const void* values, std::size_t count, const Shape& shape, DType dtype);

  std::unique_ptr<void, Free> bytes_;
  Shape shape_;
  std::int64_t elements_ = 0;
  DType dtype_ = DType::float32;
};

/// Converts every element of `from` into `to` (same number of elements; rounded to nearest even). Throws ArgumentError.
UPCONV_EXPORT void convert(ConstTensorView from, TensorView to);

}  // namespace upconv
