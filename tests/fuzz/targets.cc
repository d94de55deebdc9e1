// SPDX-License-Identifier: Apache-2.0
#include "fuzz/targets.h"

#include <algorithm>

#include "io/frames.h"
#include "io/keras_reader.h"
#include "io/keras_tree.h"
#include "io/keras_weights.h"
#include "io/npz.h"
#include "io/npy.h"
#include "io/png.h"
#include "io/zip.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace upconv::fuzz {

namespace {

LoadOptions small() {
  LoadOptions options;
  options.limits = {.tensor_bytes = 16 << 20, .json_bytes = 1 << 20};
  return options;
}

template <class F>
void tried(F f) {
  try {
    f();
  } catch (const FileError&) {
  }
}

io::Bytes file(Bytes bytes) { return io::Bytes::view(bytes, "memory"); }

bool is_hdf5(Bytes bytes) { return file(bytes).starts_with("\x89HDF\r\n\x1a\n"); }

}  // namespace

void load_model(Bytes bytes) {
  tried([&] { upconv::load_model(bytes, small()); });
}

void json_config(Bytes bytes) {
  tried([&] {
    io::KerasParts parts;
    parts.path = "memory", parts.layout = "an architecture in JSON";
    parts.config = io::decode_keras_bytes(file(bytes), small().limits).config;
    io::model_of(parts, small(), false);
  });
}

void zip(Bytes bytes) {
  tried([&] {
    const io::Bytes archive = file(bytes);
    const io::ZipReader reader(archive, small().limits);
    for (const std::string& name : reader.names()) tried([&] { reader.read(name); });
  });
}

void weights_h5(Bytes bytes) {
  if (!is_hdf5(bytes)) return;
  tried([&] {
    io::KerasParts parts = io::decode_keras_bytes(file(bytes), small().limits);
    const Model model({std::make_shared<Conv2DTranspose>(2, 3, Conv2DTransposeOptions{.strides = 2, .name = "up"}),
                       std::make_shared<Conv2DTranspose>(1, 2, Conv2DTransposeOptions{.name = "out"})}, "m", Shape{4, 5, 3});
    const io::KerasEntry root = io::weights_tree(model);
    for (const io::LayerWeights& layer : io::match_weights(root, *parts.weights, "memory")) {
      io::check_shapes(layer, "memory");
      io::set_weights(layer, "memory");
    }
  });
}

void legacy_h5(Bytes bytes) {
  if (is_hdf5(bytes)) load_model(bytes);
}

void npy(Bytes bytes) {
  tried([&] { io::read_npy(file(bytes), small().limits); });
}

void npz(Bytes bytes) {
  tried([&] { io::read_npz(file(bytes), small().limits); });
}

void png(Bytes bytes) {
  tried([&] { io::read_png(file(bytes), small().limits); });
}

void frames(Bytes bytes) {
  const io::Bytes whole = file(bytes);                 // where tensors may lie
  tried([&] {
    io::read_frames(whole, small().limits, [&](std::span<std::byte> to) {
      if (to.size() > bytes.size()) throw FileError("memory", "", "ends too early");
      std::copy_n(bytes.begin(), to.size(), to.begin());
      bytes = bytes.subspan(to.size());
    });
  });
}

}  // namespace upconv::fuzz
