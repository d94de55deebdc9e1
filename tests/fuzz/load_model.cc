// SPDX-License-Identifier: Apache-2.0
// Any bytes as a model file: a model or a FileError, nothing else, within small limits.
#include <cstddef>
#include <cstdint>
#include <span>

#include "upconv/error.h"
#include "upconv/io.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  upconv::LoadOptions options;
  options.limits.tensor_bytes = 16 << 20;
  options.limits.json_bytes = 1 << 20;
  try {
    upconv::load_model(std::as_bytes(std::span(data, size)), options);
  } catch (const upconv::FileError&) {
  }
  return 0;
}
