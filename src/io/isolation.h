// SPDX-License-Identifier: Apache-2.0
// The parent's side of a decoding process (helper/main.cc): it is given the open file as its standard input, and what comes
// back through its standard output is read as frames (io/frames.h).
#pragma once

#include <optional>

#include "io/keras_files.h"

namespace upconv::io {

/// upconv-decode beside the library or program that this code lies in, where packages put it, or where the build leaves it;
/// "" if nowhere.
std::string helper_path();

/// What a sandboxed process made of the file. Nothing where the file is to be decoded in this process: Isolation::none, or
/// automatic where there is no helper or no sandbox, which options.on_note is told. FileError for what the file or the helper
/// did wrong.
std::optional<KerasParts> decode_isolated(const Bytes& file, const LoadOptions& options, const std::string& program = helper_path());

/// How long decoding `file_bytes` may take.
inline std::int64_t decoding_seconds(std::int64_t file_bytes, const LoadLimits& limits) { return limits.seconds + file_bytes / (4 << 20); }

/// The helper's first byte: whether the system gave it its sandbox. Frames follow where it did.
enum class Sandbox : unsigned char { none = 1, stands = 2 };

}  // namespace upconv::io
