// SPDX-License-Identifier: Apache-2.0
// The bare operation and its gradients on NumPy arrays: what upconv.keras uses where no foreign function can be compiled in.
#include "module.h"
#include "ops/conv_transpose.h"
#include "upconv/error.h"

namespace upconv::python {

namespace {

using Numbers = std::vector<std::int64_t>;

nb::object forward(const Array& x, const Array& kernel, const std::optional<Array>& bias, bool bfloat16, const Numbers& numbers) {
  const auto [geometry, execution] = unpacked_geometry(numbers);
  const ConstTensorView b = bias ? view_of(*bias, bfloat16) : ConstTensorView();
  Tensor y;
  {
    const nb::gil_scoped_release released;
    y = conv_transpose(view_of(x, bfloat16), view_of(kernel, bfloat16), b, geometry, execution);
  }
  return to_numpy(std::move(y));
}

nb::tuple backward(const Array& x, const Array& kernel, const Array& dy, bool bfloat16, const Numbers& numbers) {
  const auto [geometry, execution] = unpacked_geometry(numbers);
  const ConstTensorView xv = view_of(x, bfloat16), kv = view_of(kernel, bfloat16), dv = view_of(dy, bfloat16);
  const ops::Geometry g = ops::make_geometry(xv.shape, kv.shape, geometry);
  if (dv.shape != ops::output_shape(g)) throw ArgumentError("dy", "The gradient must have the shape of the output.");
  Tensor dx = Tensor::uninitialized(xv.shape, xv.dtype), dkernel = Tensor::uninitialized(kv.shape, kv.dtype), dbias = Tensor::uninitialized({kv.shape[2]}, kv.dtype);
  {
    const nb::gil_scoped_release released;
    ops::conv_transpose_gradients(g, xv.dtype, xv.bytes, kv.bytes, dv.bytes, {dx.bytes(), dkernel.bytes(), dbias.bytes()}, execution);
  }
  return nb::make_tuple(to_numpy(std::move(dx)), to_numpy(std::move(dkernel)), to_numpy(std::move(dbias)));
}

}  // namespace

void bind_eager(nb::module_& m) {
  m.def("conv_transpose", &forward, nb::arg("x"), nb::arg("kernel"), nb::arg("bias").none(), nb::arg("bfloat16"), nb::arg("geometry"));
  m.def("conv_transpose_gradients", &backward);
}

}  // namespace upconv::python
