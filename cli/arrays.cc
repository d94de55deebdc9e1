// SPDX-License-Identifier: Apache-2.0
#include "arrays.h"

#include <cmath>

#include "base/text.h"
#include "io/npy.h"
#include "io/npz.h"
#include "io/png.h"
#include "output.h"
#include "upconv/error.h"

namespace upconv::cli {
namespace {

/// (n, h, w, c) -> (n, c, h, w) when `to_first`, else the way back.
Tensor move_channels(ConstTensorView x, bool to_first) {
  const Shape& s = x.shape;
  const std::int64_t n = s[0], pixels = to_first ? s[1] * s[2] : s[2] * s[3], c = to_first ? s[3] : s[1];
  Tensor y(to_first ? Shape{n, c, s[1], s[2]} : Shape{n, s[2], s[3], c});
  const float* from = x.data<float>();
  float* to = y.data<float>();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t k = 0; k < c; ++k) {
        const std::int64_t last = (i * pixels + p) * c + k, first = (i * c + k) * pixels + p;
        to[to_first ? first : last] = from[to_first ? last : first];
      }
  return y;
}

/// The first `keep` of the channels of (h, w, c).
Tensor first_channels(const Tensor& picture, std::int64_t keep) {
  const std::int64_t h = picture.shape()[0], w = picture.shape()[1], c = picture.shape()[2];
  Tensor y({h, w, keep});
  for (std::int64_t p = 0; p < h * w; ++p)
    for (std::int64_t k = 0; k < keep; ++k) y.data<float>()[p * keep + k] = picture.data<float>()[p * c + k];
  return y;
}

Tensor repeat_grey(const Tensor& picture, std::int64_t channels) {
  const std::int64_t h = picture.shape()[0], w = picture.shape()[1];
  Tensor y({h, w, channels});
  for (std::int64_t p = 0; p < h * w; ++p)
    for (std::int64_t k = 0; k < channels; ++k) y.data<float>()[p * channels + k] = picture.data<float>()[p];
  return y;
}

bool plausible_channels(std::int64_t c) { return c >= 1 && c <= 4; }

}  // namespace

bool is_picture(const std::string& path) { return base::lower(path).ends_with(".png"); }

std::vector<NamedArray> read_arrays(const std::string& path) {
  const io::Bytes file = io::Bytes::open(path);
  std::vector<NamedArray> arrays;
  if (!file.starts_with("PK")) {
    arrays.push_back({"", io::read_npy(file)});
    return arrays;
  }
  for (auto& [name, values] : io::read_npz(file)) arrays.push_back({name, std::move(values)});
  return arrays;
}

PictureBatch read_picture(const std::string& path, const Shape& model_input, ValueRange range) {
  if (model_input.rank() != 4)
    throw ArgumentError("input", base::cat(base::escaped(path), ": the model takes ", model_input.str(), ", which is no picture"));
  Tensor picture = io::read_png(io::Bytes::open(path));
  PictureBatch batch;
  batch.channels_first = !plausible_channels(model_input[3]) && plausible_channels(model_input[1]);
  const std::int64_t wanted = batch.channels_first ? model_input[1] : model_input[3];
  std::int64_t channels = picture.shape()[2];
  if ((channels == 2 || channels == 4) && wanted != channels && wanted != Shape::unknown) {
    picture = first_channels(picture, --channels);
    batch.dropped_alpha = true;
  }
  for (float& v : picture.span<float>()) v = static_cast<float>(range.black + static_cast<double>(v) * (range.white - range.black));
  if (wanted != channels && channels == 1 && wanted == 3) picture = repeat_grey(picture, channels = 3);
  const std::int64_t h = picture.shape()[0], w = picture.shape()[1];
  batch.values = std::move(picture).reshaped({1, h, w, channels});
  if (wanted == 1 && channels == 3) {
    batch.form = PictureForm::planes;
    batch.values = move_channels(batch.values, true).reshaped({3, h, w, 1});
    channels = 1;
  }
  if (wanted != channels && wanted != Shape::unknown)
    throw ArgumentError("input", base::cat(base::escaped(path), ": a picture of ", channels, " channels for a model that takes ", model_input.str()));
  if (batch.channels_first) batch.values = move_channels(batch.values, true);
  return batch;
}

void write_picture(const std::string& path, ConstTensorView output, const PictureBatch& input, ValueRange range, int bits) {
  const std::int64_t pictures = input.form == PictureForm::planes ? 3 : 1;
  const auto no_picture = [&] {
    throw ArgumentError("output", base::cat("The output of shape ", output.shape.str(), " is not one picture of 1 to 4 channels; write it "
                                            "to a .npy file. Received: ", base::escaped(path)));
  };
  if (output.shape.rank() != 4 || output.shape[0] != pictures) no_picture();
  Tensor y = Tensor::copy_of(output).cast(DType::float32);
  if (input.channels_first) y = move_channels(y, false);
  const std::int64_t h = y.shape()[1], w = y.shape()[2];
  std::int64_t channels = y.shape()[3];
  if (pictures == 3 && channels == 1) {
    y = move_channels(std::move(y).reshaped({1, 3, h, w}), false);
    channels = 3;
  } else if (pictures == 3 || !plausible_channels(channels)) {
    no_picture();
  }
  for (float& v : y.span<float>()) {
    if (std::isnan(v)) throw StateError("the output holds NaN, which no picture can show", StateError::Kind::numeric);
    v = static_cast<float>((static_cast<double>(v) - range.black) / (range.white - range.black));
  }
  write_file(path, io::png_bytes(std::move(y).reshaped({h, w, channels}), bits));
}

void write_array(const std::string& path, ConstTensorView array) { write_file(path, io::npy_bytes(array)); }

void write_arrays(const std::string& path, const std::vector<NamedArray>& arrays) {
  std::vector<std::pair<std::string, ConstTensorView>> views;
  for (const NamedArray& a : arrays) views.emplace_back(a.name, a.values);
  write_file(path, io::npz_bytes(views));
}

}  // namespace upconv::cli
