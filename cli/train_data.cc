// SPDX-License-Identifier: Apache-2.0
// Patches for super-resolution are cut on the fly: a sample is a function of (seed, epoch, number) alone, so neither threads
// nor ranks nor a resumed run change it. A picture takes part at several sizes, a colour picture meets a grey model as its
// luma, red and blue planes; a patch is turned, mirrored, and changed in contrast, and flat patches are drawn again.
#include "train_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "arrays.h"
#include "base/text.h"
#include "command.h"
#include "io/picture_math.h"
#include "io/png.h"
#include "nn/random.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv::cli {
namespace {

namespace fs = std::filesystem;

// ------------------------------------------------------------------------------------------------ arrays

Tensor take(std::vector<NamedArray>& arrays, std::initializer_list<const char*> names, std::size_t position, const std::string& path) {
  for (const char* name : names) {
    const auto it = std::ranges::find(arrays, name, &NamedArray::name);
    if (it != arrays.end()) return it->values;
  }
  if (position >= arrays.size()) throw ArgumentError("data", base::cat(base::escaped(path), ": holds ", arrays.size(), " array(s); inputs \"x\" and targets \"y\" are needed"));
  return arrays[position].values;
}

std::unique_ptr<Dataset> open_arrays(const DataOptions& o) {
  std::vector<NamedArray> arrays = read_arrays(o.path);
  Tensor x = take(arrays, {"x", "inputs", "x_train"}, 0, o.path), y;
  if (!o.targets.empty()) {
    std::vector<NamedArray> second = read_arrays(o.targets);
    y = take(second, {"y", "targets", "y_train"}, 0, o.targets);
  } else {
    y = take(arrays, {"y", "targets", "y_train"}, 1, o.path);
  }
  const auto weight = std::ranges::find(arrays, "sample_weight", &NamedArray::name);
  std::optional<Tensor> sample_weight;
  if (weight != arrays.end()) sample_weight = weight->values;
  return std::make_unique<ArrayDataset>(std::vector{std::move(x)}, std::vector{std::move(y)}, std::move(sample_weight));
}

// ------------------------------------------------------------------------------------------------ pictures

std::int64_t channels_of(const Model& model) {
  const Shape& shape = model.inputs().front().shape;
  const std::int64_t channels = shape.rank() == 4 ? shape[3] : 0;
  if (channels != 1 && channels != 3)
    throw ArgumentError("task", base::cat("--task superres needs a model that takes pictures (n, h, w, 1 or 3). Received: ", shape.str()));
  return channels;
}

Tensor plane(const Tensor& rgb, std::int64_t channel) {
  const std::int64_t h = rgb.shape()[0], w = rgb.shape()[1], c = rgb.shape()[2];
  Tensor out({h, w, 1});
  for (std::int64_t i = 0; i < h * w; ++i) out.data<float>()[i] = rgb.data<float>()[i * c + channel];
  return out;
}

/// ITU-R 601 luma in 8 bits.
Tensor luma(const Tensor& rgb) {
  const std::int64_t h = rgb.shape()[0], w = rgb.shape()[1], c = rgb.shape()[2];
  Tensor out({h, w, 1});
  for (std::int64_t i = 0; i < h * w; ++i) {
    const float* p = rgb.data<float>() + i * c;
    out.data<float>()[i] = static_cast<float>(0.299 * static_cast<double>(p[0]) + 0.587 * static_cast<double>(p[1]) + 0.114 * static_cast<double>(p[2]));
  }
  return io::to_8_bits(out);
}

/// A picture in the model's channels; the first is the one that people would look at.
std::vector<Tensor> views_of(const Tensor& picture, std::int64_t channels) {
  const bool colour = picture.shape()[2] >= 3;
  if (channels == 1 && colour) return {luma(picture), plane(picture, 0), plane(picture, 2)};
  if (channels == 1) return {plane(picture, 0)};
  Tensor out({picture.shape()[0], picture.shape()[1], 3});
  for (std::int64_t i = 0; i < out.elements(); ++i) out.data<float>()[i] = picture.data<float>()[i / 3 * picture.shape()[2] + (colour ? i % 3 : 0)];
  return {std::move(out)};
}

std::vector<Tensor> read_folder(const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) names.push_back(entry.path().string());
  if (error) throw FileError(folder, "", base::cat("cannot be listed: ", error.message()), FileError::Kind::access);
  std::sort(names.begin(), names.end());
  std::vector<Tensor> pictures;
  for (const std::string& name : names) {
    if (fs::is_directory(name)) continue;
    try {
      pictures.push_back(io::read_png(io::Bytes::open(name)));
    } catch (const FileError& e) {
      print_note(base::cat("skipped: ", e.what()));
    }
  }
  if (pictures.empty()) throw ArgumentError("data", base::cat(base::escaped(folder), ": the folder holds no PNG picture"));
  return pictures;
}

Tensor cropped(const Tensor& p, std::int64_t h, std::int64_t w) {
  Tensor out({h, w, p.shape()[2]});
  const std::int64_t row = w * p.shape()[2];
  for (std::int64_t y = 0; y < h; ++y) std::copy_n(p.data<float>() + y * p.shape()[1] * p.shape()[2], row, out.data<float>() + y * row);
  return out;
}

class SuperresDataset final : public Dataset {
 public:
  SuperresDataset(const DataOptions& o, std::int64_t channels) : o_(o), channels_(channels) {
    const std::int64_t least = o.patch * o.scale;
    for (const Tensor& picture : read_folder(o.path))
      for (const Tensor& view : views_of(picture, channels))
        for (const double size : {1.0, 0.8, 0.65, 0.5}) {
          const auto side = [&](std::size_t axis) { return static_cast<std::int64_t>(static_cast<double>(view.shape()[axis]) * size) / o.scale * o.scale; };
          const std::int64_t h = side(0), w = side(1);
          if (h < least || w < least) continue;
          Tensor large = size == 1 ? cropped(view, h, w) : io::bicubic(view, h, w);
          pairs_.push_back({io::bicubic(large, h / o.scale, w / o.scale), std::move(large)});
        }
    if (pairs_.empty()) throw ArgumentError("patch", base::cat("No picture has room for a patch of ", least, " x ", least, " pixels (--patch times --scale)."));
    for (const Pair& pair : pairs_) area_ += pair.small.shape()[0] * pair.small.shape()[1];
  }

  std::int64_t size() const override { return o_.samples > 0 ? o_.samples : std::max<std::int64_t>(1, area_ / (o_.patch * o_.patch)); }

  Batch batch(std::span<const std::int64_t> indices, std::int64_t epoch) const override {
    const auto n = static_cast<std::int64_t>(indices.size());
    Tensor x({n, o_.patch, o_.patch, channels_}), y({n, o_.patch * o_.scale, o_.patch * o_.scale, channels_});
    const std::uint64_t of_epoch = nn::Random(o_.seed ^ 0x9e3779b97f4a7c15u).bits(static_cast<std::uint64_t>(epoch));
    for (std::int64_t i = 0; i < n; ++i)
      fill(nn::Random(nn::Random(of_epoch).bits(static_cast<std::uint64_t>(indices[static_cast<std::size_t>(i)]))),
           x.data<float>() + i * x.elements() / std::max<std::int64_t>(n, 1), y.data<float>() + i * y.elements() / std::max<std::int64_t>(n, 1));
    Batch batch;
    batch.inputs.push_back(std::move(x)), batch.targets.push_back(std::move(y));
    return batch;
  }

 private:
  struct Pair { Tensor small, large; };
  /// How a patch is changed: one of eight symmetries, and value -> gain * value + offset.
  struct Change { bool transpose, flip_y, flip_x; double gain, offset; };

  void fill(const nn::Random& random, float* x, float* y) const {
    for (std::uint64_t attempt = 0;; ++attempt) {
      const auto draw = [&](std::uint64_t k) { return attempt * 16 + k; };
      const Pair& pair = pairs_[random.below(pairs_.size(), draw(0))];
      const auto at = [&](std::size_t axis) { return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(pair.small.shape()[axis] - o_.patch + 1), draw(1 + axis))); };
      const std::int64_t top = at(0), left = at(1);
      if (attempt < 8 && deviation(pair.small, top, left) < 0.02 && random.uniform(draw(3)) < 0.9) continue;
      const std::uint64_t symmetry = random.below(8, draw(4));
      Change change{(symmetry & 1) != 0, (symmetry & 2) != 0, (symmetry & 4) != 0, 0.7 + 0.3 * random.uniform(draw(5)), 0};
      change.offset = random.uniform(draw(6)) * (1 - change.gain);
      if (random.uniform(draw(7)) < 0.3) change.offset += change.gain, change.gain = -change.gain;
      copy(pair.small, top, left, o_.patch, change, x);
      copy(pair.large, top * o_.scale, left * o_.scale, o_.patch * o_.scale, change, y);
      return;
    }
  }
  double deviation(const Tensor& p, std::int64_t top, std::int64_t left) const {
    double sum = 0, squares = 0;
    const std::int64_t count = o_.patch * o_.patch * channels_;
    for (std::int64_t r = 0; r < o_.patch; ++r)
      for (std::int64_t i = 0; i < o_.patch * channels_; ++i) {
        const double v = static_cast<double>(p.data<float>()[((top + r) * p.shape()[1] + left) * channels_ + i]);
        sum += v, squares += v * v;
      }
    const double mean = sum / static_cast<double>(count);
    return std::sqrt(std::max(0.0, squares / static_cast<double>(count) - mean * mean));
  }
  void copy(const Tensor& p, std::int64_t top, std::int64_t left, std::int64_t side, const Change& c, float* to) const {
    for (std::int64_t r = 0; r < side; ++r)
      for (std::int64_t q = 0; q < side; ++q) {
        std::int64_t a = c.flip_y ? side - 1 - r : r, b = c.flip_x ? side - 1 - q : q;
        if (c.transpose) std::swap(a, b);
        for (std::int64_t k = 0; k < channels_; ++k)
          to[(r * side + q) * channels_ + k] =
              static_cast<float>(c.gain * static_cast<double>(p.data<float>()[((top + a) * p.shape()[1] + left + b) * channels_ + k]) + c.offset);
      }
  }

  DataOptions o_;
  std::int64_t channels_, area_ = 0;
  std::vector<Pair> pairs_;
};

}  // namespace

std::unique_ptr<Dataset> open_dataset(const DataOptions& o, const Model& model) {
  if (o.task.empty()) {
    if (fs::is_directory(o.path)) throw ArgumentError("task", base::cat(base::escaped(o.path), ": a folder of pictures needs --task superres"));
    return open_arrays(o);
  }
  if (o.task != "superres") throw ArgumentError("task", base::cat("The task is superres, or none for arrays. Received: ", base::escaped(o.task)));
  return std::make_unique<SuperresDataset>(o, channels_of(model));
}

std::vector<Tensor> sample_pictures(const DataOptions& o, const Model& model, std::size_t count) {
  std::vector<Tensor> pictures;
  if (o.task != "superres") return pictures;
  for (const Tensor& picture : read_folder(o.path)) {
    if (pictures.size() == count) break;
    Tensor view = std::move(views_of(picture, channels_of(model)).front());
    const std::int64_t h = std::min<std::int64_t>(view.shape()[0], 512) / o.scale * o.scale, w = std::min<std::int64_t>(view.shape()[1], 512) / o.scale * o.scale;
    if (h >= o.scale && w >= o.scale) pictures.push_back(cropped(view, h, w));
  }
  return pictures;
}

}  // namespace upconv::cli
