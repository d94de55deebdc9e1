// SPDX-License-Identifier: Apache-2.0
// upconv-decode PATH LIMITS...: decodes the Keras file on its standard input and sends the parts as frames (io/frames.h) to its
// standard output, for src/io/isolation.cc. PATH serves messages only. The sandbox stands before the file's first byte is read.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>

#include "io/frames.h"
#include "io/isolation.h"
#include "sandbox.h"

namespace upconv {
namespace {

void send(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::write(1, bytes.data(), bytes.size());
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) ::_exit(1);                         // the parent is gone
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

LoadLimits limits_of(char** words) {
  const auto number = [&](int i) { return static_cast<std::int64_t>(std::strtoll(words[i], nullptr, 10)); };
  return {.tensor_bytes = number(0), .json_bytes = number(1), .nesting = static_cast<int>(number(2)), .layers = number(3), .hdf5_objects = number(4),
          .zip_members = number(5), .inflate_ratio = number(6), .seconds = number(7)};
}

/// The program itself, an archive's member where it is inflated, everything decoded, and room for the decoders.
std::int64_t most_memory(std::int64_t file, const LoadLimits& limits) {
  const std::int64_t decoded = file > limits.tensor_bytes / std::max<std::int64_t>(1, limits.inflate_ratio) ? limits.tensor_bytes : file * limits.inflate_ratio;
  return (std::int64_t{640} << 20) + 3 * file + 2 * decoded;
}

int decode(const std::string& path, const LoadLimits& limits) {
  struct stat info {};
  if (::fstat(0, &info) != 0) return 1;
  const bool sandboxed = helper::enter_sandbox(most_memory(info.st_size, limits), io::decoding_seconds(info.st_size, limits));
  const std::byte first{static_cast<unsigned char>(sandboxed ? io::Sandbox::stands : io::Sandbox::none)};
  send({&first, 1});
  if (!sandboxed) return 0;
  try {
    io::write_frames(io::decode_keras_bytes(io::Bytes::adopt(0, path), limits, io::Tensors::left_in_file), send);
  } catch (const FileError& e) {
    io::write_frames(e, send);
  } catch (const std::bad_alloc&) {
    io::write_frames(FileError(path, "", "asks for more memory than a file of its size may take"), send);
  } catch (const std::exception& e) {
    io::write_frames(FileError(path, "", e.what()), send);
  }
  return 0;
}

}  // namespace
}  // namespace upconv

int main(int argc, char** argv) {
  if (argc != 10) return 2;
  ::setenv("TZ", "/dev/null", 1);                      // libzip turns dates into local time: no time zone's file is looked for
  ::_exit(upconv::decode(argv[1], upconv::limits_of(argv + 2)));
}
