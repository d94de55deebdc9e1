// SPDX-License-Identifier: Apache-2.0
// Python's functions as activations, initialisers, regularisers and constraints. A value comes as JSON text (a Keras name or
// dictionary), or as (callable, name it is registered by).
#pragma once

#include "arrays.h"
#include "upconv/activation.h"
#include "upconv/constraint.h"
#include "upconv/initializer.h"
#include "upconv/layer.h"
#include "upconv/regularizer.h"

namespace upconv::python {

Activation activation_of(nb::handle value);
Initializer initializer_of(nb::handle value);
Regularizer regularizer_of(nb::handle value);
Constraint constraint_of(nb::handle value);

/// A Python object that C++ threads may hold and let go of.
struct Held {
  nb::object object;
  explicit Held(nb::handle h) : object(nb::borrow(h)) {}
  ~Held();
  const nb::object& get() const;                       ///< StateError when the garbage collector took it
};
/// The Python functions that a layer holds. Python's garbage collector follows them: a function refers to its module, whose
/// variables may hold the layer.
std::vector<Held*> functions_of(const Layer& layer);

void bind_values(nb::module_& m);

}  // namespace upconv::python
