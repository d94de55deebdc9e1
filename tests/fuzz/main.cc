// SPDX-License-Identifier: Apache-2.0
// One libFuzzer program: UPCONV_FUZZ_TARGET is a function of targets.h.
#include <cstdint>

#include "fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  upconv::fuzz::UPCONV_FUZZ_TARGET(std::as_bytes(std::span(data, size)));
  return 0;
}

// libhdf5 1.10 forgets some blocks when a file's object headers or heaps break off; those are not findings.
extern "C" const char* __lsan_default_suppressions() { return "leak:libhdf5"; }
