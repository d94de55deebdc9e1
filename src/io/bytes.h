// SPDX-License-Identifier: Apache-2.0
// Random access to a file or to memory. Files are read with pread through one descriptor, never mapped: a file that shrinks
// while it is read gives an error, not a signal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace upconv::io {

class Descriptor;

class Bytes {
 public:
  /// Opens a regular file; FileError (access) for a missing file, a folder, a device or a pipe.
  static Bytes open(const std::string& path);
  /// Views memory that outlives the result.
  static Bytes view(std::span<const std::byte> memory, std::string path);
  /// Reads an open regular file and closes it at the end; FileError (access) where it is none.
  static Bytes adopt(int descriptor, std::string path);
  /// Owns memory.
  static Bytes own(std::vector<std::byte> memory, std::string path);

  const std::string& path() const noexcept { return path_; }
  std::int64_t size() const noexcept { return size_; }
  /// Reads exactly to.size() bytes; FileError when they are not there.
  void read(std::int64_t offset, std::span<std::byte> to) const;
  /// All bytes; FileError when there are more than `limit`.
  std::vector<std::byte> all(std::int64_t limit) const;
  bool starts_with(std::string_view magic) const;
  /// A part of these bytes, not copied, under a name of its own; FileError when it is not there.
  Bytes slice(std::int64_t offset, std::int64_t size, std::string path) const;
  /// Gives owned memory back to the system; what it held must not be read again. Nothing for other bytes.
  void forget(std::int64_t offset, std::int64_t size) const noexcept;
  /// Where a byte lies in the open file; -1 where the bytes are memory.
  std::int64_t position(std::int64_t offset) const noexcept { return file_ ? start_ + offset : -1; }
  /// The open file, or -1 where the bytes are memory or a part.
  int descriptor() const noexcept;

 private:
  std::string path_;
  std::int64_t start_ = 0, size_ = 0;               // in the file
  bool part_ = false;
  std::shared_ptr<const Descriptor> file_;
  std::shared_ptr<const std::vector<std::byte>> owned_;
  const std::byte* memory_ = nullptr;
};

}  // namespace upconv::io
