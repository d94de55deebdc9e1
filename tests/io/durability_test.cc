// SPDX-License-Identifier: Apache-2.0
// Every form of file, saved while the system calls that change the disk fail or the process is killed at them. This program defines
// those calls itself, ahead of the C library's: armed, it counts them and makes the n-th fail, be cut short or kill the process.
// Between two of them nothing on the disk changes, so a kill before each, and within each write, is a kill at every moment.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>

#include "support/temp_folder.h"
#include "upconv/error.h"
#include "upconv/io.h"

namespace {

struct {
  bool armed = false;
  int at = 0, error = 0;                       // the call that fails once, from 1, and its errno; 0: the process is killed there
  bool within = false;                         // a write that is hit is carried out by half
  std::size_t longest_write = SIZE_MAX;
  std::vector<std::string> calls;

  /// True when the call that is about to happen must fail; errno says why.
  bool fails(const char* name) {
    if (!armed) return false;
    calls.emplace_back(name);
    if (static_cast<int>(calls.size()) != at) return false;
    if (error == 0) syscall(SYS_kill, getpid(), SIGKILL);
    errno = error;
    return true;
  }
} fate;

int result_of(long value) { return static_cast<int>(value); }

}  // namespace

extern "C" {
int open(const char* path, int flags, ...) {
  va_list more;
  va_start(more, flags);
  const int mode = flags & O_CREAT ? va_arg(more, int) : 0;
  va_end(more);
  return fate.fails("open") ? -1 : result_of(syscall(SYS_openat, AT_FDCWD, path, flags, mode));
}
ssize_t write(int fd, const void* bytes, size_t size) {
  if (fate.within && static_cast<int>(fate.calls.size()) + 1 == fate.at) syscall(SYS_write, fd, bytes, size / 2);
  if (fate.fails("write")) return -1;
  return syscall(SYS_write, fd, bytes, fate.armed ? std::min(size, fate.longest_write) : size);
}
int fsync(int fd) { return fate.fails("fsync") ? -1 : result_of(syscall(SYS_fsync, fd)); }
int close(int fd) {
  const bool fails = fate.fails("close");
  const int error = errno, result = result_of(syscall(SYS_close, fd));           // Linux closes it in any case
  if (fails) errno = error;
  return fails ? -1 : result;
}
int fchmod(int fd, mode_t mode) noexcept { return fate.fails("fchmod") ? -1 : result_of(syscall(SYS_fchmod, fd, mode)); }
int rename(const char* from, const char* to) noexcept {
  return fate.fails("rename") ? -1 : result_of(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}
int unlink(const char* path) noexcept { return fate.fails("unlink") ? -1 : result_of(syscall(SYS_unlinkat, AT_FDCWD, path, 0)); }
int unlinkat(int folder, const char* path, int flags) noexcept {
  return fate.fails("unlinkat") ? -1 : result_of(syscall(SYS_unlinkat, folder, path, flags));
}
}

namespace upconv {
namespace {

namespace fs = std::filesystem;

using Files = std::map<std::string, std::string>;

void fill(const Model::WeightRef& ref, float value) {
  Tensor tensor(ref.variable().value.shape());
  std::fill_n(tensor.data<float>(), tensor.elements(), value);
  ref.layer->assign(ref.index, tensor);
}

Model model_of(float value) {
  Model model({std::make_shared<Conv2DTranspose>(2, 3, Conv2DTransposeOptions{.name = "a"}),
               std::make_shared<Conv2DTranspose>(1, 2, Conv2DTransposeOptions{.name = "b"})},
              "tiny", Shape{2, 2, 1});
  for (const Model::WeightRef& ref : model.weights()) fill(ref, value);
  return model;
}

void save_checkpoint(const std::string& path, float value) {
  static Trainer trainer = load_trainer(std::string(UPCONV_SOURCE_DIR) + "/tests/data/keras-files/compiled_adam.keras");
  fill(trainer.model().weights().front(), value);
  save_trainer(trainer, path);
}

struct Form {
  const char* name;
  void (*save)(const std::string& path, float value);
  void (*load)(const std::string& path);
};

void save_whole(const std::string& path, float value) { save_model(model_of(value), path); }
void save_values(const std::string& path, float value) { save_weights(model_of(value), path, {.max_shard_bytes = 64}); }
void load_whole(const std::string& path) { load_model(path); }
void load_values(const std::string& path) {
  Model model = model_of(0);
  load_weights(model, path);
}

const Form kForms[] = {{"m.keras", save_whole, load_whole},
                       {"m.h5", save_whole, load_whole},
                       {"m.weights.h5", save_values, load_values},
                       {"m.weights.json", save_values, load_values},
                       {"w.h5", save_values, load_values},
                       {"w.npz", save_values, load_values},
                       {"checkpoint.keras", save_checkpoint, [](const std::string& path) { load_trainer(path); }}};

class Durability : public testing::TestWithParam<Form> {
 protected:
  void SetUp() override {
    fs::create_directory(folder_);
    save(1);
    old_ = files();
    save(2);
    fresh_ = files();
    ASSERT_NE(old_, fresh_);
    calls_ = calls_of_save();
    restore();
  }

  void save(float value) const { GetParam().save(path_, value); }

  /// Counts, or does what `fate` says.
  std::vector<std::string> calls_of_save() const {
    fate.calls.clear(), fate.calls.reserve(1000);
    fate.armed = true;
    try {
      save(2);
    } catch (...) {
      fate.armed = false;
      throw;
    }
    fate.armed = false;
    return fate.calls;
  }

  Files files() const {
    Files found;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
      std::ifstream file(entry.path(), std::ios::binary);
      found[entry.path().filename().string()] = std::string(std::istreambuf_iterator<char>(file), {});
    }
    return found;
  }

  void restore() const {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) fs::remove(entry.path());
    for (const auto& [name, text] : old_) std::ofstream(folder_ + "/" + name, std::ios::binary) << text;
    fs::permissions(path_, fs::perms(0604));
  }

  static bool is_temporary(const std::string& name) { return name.starts_with(".upconv-") && name.ends_with(".tmp"); }

  /// Each file is the old or the new one, whole, and loads; returns how many temporary ones lie beside.
  int expect_whole() const {
    int temporaries = 0;
    std::size_t whole = 0;
    for (const auto& [name, text] : files()) {
      if (is_temporary(name)) {
        ++temporaries;
      } else {
        ++whole;
        EXPECT_TRUE(text == old_.at(name) || text == fresh_.at(name)) << name << " has " << text.size() << " bytes";
      }
    }
    EXPECT_EQ(whole, old_.size());
    GetParam().load(path_);
    return temporaries;
  }

  const test::TempFolder temp_;
  const std::string folder_ = temp_ / "files", path_ = folder_ + "/" + GetParam().name;
  Files old_, fresh_;
  std::vector<std::string> calls_;               // of a save over an old file
};

TEST_P(Durability, TheDataIsOnTheDiskBeforeTheNameAndTheNameBeforeTheEnd) {
  const std::vector<std::string> one = {"open", "fchmod", "write", "fsync", "close", "rename", "open", "fsync", "close"};
  std::vector<std::string> all;
  for (const auto& file : old_) all.insert(all.end(), one.begin(), one.end()), static_cast<void>(file);
  EXPECT_EQ(calls_, all);
}

TEST_P(Durability, AKillAtAnyCallLeavesOldOrNewAndTheNextSaveTidiesUp) {
  int left = 0;
  for (int n = 1; n <= static_cast<int>(calls_.size()); ++n)
    for (const bool within : {false, true}) {
      SCOPED_TRACE(testing::Message() << "call " << n << " of " << calls_.size() << (within ? ", within it" : ", before it"));
      restore();
      const pid_t child = ::fork();
      if (child == 0) {
        fate.at = n, fate.error = 0, fate.within = within;
        calls_of_save();
        ::_exit(0);
      }
      int status = 0;
      ::waitpid(child, &status, 0);
      ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
      const int temporaries = expect_whole();
      ASSERT_LE(temporaries, 1);
      left += temporaries;
      for (const auto& [name, text] : files())
        if (is_temporary(name)) fs::last_write_time(folder_ + "/" + name, fs::file_time_type::clock::now() - std::chrono::hours(2));
      save(2);
      EXPECT_EQ(files(), fresh_);
      if (HasFailure()) return;
    }
  EXPECT_GE(left, 5);                          // the kills did come while a temporary file was there
}

TEST_P(Durability, AKillBeforeThereIsAnOldFileLeavesNoneOrAWholeOne) {
  int none = 0;
  for (int n = 1; n <= static_cast<int>(calls_.size()); ++n)
    for (const bool within : {false, true}) {
      SCOPED_TRACE(testing::Message() << "call " << n << " of " << calls_.size() << (within ? ", within it" : ", before it"));
      restore();
      for (const auto& [name, text] : old_) fs::remove(folder_ + "/" + name);
      const pid_t child = ::fork();
      if (child == 0) {
        fate.at = n, fate.error = 0, fate.within = within;
        calls_of_save();
        ::_exit(0);
      }
      ::waitpid(child, nullptr, 0);
      for (const auto& [name, text] : files())
        EXPECT_TRUE(is_temporary(name) || text == fresh_.at(name)) << name;
      if (fs::exists(path_)) GetParam().load(path_);
      else ++none;
    }
  EXPECT_GE(none, 5);
}

TEST_P(Durability, AFailedCallIsAnErrorThatLeavesTheOldFileAndNothingElse) {
  for (const int error : {ENOSPC, EIO, EDQUOT})
    for (int n = 1; n <= static_cast<int>(calls_.size()); ++n)
      for (const bool within : {false, true}) {
        restore();
        fate.at = n, fate.error = error, fate.within = within;
        std::string message;
        try {
          calls_of_save();
        } catch (const FileError& e) {
          message = e.what();
          EXPECT_EQ(e.kind(), FileError::Kind::access);
        }
        fate.at = 0, fate.within = false;
        const auto call = calls_.begin() + n - 1;
        SCOPED_TRACE(testing::Message() << "call " << n << ", " << *call << ", fails with " << std::strerror(error) << ": " << message);
        const bool renamed = std::find(calls_.begin(), call, "rename") != call;
        if (*call == "close" && (call + 1 == calls_.end() || call[1] != "rename")) {
          EXPECT_EQ(message, "");              // of the folder, which holds nothing to lose
        } else {
          EXPECT_NE(message.find(folder_ + "/"), std::string::npos);
          EXPECT_NE(message.find(std::strerror(error)), std::string::npos);
        }
        EXPECT_EQ(expect_whole(), 0);
        EXPECT_TRUE(renamed || files() == old_);
        if (HasFailure()) return;
      }
}

TEST_P(Durability, AnInterruptedCallIsMadeAgainAndShortWritesGoOn) {
  for (int n = 1; n <= static_cast<int>(calls_.size()); ++n) {
    SCOPED_TRACE(testing::Message() << "call " << n);
    restore();
    fate.at = n, fate.error = EINTR;
    calls_of_save();
    fate.at = 0;
    EXPECT_EQ(files(), fresh_);
  }
  for (const std::size_t longest : {1, 7, 500}) {
    restore();
    fate.longest_write = longest;
    calls_of_save();
    fate.longest_write = SIZE_MAX;
    EXPECT_EQ(files(), fresh_);
  }
}

TEST_P(Durability, ModeAndLinkAreKept) {
  save(2);
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms(0604));
  const std::string link = temp_ / GetParam().name;
  fs::create_symlink("files/" + std::string(GetParam().name), link);
  restore();
  GetParam().save(link, 2);
  EXPECT_TRUE(fs::is_symlink(link));
  EXPECT_EQ(files().at(GetParam().name), fresh_.at(GetParam().name));
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms(0604));
}

INSTANTIATE_TEST_SUITE_P(All, Durability, testing::ValuesIn(kForms), [](const auto& info) {
  std::string name = info.param.name;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
});

}  // namespace
}  // namespace upconv
