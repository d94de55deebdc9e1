// SPDX-License-Identifier: Apache-2.0
// A progress bar on stderr: only when it is a terminal and only once the work has taken a second.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>

namespace upconv::cli {

class Progress {
 public:
  Progress(std::string what, std::int64_t steps);
  ~Progress();                              ///< clears the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(std::int64_t steps = 1);

 private:
  void draw_until_done();
  void draw() const;

  const std::string what_;
  const std::int64_t steps_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::int64_t done_ = 0;
  bool finished_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::thread drawer_;
};

}  // namespace upconv::cli
