// SPDX-License-Identifier: Apache-2.0
// upconv._core: thin bindings; what people see is made of them in python/upconv/*.py.
#pragma once

#include "arrays.h"
#include "upconv/io.h"
#include "upconv/upconv.h"

namespace upconv::python {

void bind_activations(nb::module_& m);
void bind_layer(nb::module_& m);
void bind_model(nb::module_& m);
void bind_training(nb::module_& m);
void bind_eager(nb::module_& m);
void bind_ffi(nb::module_& m);                       // where jaxlib's header was there

}  // namespace upconv::python
