// SPDX-License-Identifier: Apache-2.0
// The library's own activation functions behind the public handle.
#pragma once

#include "kernels/elementwise.h"
#include "upconv/activation.h"
#include "upconv/layer.h"

namespace upconv::nn {

/// An element-wise function. `config` is what get_config writes; null where Keras has no form for its parameters.
std::shared_ptr<const ActivationFunction> elementwise(std::string name, kernels::ActivationSpec spec, Config config);

enum class AxisKind { softmax, log_softmax, glu, sparsemax };
std::shared_ptr<const ActivationFunction> along_axes(AxisKind kind, std::vector<int> axes, Config config);
bool is_along_axes(const ActivationFunction& function);

/// The function of one of Keras's activation layers (ReLU, LeakyReLU, ELU, Softmax, Activation) from its own config
/// (without name, trainable, dtype). Throws ArgumentError in Keras's words; other class names give nullptr.
std::shared_ptr<const ActivationFunction> function_of_layer(std::string_view class_name, const Config& config);

/// Keras's layer dictionary {"module": "keras.layers", "class_name", "config", "registered_name": null}.
Config keras_layer(std::string_view class_name, Config config);

/// Keras 2's hard_sigmoid, clip(0.2x + 0.5, 0, 1): only files from Keras 2 name it, and Keras 3 has no word for it.
Activation hard_sigmoid_keras2();
bool is_hard_sigmoid_keras2(const ActivationFunction& function);

}  // namespace upconv::nn
