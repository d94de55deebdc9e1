// SPDX-License-Identifier: Apache-2.0
// ZIP archives as Keras writes them: members stored in the given order, stamps of 1980-01-01, mode 0600, no descriptors. The
// same members give the same bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace upconv::io {

struct ZipMember {
  std::string name;                                   // a relative path in UTF-8
  std::span<const std::byte> bytes;                   // outlive the call
};

/// Throws ArgumentError for an empty, repeated or overlong name and for an archive of 4 GiB or 65,535 members and more
/// (the 64-bit form is read but not written).
std::vector<std::byte> zip_bytes(const std::vector<ZipMember>& members);

}  // namespace upconv::io
