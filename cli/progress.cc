// SPDX-License-Identifier: Apache-2.0
#include "progress.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>

#include "base/text.h"
#include "text.h"

namespace upconv::cli {

using namespace std::chrono_literals;

Progress::Progress(std::string what, std::int64_t steps) : what_(std::move(what)), steps_(std::max<std::int64_t>(steps, 1)) {
  if (isatty(STDERR_FILENO)) drawer_ = std::thread([this] { draw_until_done(); });
}

Progress::~Progress() {
  if (!drawer_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    finished_ = true;
  }
  changed_.notify_all();
  drawer_.join();
}

void Progress::advance(std::int64_t steps) {
  const std::lock_guard lock(mutex_);
  done_ += steps;
}

void Progress::draw_until_done() {
  std::unique_lock lock(mutex_);
  if (changed_.wait_for(lock, 1s, [&] { return finished_; })) return;
  do draw();
  while (!changed_.wait_for(lock, 200ms, [&] { return finished_; }));
  std::cerr << "\r\x1b[K" << std::flush;
}

void Progress::draw() const {
  constexpr std::int64_t wide = 30;
  const std::int64_t filled = wide * std::min(done_, steps_) / steps_;
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  std::cerr << base::cat("\r", what_, " [", std::string(static_cast<std::size_t>(filled), '#'),
                         std::string(static_cast<std::size_t>(wide - filled), '.'), "] ", done_, "/", steps_, "  ",
                         fixed(seconds, 1), " s") << std::flush;
}

}  // namespace upconv::cli
