// SPDX-License-Identifier: Apache-2.0
// Every file of the fuzzers' corpus, findings of the past among them, through its target: nothing but a FileError may come of it.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz/targets.h"

namespace upconv {
namespace {

class Replay : public testing::TestWithParam<fuzz::Target> {};

TEST_P(Replay, Corpus) {
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(UPCONV_SOURCE_DIR) + "/tests/fuzz/corpus/" + GetParam().name)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    EXPECT_NO_THROW(GetParam().run(std::as_bytes(std::span(bytes))));
    ++files;
  }
  EXPECT_GT(files, 0);
}

INSTANTIATE_TEST_SUITE_P(Targets, Replay, testing::ValuesIn(fuzz::kTargets), [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace upconv
