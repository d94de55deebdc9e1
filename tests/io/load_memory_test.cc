// SPDX-License-Identifier: Apache-2.0
// The memory of a load: no more than the file, what it decodes to, and 64 MiB, the decoding process included. Each load runs in a
// process of its own; a thread there adds up what it and its children hold.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zip.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "support/temp_folder.h"
#include "upconv/io.h"

namespace upconv {
namespace {

constexpr std::int64_t kMiB = std::int64_t{1} << 20;

/// 45 MiB of weights, which deflate to a seventh.
Model big() {
  std::vector<std::shared_ptr<Layer>> layers;
  for (int i = 0; i < 5; ++i) layers.push_back(std::make_shared<Conv2DTranspose>(512, 3, Conv2DTransposeOptions{.kernel_initializer = "zeros"}));
  Model model(layers, "big", Shape{2, 2, 512});
  std::uint32_t state = 1;
  for (const Model::WeightRef& ref : model.weights()) {
    Tensor value(ref.variable().value.shape());
    for (float& element : value.span<float>()) element = static_cast<float>((state = state * 1664525u + 1013904223u) >> 29);
    ref.layer->assign(ref.index, value);
  }
  return model;
}

/// Runs f in a child process and gives what it returns.
std::int64_t in_a_process_of_its_own(const std::function<std::int64_t()>& f) {
  int ends[2];
  EXPECT_EQ(pipe(ends), 0);
  const pid_t child = fork();
  if (child == 0) {
    std::int64_t result = -1;
    try {
      result = f();
    } catch (const std::exception& e) {
      std::fprintf(stderr, "%s\n", e.what());
    }
    _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
  }
  close(ends[1]);
  std::int64_t result = -1;
  EXPECT_EQ(read(ends[0], &result, sizeof result), static_cast<ssize_t>(sizeof result));
  close(ends[0]);
  waitpid(child, nullptr, 0);
  return result;
}

/// Memory of a process that is its own: what it shares with files and siblings costs nothing.
std::int64_t own_bytes(const std::string& pid) {
  std::ifstream status("/proc/" + pid + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::strtoll(line.c_str() + 8, nullptr, 10) * 1024;
  return 0;
}

std::int64_t family_bytes() {
  const std::string self = std::to_string(getpid());
  std::int64_t sum = own_bytes(self);
  for (const auto& thread : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream children(thread.path() / "children");
    for (std::string child; children >> child;) sum += own_bytes(child);
  }
  return sum;
}

/// The most that this process and its children hold while f runs, beyond what they held before.
std::int64_t peak_of(const std::function<void()>& f) {
  const std::int64_t before = family_bytes();
  std::atomic<std::int64_t> peak{0};
  std::atomic<bool> done{false};
  std::thread watch([&] {
    while (!done) {
      const std::int64_t now = family_bytes();
      if (now > peak) peak = now;
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  f();
  done = true;
  watch.join();
  return peak - before;
}

void deflate(const std::string& from, const std::string& to) {
  zip_t* in = zip_open(from.c_str(), ZIP_RDONLY, nullptr);
  zip_t* out = zip_open(to.c_str(), ZIP_CREATE, nullptr);
  ASSERT_TRUE(in && out);
  for (zip_uint64_t i = 0; i < static_cast<zip_uint64_t>(zip_get_num_entries(in, 0)); ++i) {
    zip_source_t* member = zip_source_zip(out, in, i, 0, 0, -1);
    ASSERT_GE(zip_file_add(out, zip_get_name(in, i, 0), member, ZIP_FL_ENC_UTF_8), 0);
    ASSERT_EQ(zip_set_file_compression(out, i, ZIP_CM_DEFLATE, 1), 0);
  }
  ASSERT_EQ(zip_close(out), 0);
  zip_discard(in);
}

class LoadMemory : public testing::TestWithParam<std::tuple<const char*, Isolation>> {};

TEST_P(LoadMemory, IsTheFileAndWhatItDecodesTo) {
  const auto [name, isolation] = GetParam();
  const test::TempFolder temp;
  const std::string path = temp / name, whole = temp / "big.keras";
  const std::int64_t weights = in_a_process_of_its_own([&, name = name] {
    const Model model = big();
    const std::string_view file = name;
    if (file.ends_with(".weights.h5")) save_weights(model, path), save_model(model, whole);
    else if (file == "deflated.keras") save_model(model, whole), deflate(whole, path);
    else save_model(model, path);
    return model.count_params() * 4;
  });
  ASSERT_GT(weights, 40 * kMiB);
  const auto file = static_cast<std::int64_t>(std::filesystem::file_size(path));
  const std::int64_t bound = file + weights + 64 * kMiB;
  const LoadOptions options{.isolation = isolation};
  const bool apart = std::string_view(name).ends_with(".weights.h5");
  const std::pair<const char*, std::function<void()>> calls[] = {
      {"load", [&] {
         if (!apart) return static_cast<void>(load_model(path, options));
         Model model = load_architecture(whole, options);
         load_weights(model, path, options);
       }},
      {"describe", [&] { describe_model(path, options); }},
  };
  for (const auto& [what, call] : calls) {
    // The model whose weights are replaced is the caller's own.
    const std::int64_t own = apart && what == calls[0].first ? weights : 0;
    const std::int64_t peak = in_a_process_of_its_own([&, &call = call] { return peak_of(call); });
    std::printf("%s of %s: peak %ld MiB, bound %ld MiB\n", what, name, static_cast<long>(peak / kMiB), static_cast<long>((bound + own) / kMiB));
    EXPECT_GE(peak, weights / 2) << what << " was not seen";
    EXPECT_LE(peak, bound + own) << what;
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, LoadMemory,
                         testing::Combine(testing::Values("big.keras", "deflated.keras", "big.h5", "big.weights.h5"),
                                          testing::Values(Isolation::none, Isolation::automatic)));

}  // namespace
}  // namespace upconv
