// SPDX-License-Identifier: Apache-2.0
// What the command line leaves behind: whole files and, after a signal, the right exit code and no temporary.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace upconv::cli {

/// SIGINT and SIGTERM end the process with 130 and 143: at once, or where the current HoldSignals ends.
void catch_signals();

/// While one lives, SIGINT and SIGTERM wait: a file is being written and shall be whole.
class HoldSignals {
 public:
  HoldSignals();
  ~HoldSignals();
  HoldSignals(const HoldSignals&) = delete;
  HoldSignals& operator=(const HoldSignals&) = delete;
};

/// Whether a signal waits: long work ends at its next good moment.
bool interrupted();

/// io::replace_file with signals held. Throws FileError (access).
void write_file(const std::string& path, std::span<const std::byte> bytes);
void write_file(const std::string& path, std::string_view text);

}  // namespace upconv::cli
