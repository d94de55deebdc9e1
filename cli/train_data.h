// SPDX-License-Identifier: Apache-2.0
// What `upconv train` learns from: arrays of a .npz or .npy, or patches of a folder of pictures.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "upconv/training.h"

namespace upconv::cli {

struct DataOptions {
  std::string path, targets;            ///< a .npz or .npy, or a folder of .png; a .npy of targets
  std::string task;                     ///< "" for arrays, "superres" for a folder
  std::int64_t scale = 2, patch = 32;   ///< of superres: enlargement, side of an input patch
  std::int64_t samples = 0;             ///< of superres: patches an epoch; 0: as many as the pictures hold side by side
  std::uint64_t seed = 0;
};

/// Throws FileError, ArgumentError. Files of a folder that are no pictures are skipped with a note.
std::unique_ptr<Dataset> open_dataset(const DataOptions& options, const Model& model);

/// The whole pictures of a folder as the model sees them: (h, w, c) at most `count`, for samples at the end of training.
std::vector<Tensor> sample_pictures(const DataOptions& options, const Model& model, std::size_t count);

}  // namespace upconv::cli
