// SPDX-License-Identifier: Apache-2.0
#include "io/atomic_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <utility>

#include "base/text.h"
#include "upconv/error.h"

namespace upconv::io {

namespace {

constexpr char kTemporaryName[] = ".upconv-%ld-%u.tmp";
constexpr int kMostLinks = 40;
constexpr std::time_t kStaleSeconds = 3600;      // a process of another machine or container may own a younger one

[[noreturn]] void refuse(const std::string& path, const std::string& why) { throw FileError(path, "", why, FileError::Kind::access); }
[[noreturn]] void refuse(const std::string& path, const char* step, int error) { refuse(path, base::cat(step, ": ", std::strerror(error))); }

std::string folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

/// The file that the links at `path` end in; it need not exist.
std::string follow_links(std::string path) {
  const std::string asked = path;
  for (int i = 0; i < kMostLinks; ++i) {
    std::array<char, 4096> target;
    const ssize_t length = ::readlink(path.c_str(), target.data(), target.size());
    if (length < 0) return path;
    if (length == static_cast<ssize_t>(target.size())) refuse(asked, "the link's target is too long");
    const std::string next(target.data(), static_cast<std::size_t>(length));
    path = next.front() == '/' ? next : folder_of(path) + "/" + next;
  }
  refuse(asked, "follows too many symbolic links");
}

/// A file that exists under its temporary name until it is renamed.
class Temporary {
 public:
  /// `mode` < 0: a new file's mode, which the umask cuts.
  Temporary(const std::string& target, int mode) : target_(target) {
    static std::atomic<unsigned> counter{0};
    do {
      char name[64];
      std::snprintf(name, sizeof name, kTemporaryName, static_cast<long>(::getpid()), counter++);
      path_ = folder_of(target) + "/" + name;
      fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode < 0 ? 0666 : 0600);
    } while (fd_ < 0 && (errno == EINTR || errno == EEXIST));
    if (fd_ < 0) refuse(target, "a temporary file beside it cannot be made", errno);
    int kept = 0;
    while (mode >= 0 && (kept = ::fchmod(fd_, static_cast<mode_t>(mode))) != 0 && errno == EINTR) {
    }
    if (kept != 0) {
      const int error = errno;
      discard();
      refuse(target, "its mode cannot be kept", error);
    }
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;
  ~Temporary() { discard(); }

  void write(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(fd_, bytes.data(), bytes.size());
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) refuse(target_, "cannot be written", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
  }

  void commit() {
    while (::fsync(fd_) != 0)
      if (errno != EINTR) refuse(target_, "cannot be written to the disk", errno);
    if (::close(std::exchange(fd_, -1)) != 0 && errno != EINTR) refuse(target_, "cannot be closed", errno);
    while (::rename(path_.c_str(), target_.c_str()) != 0)
      if (errno != EINTR) refuse(target_, "cannot be replaced", errno);
    path_.clear();
  }

 private:
  void discard() noexcept {
    if (fd_ >= 0) ::close(fd_);
    if (!path_.empty()) ::unlink(path_.c_str());
  }

  const std::string& target_;
  std::string path_;
  int fd_ = -1;
};

/// Makes the rename last. A file system that cannot sync folders says EINVAL and needs none.
void sync_folder(const std::string& path) {
  int fd = -1, result = 0;
  while ((fd = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0 && errno == EINTR) {
  }
  if (fd < 0 && errno == EACCES) return;         // a folder that may be written but not listed
  if (fd < 0) refuse(path, "its folder cannot be opened", errno);
  while ((result = ::fsync(fd)) != 0 && errno == EINTR) {
  }
  const int error = errno;
  ::close(fd);
  if (result != 0 && error != EINVAL && error != ENOTSUP) refuse(path, "its folder cannot be written to the disk", error);
}

void remove_stale(const std::string& folder) {
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(::opendir(folder.c_str()), ::closedir);
  if (!listing) return;
  while (const dirent* entry = ::readdir(listing.get())) {
    long pid = 0;
    unsigned number = 0;
    char canonical[64];
    if (std::sscanf(entry->d_name, kTemporaryName, &pid, &number) != 2 || pid <= 0) continue;
    std::snprintf(canonical, sizeof canonical, kTemporaryName, pid, number);
    if (std::strcmp(canonical, entry->d_name) != 0) continue;
    if (::kill(static_cast<pid_t>(pid), 0) == 0 || errno != ESRCH) continue;
    struct stat info {};
    const int dir = ::dirfd(listing.get());
    if (::fstatat(dir, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode)) continue;
    if (std::time(nullptr) - info.st_mtime > kStaleSeconds) ::unlinkat(dir, entry->d_name, 0);
  }
}

}  // namespace

void replace_file(const std::string& path, std::span<const std::byte> bytes) {
  if (path.empty() || path.find('\0') != std::string::npos) refuse(path, "is not a path");
  const std::string target = follow_links(path);
  struct stat info {};
  const bool exists = ::stat(target.c_str(), &info) == 0;
  if (!exists && errno != ENOENT) refuse(path, "cannot be written", errno);
  if (exists && S_ISDIR(info.st_mode)) refuse(path, "is a folder");
  if (exists && !S_ISREG(info.st_mode)) refuse(path, "is not a regular file");
  remove_stale(folder_of(target));
  Temporary temporary(target, exists ? static_cast<int>(info.st_mode & 0777) : -1);
  temporary.write(bytes);
  temporary.commit();
  sync_folder(target);
}

}  // namespace upconv::io
