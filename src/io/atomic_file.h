// SPDX-License-Identifier: Apache-2.0
// Replacing a file as one step: at every moment, a crash or a power cut included, the path holds the complete old or the
// complete new bytes.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace upconv::io {

/// Writes a temporary file beside `path`, syncs it, renames it over `path` and syncs the folder. A symbolic link is followed
/// and stays one; an existing file keeps its mode, a new one gets 0666 less the umask. FileError (access) when anything
/// fails: the old file is then untouched (the new one is there, whole, when only its folder cannot be synced) and the temporary one gone. Temporary files that a killed process left in the
/// folder more than an hour ago are removed. Callers may write different paths at once; of two writers of one path the later
/// rename wins.
void replace_file(const std::string& path, std::span<const std::byte> bytes);

}  // namespace upconv::io
