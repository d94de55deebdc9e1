// SPDX-License-Identifier: Apache-2.0
// Doubles the size of a photograph with a model that Keras trained (models/superres.keras, eight Conv2DTranspose layers),
// and holds the result against the original, against bicubic enlargement and against Keras's own output.
// Run from the root of the checkout; pictures go to out/.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include "io/atomic_file.h"
#include "io/npy.h"
#include "io/picture_math.h"
#include "io/png.h"
#include "upconv/io.h"
#include "upconv/upconv.h"

using namespace upconv;

namespace {

constexpr double kAllowedDifference = 5e-6;
constexpr std::int64_t kEdge = 4;         // pixels at each side that the PSNR leaves out
constexpr int kRepetitions = 5;

double largest_difference(const Tensor& a, const Tensor& b) {
  if (!(a.shape() == b.shape())) return INFINITY;
  double largest = 0;
  for (std::size_t i = 0; i < a.span<float>().size(); ++i) {
    const double difference = std::abs(static_cast<double>(a.span<float>()[i]) - static_cast<double>(b.span<float>()[i]));
    if (!(difference <= largest)) largest = difference;     // a NaN is the largest
  }
  return largest;
}

/// Milliseconds of the fastest of a few calls.
double fastest_call(const Model& model, const Tensor& x) {
  double best = INFINITY;
  for (int i = 0; i < kRepetitions; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Tensor y = model(x);
    best = std::min(best, std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

/// The photograph: enlarge, measure, write. (h, w, 1) -> (1, h, w, 1) for the model and back.
void enlarge(const Model& model) {
  const Tensor small = io::read_png(io::Bytes::open("models/astronaut_lr.png"));
  const Tensor original = io::read_png(io::Bytes::open("models/astronaut_hr.png"));
  const std::int64_t h = small.shape()[0], w = small.shape()[1];
  const Tensor x = Tensor::copy_of(small).reshaped({1, h, w, 1});
  const Tensor large = io::to_8_bits(model(x)).reshaped(original.shape());
  const Tensor bicubic = io::bicubic(small, 2 * h, 2 * w);
  const double ours = io::psnr(large, original, kEdge), theirs = io::psnr(bicubic, original, kEdge);

  std::filesystem::create_directories("out");
  io::replace_file("out/astronaut_sr.png", io::png_bytes(large));
  const Tensor sheet[] = {bicubic, large, original};
  io::replace_file("out/astronaut_side_by_side.png", io::png_bytes(io::side_by_side(sheet, 8)));

  std::printf("photograph                  models/astronaut_lr.png, %ld x %ld -> %ld x %ld\n", static_cast<long>(h),
              static_cast<long>(w), static_cast<long>(2 * h), static_cast<long>(2 * w));
  std::printf("PSNR against the original   bicubic %.2f dB, upconv %.2f dB (%+.2f)\n", theirs, ours, ours - theirs);
  std::printf("PSNR upconv to bicubic      %.2f dB\n", io::psnr(large, bicubic, kEdge));
  std::printf("time                        %.1f ms a picture (%d threads, %s)\n", fastest_call(model, x), default_threads(),
              default_isa().c_str());
  std::printf("written                     out/astronaut_sr.png\n"
              "                            out/astronaut_side_by_side.png (bicubic | upconv | original)\n");
}

bool agrees_with_keras(const Model& model) {
  const Tensor expected = io::read_npy(io::Bytes::open("models/superres_expected.npy"));
  const Tensor y = model(io::read_npy(io::Bytes::open("models/superres_input.npy")));
  const double difference = largest_difference(y, expected);
  const bool good = difference <= kAllowedDifference;
  std::printf("largest difference to Keras %.2g, %s %.0e: %s\n", difference, good ? "at most" : "over", kAllowedDifference,
              good ? "the same numbers" : "FAILED");
  return good;
}

}  // namespace

int main() try {
  const Model model = load_model("models/superres.keras");
  std::printf("model                       models/superres.keras, %ld parameters\n",
              static_cast<long>(model.count_params()));
  enlarge(model);
  return agrees_with_keras(model) ? 0 : 1;
} catch (const std::exception& error) {
  std::fprintf(stderr, "superres_demo: %s\n", error.what());
  return 1;
}
