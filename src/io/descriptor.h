// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unistd.h>

namespace upconv::io {

/// An open file or pipe, closed at the end; -1 is none.
class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

}  // namespace upconv::io
