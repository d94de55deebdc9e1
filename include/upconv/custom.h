// SPDX-License-Identifier: Apache-2.0
// Names for the caller's own activations, initialisers, regularisers and constraints, so that configurations and files can
// hold them: what keras.saving.register_keras_serializable does. A file can name nothing that this process did not register.
#pragma once

#include <functional>
#include <string>

#include "upconv/activation.h"
#include "upconv/config.h"
#include "upconv/constraint.h"
#include "upconv/export.h"
#include "upconv/initializer.h"
#include "upconv/regularizer.h"

namespace upconv {

/// From now on Handle::from_config, and so load_model, makes what is registered as `name` ("package>Class") by calling `make` with
/// the whole identifier: Keras's dictionary, or the bare name. The object's own config() is what files hold; its dictionary
/// has {"registered_name": name}. An empty `make` forgets the name. Handle: Activation, Initializer, Regularizer or Constraint.
/// A registered name comes before a built-in one. Process-wide; safe from several threads. Throws ArgumentError for an empty name.
template <class Handle>
UPCONV_EXPORT void register_custom(const std::string& name, std::function<Handle(const Config& identifier)> make);

extern template void register_custom<Activation>(const std::string&, std::function<Activation(const Config&)>);
extern template void register_custom<Initializer>(const std::string&, std::function<Initializer(const Config&)>);
extern template void register_custom<Regularizer>(const std::string&, std::function<Regularizer(const Config&)>);
extern template void register_custom<Constraint>(const std::string&, std::function<Constraint(const Config&)>);

}  // namespace upconv
