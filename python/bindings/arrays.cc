// SPDX-License-Identifier: Apache-2.0
#include "arrays.h"

#include "base/text.h"
#include "io/json.h"
#include "upconv/error.h"

namespace upconv::python {

static DType dtype_of_array(nb::dlpack::dtype type, bool bfloat16) {
  using Code = nb::dlpack::dtype_code;
  const auto is = [&](Code code, int bits) { return type.code == static_cast<std::uint8_t>(code) && type.bits == bits && type.lanes == 1; };
  if (bfloat16 && is(Code::UInt, 16)) return DType::bfloat16;
  if (is(Code::Float, 32)) return DType::float32;
  if (is(Code::Float, 64)) return DType::float64;
  if (is(Code::Float, 16)) return DType::float16;
  throw ArgumentError("dtype", "An array must be of float32, float64, float16 or bfloat16.");
}

template <class A>
static Shape shape_of_array(const A& array) {
  if (array.ndim() > Shape::max_rank)
    throw ArgumentError("shape", base::cat("An array may have at most ", Shape::max_rank, " axes. Received: ", array.ndim(), "."));
  Shape shape;
  for (std::size_t i = 0; i < array.ndim(); ++i) shape.push_back(static_cast<std::int64_t>(array.shape(i)));
  return shape;
}

ConstTensorView view_of(const Array& array, bool bfloat16) { return {array.data(), shape_of_array(array), dtype_of_array(array.dtype(), bfloat16)}; }
TensorView writable_view_of(const WritableArray& array, bool bfloat16) { return {array.data(), shape_of_array(array), dtype_of_array(array.dtype(), bfloat16)}; }

nb::object to_numpy(Tensor tensor) {
  auto* owned = new Tensor(std::move(tensor));
  nb::capsule owner(owned, [](void* p) noexcept { delete static_cast<Tensor*>(p); });
  std::vector<std::size_t> shape;
  for (const std::int64_t dim : owned->shape()) shape.push_back(static_cast<std::size_t>(dim));
  nb::dlpack::dtype type = nb::dtype<float>();
  if (owned->dtype() == DType::float64) type = nb::dtype<double>();
  if (owned->dtype() == DType::float16) type = {static_cast<std::uint8_t>(nb::dlpack::dtype_code::Float), 16, 1};
  if (owned->dtype() == DType::bfloat16) type = nb::dtype<std::uint16_t>();
  nb::ndarray<nb::numpy> array(owned->bytes(), shape.size(), shape.data(), owner, nullptr, type);
  return nb::make_tuple(nb::cast(array, nb::rv_policy::reference), owned->dtype() == DType::bfloat16);
}

nb::object numpy_copy(ConstTensorView view) { return nb::module_::import_("upconv._arrays").attr("from_core")(to_numpy(Tensor::copy_of(view))); }

Tensor from_python(nb::handle value) {
  const nb::tuple prepared = nb::cast<nb::tuple>(nb::module_::import_("upconv._arrays").attr("prepared")(value));
  return Tensor::copy_of(view_of(nb::cast<Array>(prepared[0]), nb::cast<bool>(prepared[1])));
}

Shape shape_of(const std::vector<std::optional<std::int64_t>>& dims) {
  Shape shape;
  for (const auto& dim : dims) shape.push_back(dim.value_or(Shape::unknown));
  return shape;
}

nb::tuple tuple_of(const Shape& shape) {
  nb::list dims;
  for (const std::int64_t dim : shape) {
    if (dim == Shape::unknown) dims.append(nb::none());
    else dims.append(dim);
  }
  return nb::tuple(dims);
}

std::pair<ConvTransposeGeometry, ExecutionOptions> unpacked_geometry(std::span<const std::int64_t> g) {
  if (g.size() != 9) throw ArgumentError("geometry", "The geometry has 9 numbers.");
  ConvTransposeGeometry geometry;
  geometry.strides = {g[0], g[1]}, geometry.dilation_rate = {g[2], g[3]};
  if (g[4] >= 0) geometry.output_padding = Size2{g[4], g[5]};
  geometry.padding = g[6] ? Padding::same : Padding::valid;
  geometry.data_format = g[7] ? DataFormat::channels_first : DataFormat::channels_last;
  ExecutionOptions execution;
  execution.math = g[8] ? Math::exact : Math::fast;
  return {geometry, execution};
}

Config config_of(const std::string& json) { return io::parse_json(json, "configuration", "", {}); }

}  // namespace upconv::python
