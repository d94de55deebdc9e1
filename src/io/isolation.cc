// SPDX-License-Identifier: Apache-2.0
#include "io/isolation.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "io/descriptor.h"
#include "io/frames.h"
#include "upconv/error.h"

extern char** environ;

namespace upconv {
namespace io {

namespace {

std::string folder_of(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

}  // namespace

std::string helper_path() {
  std::vector<std::string> folders;
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&helper_path), &here) && here.dli_fname && std::strchr(here.dli_fname, '/')) folders.push_back(folder_of(here.dli_fname));
  char program[4096];
  if (const ssize_t length = ::readlink("/proc/self/exe", program, sizeof program); length > 0)
    folders.push_back(folder_of(std::string(program, static_cast<std::size_t>(length))));
  for (const std::string& folder : folders)
    for (const char* place : {"upconv-decode", "../libexec/upconv/upconv-decode", "../../libexec/upconv/upconv-decode", "../helper/upconv-decode"})
      if (std::string path = folder + place; ::access(path.c_str(), X_OK) == 0) return path;
  return "";
}

namespace {

/// The bytes as a file that can be handed on; memory goes into an anonymous one.
int shared_descriptor(const Bytes& file) {
  if (file.descriptor() >= 0) return ::fcntl(file.descriptor(), F_DUPFD_CLOEXEC, 3);
  const int fd = ::memfd_create("upconv", MFD_CLOEXEC);
  std::vector<std::byte> block(std::size_t{1} << 20);
  for (std::int64_t at = 0; fd >= 0 && at < file.size();) {
    const std::span<std::byte> part = std::span(block).first(static_cast<std::size_t>(std::min<std::int64_t>(file.size() - at, 1 << 20)));
    file.read(at, part);
    const ssize_t written = ::write(fd, part.data(), part.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return ::close(fd), -1;
    at += written;
  }
  return fd;
}

class Helper {
 public:
  Helper(const std::string& program, const Bytes& file, const LoadLimits& limits) : file_(file), seconds_(decoding_seconds(file.size(), limits)) {
    int ends[2];
    const Descriptor input(shared_descriptor(file));
    if (input.get() < 0 || ::pipe2(ends, O_CLOEXEC) != 0) fail(base::cat("cannot be handed to a decoding process: ", std::strerror(errno)), FileError::Kind::access);
    const Descriptor output(ends[1]);
    pipe_.emplace(ends[0]);
    ::fcntl(pipe_->get(), F_SETPIPE_SZ, 1 << 20);               // the most that any process may ask for: a sixteenth of the switches
    std::vector<std::string> words = {program, file.path()};
    for (const std::int64_t limit : {limits.tensor_bytes, limits.json_bytes, std::int64_t{limits.nesting}, limits.layers, limits.hdf5_objects, limits.zip_members,
                                     limits.inflate_ratio, limits.seconds})
      words.push_back(base::cat(limit));
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, input.get(), 0);
    posix_spawn_file_actions_adddup2(&actions, output.get(), 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    const int error = ::posix_spawn(&child_, program.c_str(), &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) child_ = -1, fail(base::cat("no decoding process can be started: ", std::strerror(error)), FileError::Kind::access);
  }
  Helper(const Helper&) = delete;
  Helper& operator=(const Helper&) = delete;
  ~Helper() {
    if (child_ > 0) ::kill(child_, SIGKILL);
    wait();
  }

  /// Whether its sandbox stands.
  bool sandboxed() {
    std::byte first{};
    read({&first, 1});
    if (first != std::byte(Sandbox::stands) && first != std::byte(Sandbox::none)) fail("the process that decodes the file broke the protocol: its first byte");
    return first == std::byte(Sandbox::stands);
  }

  void read(std::span<std::byte> to) {
    while (!to.empty()) {
      pollfd ready{pipe_->get(), POLLIN, 0};
      const int polled = ::poll(&ready, 1, static_cast<int>(std::min<std::int64_t>(seconds_, 1'000'000) * 1000));
      if (polled < 0 && errno == EINTR) continue;
      if (polled == 0) fail(base::cat("the process that decodes the file was silent for ", seconds_, " seconds"));
      const ssize_t got = ::read(pipe_->get(), to.data(), to.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) fail(ending());
      to = to.subspan(static_cast<std::size_t>(got));
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what, FileError::Kind kind = FileError::Kind::content) const { throw FileError(file_.path(), "", what, kind); }

  int wait() noexcept {
    if (child_ > 0)
      while (::waitpid(child_, &status_, 0) < 0 && errno == EINTR) {}
    child_ = -1;
    return status_;
  }

  std::string ending() {
    wait();
    if (WIFSIGNALED(status_)) return base::cat("the process that decodes the file was stopped by signal ", WTERMSIG(status_), " (", ::strsignal(WTERMSIG(status_)), ")");
    return base::cat("the process that decodes the file ended too early, with exit code ", WEXITSTATUS(status_));
  }

  const Bytes& file_;
  std::int64_t seconds_;                               // from the last byte to the next: decoding gives none until it is done
  std::optional<Descriptor> pipe_;                     // its reading end
  pid_t child_ = -1;
  int status_ = 0;
};

}  // namespace

std::optional<KerasParts> decode_isolated(const Bytes& file, const LoadOptions& options, const std::string& program) {
  if (options.isolation == Isolation::none) return std::nullopt;
  const auto without = [&](const std::string& why) -> std::optional<KerasParts> {
    if (options.isolation == Isolation::process)
      throw FileError(file.path(), "", base::cat("cannot be decoded in a sandbox: ", why, ". Isolation::automatic and none decode it without one"), FileError::Kind::access);
    if (options.on_note) options.on_note(base::cat("files are decoded without a sandbox: ", why));
    return std::nullopt;
  };
  if (program.empty()) return without("the program upconv-decode is not beside the library");
  Helper helper(program, file, options.limits);
  if (!helper.sandboxed()) return without("this system gives no sandbox (seccomp)");
  return read_frames(file, options.limits, [&](std::span<std::byte> to) { helper.read(to); });
}

}  // namespace io

Isolation parse_isolation(std::string_view name) {
  if (name == "none") return Isolation::none;
  if (name == "automatic") return Isolation::automatic;
  if (name == "process") return Isolation::process;
  throw ArgumentError("isolation", base::cat("isolation must be none, automatic or process. Received: ", base::escaped(name)));
}

}  // namespace upconv
