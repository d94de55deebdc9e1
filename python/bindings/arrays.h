// SPDX-License-Identifier: Apache-2.0
// NumPy arrays and tensors. The Python side hands over C-contiguous arrays (upconv/_arrays.py); bfloat16 travels as the bits of
// uint16 with a mark, because NumPy itself has no such type.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "upconv/config.h"
#include "upconv/conv_transpose.h"
#include "upconv/tensor.h"

namespace upconv::python {

namespace nb = nanobind;

using Array = nb::ndarray<nb::ro, nb::c_contig, nb::device::cpu>;
using WritableArray = nb::ndarray<nb::c_contig, nb::device::cpu>;

/// A view of the array's memory. Throws ArgumentError for another element type.
ConstTensorView view_of(const Array& array, bool bfloat16);
TensorView writable_view_of(const WritableArray& array, bool bfloat16);
/// (array that owns the tensor's memory, whether it holds bfloat16 bits).
nb::object to_numpy(Tensor tensor);
/// A tensor from what a Python function returned, through upconv._arrays. Needs the GIL.
Tensor from_python(nb::handle value);
/// The array behind a view as a NumPy array, copied. Needs the GIL.
nb::object numpy_copy(ConstTensorView view);

Shape shape_of(const std::vector<std::optional<std::int64_t>>& dims);
nb::tuple tuple_of(const Shape& shape);
/// strides, dilation_rate, output_padding (-1: None), same, channels_first, exact: as upconv/keras/_geometry.py packs them.
std::pair<ConvTransposeGeometry, ExecutionOptions> unpacked_geometry(std::span<const std::int64_t> numbers);
/// JSON text of Python to and from a configuration.
Config config_of(const std::string& json);

}  // namespace upconv::python
