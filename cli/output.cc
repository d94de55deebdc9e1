// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "upconv/error.h"

namespace upconv::cli {
namespace {

std::atomic<int> holders{0};
std::atomic<int> pending{0};

void on_signal(int number) {
  if (holders.load() > 0) {
    pending.store(number);
    return;
  }
  _exit(128 + number);
}

[[noreturn]] void fail(const std::string& path, const std::string& temporary) {
  const int error = errno;
  if (!temporary.empty()) ::unlink(temporary.c_str());
  throw FileError(path, "", std::string("cannot be written: ") + std::strerror(error), FileError::Kind::access);
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

HoldSignals::HoldSignals() { ++holders; }

HoldSignals::~HoldSignals() {
  if (--holders == 0 && pending.load() != 0) _exit(128 + pending.load());
}

void write_file(const std::string& path, std::string_view text) { write_file(path, std::as_bytes(std::span(text))); }

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const HoldSignals hold;
  std::string temporary = path + ".XXXXXX";
  const int file = ::mkstemp(temporary.data());
  if (file < 0) fail(path, "");
  std::FILE* stream = ::fdopen(file, "wb");
  bool good = ::fchmod(file, 0644) == 0 && std::fwrite(bytes.data(), 1, bytes.size(), stream) == bytes.size();
  good = std::fflush(stream) == 0 && ::fsync(file) == 0 && good;
  good = std::fclose(stream) == 0 && good;
  if (!good || std::rename(temporary.c_str(), path.c_str()) != 0) fail(path, temporary);
}

}  // namespace upconv::cli
