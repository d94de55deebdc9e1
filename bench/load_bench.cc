// SPDX-License-Identifier: Apache-2.0
// What decoding in a process of its own costs: models loaded in turns with Isolation::none and Isolation::process, 100 MB and a tiny
// one, in each form of file. ./dev bench --load
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "upconv/io.h"

namespace {

using namespace upconv;
namespace fs = std::filesystem;

/// `layers` of 512 channels have 9.4 MB of weights each.
Model model_of(int layers, std::int64_t channels) {
  std::vector<std::shared_ptr<Layer>> all;
  for (int i = 0; i < layers; ++i) all.push_back(std::make_shared<Conv2DTranspose>(channels, 3));
  return Model(all, "model", Shape{2, 2, channels});
}

double milliseconds(const std::string& path, Isolation isolation) {
  const auto start = std::chrono::steady_clock::now();
  load_model(path, {.isolation = isolation});
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

void compare(const Model& model, const std::string& path, int rounds) {
  save_model(model, path);
  std::vector<double> inside, apart, ratio, more;
  for (int i = 0; i <= rounds; ++i) {
    const double none = milliseconds(path, Isolation::none), process = milliseconds(path, Isolation::process);
    if (i == 0) continue;                              // the file comes into the page cache
    inside.push_back(none), apart.push_back(process), ratio.push_back(process / none), more.push_back(process - none);
  }
  std::printf("%-12s %11ju bytes   in process %7.2f ms   apart %7.2f ms   ratio %5.2f   more %6.2f ms\n", fs::path(path).filename().c_str(),
              static_cast<std::uintmax_t>(fs::file_size(path)), median(inside), median(apart), median(ratio), median(more));
  fs::remove(path);
}

}  // namespace

int main() {
  const fs::path folder = fs::temp_directory_path() / ("upconv-load-bench-" + std::to_string(::getpid()));
  fs::create_directory(folder);
  const Model big = model_of(11, 512), tiny = model_of(2, 4);
  for (const char* form : {".keras", ".h5"}) {
    compare(big, folder / (std::string("big") + form), 15);
    compare(tiny, folder / (std::string("tiny") + form), 60);
  }
  fs::remove_all(folder);
}
