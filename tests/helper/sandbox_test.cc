// SPDX-License-Identifier: Apache-2.0
// What a process can still do inside the sandbox of upconv-decode. Each question is asked in a process of its own.
#include <gtest/gtest.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <functional>

#include "../../helper/sandbox.h"

namespace upconv::helper {
namespace {

constexpr int kNoSandbox = 99;

/// The wait status of a process that enters the sandbox and returns what `inside` returns.
int status_of(const std::function<int()>& inside) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(enter_sandbox(std::int64_t{1} << 30, 1) ? inside() : kNoSandbox);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

class SandboxTest : public testing::Test {
 protected:
  void SetUp() override {
    const int status = status_of([] { return 0; });
    if (WIFEXITED(status) && WEXITSTATUS(status) == kNoSandbox) GTEST_SKIP() << "this system gives no seccomp filter";
    ASSERT_EQ(status, 0);
  }
};

int exit_code(const std::function<int()>& inside) {
  const int status = status_of(inside);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

TEST_F(SandboxTest, OpeningGivesAccessDenied) {
  EXPECT_EQ(exit_code([] { return ::open("/etc/passwd", O_RDONLY) < 0 ? errno : 0; }), EACCES);
  EXPECT_EQ(exit_code([] { return ::open("/tmp/upconv-sandbox-test", O_WRONLY | O_CREAT, 0600) < 0 ? errno : 0; }), EACCES);
  EXPECT_EQ(exit_code([] { return ::syscall(SYS_openat2, AT_FDCWD, "/etc/passwd", nullptr, 0) < 0 ? errno : 0; }), EACCES);
  EXPECT_EQ(exit_code([] { return ::access("/etc/passwd", R_OK) < 0 ? errno : 0; }), EACCES);
}

TEST_F(SandboxTest, EverythingElseOfTheSystemKills) {
  EXPECT_EQ(exit_code([] { return ::execl("/bin/true", "true", nullptr); }), -SIGSYS);
  EXPECT_EQ(exit_code([] { return ::fork() == 0 ? 0 : 1; }), -SIGSYS);
  EXPECT_EQ(exit_code([] { return ::socket(AF_INET, SOCK_STREAM, 0); }), -SIGSYS);
  EXPECT_EQ(exit_code([] { return ::kill(::getppid(), 0); }), -SIGSYS);
  EXPECT_EQ(exit_code([] { return ::unlink("/tmp/upconv-sandbox-test"); }), -SIGSYS);
  EXPECT_EQ(exit_code([] { return ::dup(1); }), -SIGSYS);
}

TEST_F(SandboxTest, MemoryNeverBecomesCode) {
  EXPECT_EQ(exit_code([] { return ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED; }), -SIGSYS);
  EXPECT_EQ(exit_code([] {
              void* memory = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return ::mprotect(memory, 4096, PROT_READ | PROT_EXEC);
            }), -SIGSYS);
}

TEST_F(SandboxTest, MemoryAndTimeEnd) {
  EXPECT_EQ(exit_code([] { return std::malloc(std::size_t{2} << 30) == nullptr ? 7 : 0; }), 7);
  const int status = status_of([] {
    for (volatile unsigned i = 0;; i = i + 1) {}
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL));
}

TEST_F(SandboxTest, OtherDescriptorsAreClosed) {
  const int secret = ::open("/etc/passwd", O_RDONLY);
  ASSERT_GE(secret, 3);
  char byte;
  EXPECT_EQ(exit_code([&] { return ::read(secret, &byte, 1) < 0 ? errno : 0; }), EBADF);
  ::close(secret);
}

}  // namespace
}  // namespace upconv::helper
