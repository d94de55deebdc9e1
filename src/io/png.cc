// SPDX-License-Identifier: Apache-2.0
// libpng reports errors by longjmp. So the two functions that call it hold nothing with a destructor: memory is made outside.
#include "io/png.h"

#include <png.h>

#include <cmath>
#include <csetjmp>
#include <cstring>

#include "base/checked.h"
#include "base/element.h"
#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

struct Stream {
  std::vector<std::byte>* bytes;
  std::size_t at = 0;
  char why[160] = "is damaged";
};

void on_error(png_structp png, png_const_charp message) {
  auto* stream = static_cast<Stream*>(png_get_error_ptr(png));
  std::strncpy(stream->why, message, sizeof stream->why - 1);
  longjmp(png_jmpbuf(png), 1);
}
void on_warning(png_structp, png_const_charp) {}

void take_bytes(png_structp png, png_bytep to, size_t count) {
  auto* stream = static_cast<Stream*>(png_get_io_ptr(png));
  if (count > stream->bytes->size() - stream->at) png_error(png, "the file ends too early");
  std::memcpy(to, stream->bytes->data() + stream->at, count);
  stream->at += count;
}
void put_bytes(png_structp png, png_bytep from, size_t count) {
  auto* out = static_cast<Stream*>(png_get_io_ptr(png))->bytes;
  const auto* start = reinterpret_cast<const std::byte*>(from);
  out->insert(out->end(), start, start + count);
}
void flush(png_structp) {}

struct Layout {
  png_uint_32 width, height;
  int channels, bits;
};

/// Reads the header, or with `rows` the pixels. False on an error, told in stream->why.
bool decode(Stream* stream, Layout* layout, png_bytep* rows) {
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, stream, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_read_struct(&png, &info, nullptr);
    return false;
  }
  png_set_user_limits(png, 1 << 20, 1 << 20);
  png_set_read_fn(png, stream, take_bytes);
  png_read_info(png, info);
  png_set_expand(png);                                 // palette to RGB, low depths to 8 bits, transparency to alpha
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  layout->width = png_get_image_width(png, info), layout->height = png_get_image_height(png, info);
  layout->channels = png_get_channels(png, info), layout->bits = png_get_bit_depth(png, info);
  if (rows) {
    png_read_image(png, rows);
    png_read_end(png, nullptr);
  }
  png_destroy_read_struct(&png, &info, nullptr);
  return true;
}

bool encode(Stream* stream, const Layout* layout, png_bytep* rows) {
  static constexpr int kColorTypes[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB, PNG_COLOR_TYPE_RGB_ALPHA};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, stream, on_error, on_warning);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, stream, put_bytes, flush);
  png_set_IHDR(png, info, layout->width, layout->height, layout->bits, kColorTypes[layout->channels - 1], PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_rows(png, info, rows);
  png_write_png(png, info, PNG_TRANSFORM_IDENTITY, nullptr);
  png_destroy_write_struct(&png, &info);
  return true;
}

}  // namespace

bool is_png(const Bytes& file) { return file.starts_with("\x89PNG\r\n\x1a\n"); }

Tensor read_png(const Bytes& file, const LoadLimits& limits) {
  if (!is_png(file)) throw FileError(file.path(), "", "is not a PNG file");
  std::vector<std::byte> bytes = file.all(limits.tensor_bytes);
  Stream stream{&bytes};
  Layout layout{};
  if (!decode(&stream, &layout, nullptr)) throw FileError(file.path(), "", base::cat("is no sound PNG: ", stream.why));
  const std::int64_t samples = std::int64_t{layout.width} * layout.height * layout.channels;
  if (samples > limits.tensor_bytes / 4)
    throw FileError(file.path(), "", base::cat("claims ", layout.width, " x ", layout.height, " pixels, beyond the limits"));
  const std::size_t row_bytes = std::size_t{layout.width} * static_cast<std::size_t>(layout.channels * layout.bits / 8);
  // The pixels at the end of the image's memory, each read before a float is written over it.
  Tensor image = Tensor::uninitialized({layout.height, layout.width, layout.channels});
  png_byte* const pixels = static_cast<png_byte*>(image.bytes()) + (image.byte_size() - row_bytes * layout.height);
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < layout.height; ++y) rows.push_back(pixels + y * row_bytes);
  stream.at = 0;
  if (!decode(&stream, &layout, rows.data())) throw FileError(file.path(), "", base::cat("is no sound PNG: ", stream.why));
  float* to = image.data<float>();
  for (std::size_t i = 0; i < static_cast<std::size_t>(samples); ++i)
    to[i] = layout.bits == 16 ? static_cast<float>(pixels[2 * i] << 8 | pixels[2 * i + 1]) / 65535.0f : static_cast<float>(pixels[i]) / 255.0f;
  return image;
}

std::vector<std::byte> png_bytes(ConstTensorView image, int bits) {
  const Shape& s = image.shape;
  if (s.rank() != 3 || s[2] < 1 || s[2] > 4 || s[0] < 1 || s[1] < 1 || (bits != 8 && bits != 16))
    throw ArgumentError("image", base::cat("A PNG holds (height, width, 1..4 channels) in 8 or 16 bits. Received: ", s.str(), ", ", bits, " bits."));
  const Layout layout{static_cast<png_uint_32>(s[1]), static_cast<png_uint_32>(s[0]), static_cast<int>(s[2]), bits};
  const double top = bits == 16 ? 65535 : 255;
  std::vector<png_byte> pixels;
  for (std::int64_t i = 0; i < image.elements(); ++i) {
    const double v = base::read_element(image, i);
    const auto level = static_cast<unsigned>(std::rint((v > 0 ? v < 1 ? v : 1 : 0) * top));     // NaN becomes 0
    if (bits == 16) pixels.push_back(static_cast<png_byte>(level >> 8));
    pixels.push_back(static_cast<png_byte>(level & 255));
  }
  const std::size_t row_bytes = pixels.size() / static_cast<std::size_t>(s[0]);
  std::vector<png_bytep> rows;
  for (std::size_t y = 0; y < static_cast<std::size_t>(s[0]); ++y) rows.push_back(pixels.data() + y * row_bytes);
  std::vector<std::byte> out;
  Stream stream{&out};
  if (!encode(&stream, &layout, rows.data())) throw StateError(base::cat("The PNG could not be written: ", stream.why));
  return out;
}

}  // namespace upconv::io
