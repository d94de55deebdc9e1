// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/temp_folder.h"
#include "upconv/error.h"

namespace upconv::io {
namespace {

namespace fs = std::filesystem;

class AtomicFile : public testing::Test {
 protected:
  std::string at(const std::string& name) const { return folder_ / name; }
  static void write(const std::string& path, const std::string& text) { replace_file(path, std::as_bytes(std::span(text))); }
  static std::string text_of(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }
  std::size_t entries() const { return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator())); }
  static mode_t mode_of(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  test::TempFolder folder_;
};

TEST_F(AtomicFile, WritesNewAndReplacesOld) {
  write(at("a"), "one");
  EXPECT_EQ(text_of(at("a")), "one");
  write(at("a"), std::string(3 << 20, 'x'));
  EXPECT_EQ(text_of(at("a")).size(), std::size_t{3} << 20);
  write(at("a"), "");
  EXPECT_EQ(fs::file_size(at("a")), 0u);
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFile, KeepsTheModeOfAnOldFileAndTheUmaskForANewOne) {
  const mode_t old = ::umask(027);
  write(at("new"), "x");
  ::umask(old);
  EXPECT_EQ(mode_of(at("new")), 0640u);
  ::chmod(at("new").c_str(), 0604);
  write(at("new"), "y");
  EXPECT_EQ(mode_of(at("new")), 0604u);
}

TEST_F(AtomicFile, FollowsLinks) {
  fs::create_directory(at("inner"));
  fs::create_symlink("inner/target", at("link"));
  write(at("link"), "through a dangling link");
  EXPECT_TRUE(fs::is_symlink(at("link")));
  EXPECT_EQ(text_of(at("inner/target")), "through a dangling link");
  fs::create_symlink("loop", at("loop"));
  EXPECT_THROW(write(at("loop"), "x"), FileError);
}

TEST_F(AtomicFile, RefusesWhatIsNoFile) {
  ASSERT_EQ(::mkfifo(at("pipe").c_str(), 0600), 0);
  for (const std::string& path : {folder_.path(), at("pipe"), std::string("/dev/null"), at("missing/x"), std::string(), std::string("a\0b", 3), at(std::string(5000, 'n'))}) {
    try {
      write(path, "x");
      ADD_FAILURE() << path;
    } catch (const FileError& e) {
      EXPECT_EQ(e.kind(), FileError::Kind::access) << path;
    }
  }
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFile, AFailedWriteLeavesTheOldFileAndNothingElse) {
  write(at("a"), "old");
  rlimit saved{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &saved), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, saved.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  EXPECT_THROW(write(at("a"), std::string(10'000, 'x')), FileError);       // a short write, then EFBIG
  ::setrlimit(RLIMIT_FSIZE, &saved);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(text_of(at("a")), "old");
  EXPECT_EQ(entries(), 1u);
}

TEST_F(AtomicFile, RemovesOldTemporariesOfDeadProcessesOnly) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(0);
  ::waitpid(child, nullptr, 0);
  const std::string dead = at(".upconv-" + std::to_string(child) + "-0.tmp"), young = at(".upconv-" + std::to_string(child) + "-1.tmp");
  const std::string alive = at(".upconv-" + std::to_string(::getpid()) + "-999.tmp"), other = at(".upconv-x-0.tmp");
  for (const std::string& path : {dead, young, alive, other}) {
    std::ofstream(path) << "left";
    if (path != young) fs::last_write_time(path, fs::file_time_type::clock::now() - std::chrono::hours(2));
  }
  write(at("a"), "x");
  EXPECT_FALSE(fs::exists(dead));
  EXPECT_TRUE(fs::exists(young));
  EXPECT_TRUE(fs::exists(alive));
  EXPECT_TRUE(fs::exists(other));
}

TEST_F(AtomicFile, AKillAtAnyMomentLeavesOldOrNew) {
  const std::string old(100'000, 'o'), fresh(300'000, 'n');
  for (int i = 0; i < 40; ++i) {
    write(at("a"), old);
    const pid_t child = ::fork();
    if (child == 0) {
      for (;;) write(at("a"), fresh);
    }
    ::usleep(static_cast<useconds_t>(50 * i));
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    const std::string now = text_of(at("a"));
    ASSERT_TRUE(now == old || now == fresh) << "after " << 50 * i << " us: " << now.size() << " bytes";
  }
}

}  // namespace
}  // namespace upconv::io
