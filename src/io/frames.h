// SPDX-License-Identifier: Apache-2.0
// What a decoding process tells its parent: the parts of a Keras file as frames of one byte (the kind), eight (the length) and
// a payload, through a pipe. The tree of weights goes depth first, tensors as they lie in memory, or as the place in the file where
// they lie so already. The reader trusts nothing: lengths, places, nesting, counts and sums are held to the limits before memory is taken.
#pragma once

#include <functional>

#include "io/keras_files.h"
#include "upconv/error.h"

namespace upconv::io {

/// Takes all bytes it is given, in order.
using FrameSink = std::function<void(std::span<const std::byte> bytes)>;
/// Fills all of `to`, or throws FileError.
using FrameSource = std::function<void(std::span<std::byte> to)>;

/// Sends a file's parts. Tensors are given up as they go, so that both sides together hold them about once.
void write_frames(KerasParts&& parts, const FrameSink& sink);
/// Sends an error in their place.
void write_frames(const FileError& error, const FrameSink& sink);
/// The parts of `file`, or the error that was sent, thrown. FileError for frames that break the rules.
KerasParts read_frames(const Bytes& file, const LoadLimits& limits, const FrameSource& source);

}  // namespace upconv::io
