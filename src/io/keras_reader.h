// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "io/keras_files.h"

namespace upconv::io {

/// The model of a file's parts, with its weights, which are given up there, or newly initialised. Shapes are judged before weights
/// are set: a build of the graph fails first on a bad one. FileError.
Model model_of(KerasParts& parts, const LoadOptions& options, bool with_weights = true);

}  // namespace upconv::io
