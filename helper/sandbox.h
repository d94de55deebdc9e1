// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace upconv::helper {

/// From here on this process, which holds its standard input and output and nothing else, may read, write, take `memory_bytes`
/// of address space at most, compute for `cpu_seconds`, and end. Opening anything gives EACCES; any other call of the system
/// kills it. False where the system has no such filter.
bool enter_sandbox(std::int64_t memory_bytes, std::int64_t cpu_seconds);

}  // namespace upconv::helper
