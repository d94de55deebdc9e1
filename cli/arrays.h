// SPDX-License-Identifier: Apache-2.0
// Arrays and pictures as the command line reads and writes them: .npy, .npz, .png.
#pragma once

#include <string>
#include <vector>

#include "upconv/tensor.h"

namespace upconv::cli {

struct NamedArray {
  std::string name;                     ///< inside a .npz; else ""
  Tensor values;
};

/// The arrays of a .npy (one) or .npz file (by name, sorted), told apart by their bytes. Throws FileError.
std::vector<NamedArray> read_arrays(const std::string& path);
bool is_picture(const std::string& path);

/// Grey values that stand for black and white.
struct ValueRange {
  double black = 0, white = 1;
};

/// How a picture became a batch, so that the result can become one again.
enum class PictureForm {
  whole,      ///< (1, h, w, channels)
  planes,     ///< a colour picture for a grey model: (3, h, w, 1), red, green and blue as three grey pictures
};
struct PictureBatch {
  Tensor values;
  PictureForm form = PictureForm::whole;
  bool channels_first = false;
  bool dropped_alpha = false;
};

/// A PNG as the input of a model that wants `model_input` (its batch is not looked at). Throws FileError, ArgumentError.
PictureBatch read_picture(const std::string& path, const Shape& model_input, ValueRange range);
/// The model's output as a PNG with `bits` a sample. Throws ArgumentError when it is not one picture, StateError (numeric)
/// when it holds NaN.
void write_picture(const std::string& path, ConstTensorView output, const PictureBatch& input, ValueRange range, int bits);
void write_array(const std::string& path, ConstTensorView array);
void write_arrays(const std::string& path, const std::vector<NamedArray>& arrays);

}  // namespace upconv::cli
