// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

#include "io/atomic_file.h"

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

bool interrupted() { return pending.load() != 0; }

void write_file(const std::string& path, std::string_view text) { write_file(path, std::as_bytes(std::span(text))); }

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  const HoldSignals hold;
  io::replace_file(path, bytes);
}

}  // namespace upconv::cli
