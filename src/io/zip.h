// SPDX-License-Identifier: Apache-2.0
// Reading ZIP archives: a checked list of members. A stored one is viewed where it lies, a deflated one decoded into memory. Nothing
// is ever extracted to disk.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "io/bytes.h"
#include "upconv/io.h"

namespace upconv::io {

class ZipReader {
 public:
  /// Checks the whole directory: no encrypted member, no method but stored and deflated, no repeated or climbing name, no
  /// size beyond the limits. FileError otherwise.
  ZipReader(const Bytes& file, const LoadLimits& limits);
  ~ZipReader();
  ZipReader(const ZipReader&) = delete;
  ZipReader& operator=(const ZipReader&) = delete;

  bool has(const std::string& name) const;
  std::vector<std::string> names() const;
  /// A member's bytes, checked against its size and CRC. Its path is "ARCHIVE: NAME".
  Bytes open(const std::string& name) const;
  /// The same, copied into memory.
  std::vector<std::byte> read(const std::string& name) const;

 private:
  struct Archive;
  std::unique_ptr<Archive> archive_;
};

}  // namespace upconv::io
