// SPDX-License-Identifier: Apache-2.0
// The three exceptions of upconv. Every message says what was wrong, the rule, and the values received,
// in Keras's words where Keras has words. The library never prints, exits or aborts.
#pragma once

#include <stdexcept>
#include <string>

#include "upconv/export.h"

namespace upconv {

/// The caller's mistake: an invalid argument, shape, dtype or configuration. Thrown before any work is done.
/// Python sees a ValueError.
class UPCONV_EXPORT ArgumentError : public std::invalid_argument {
 public:
  /// `argument`: the name of the offending argument ("strides", "inputs"), or "" where there is none.
  ArgumentError(std::string argument, const std::string& message);
  ~ArgumentError() override;
  const std::string& argument() const noexcept { return argument_; }

 private:
  std::string argument_;
};

/// A file that is missing, truncated, of another kind, damaged, or that asks for the impossible.
/// Python sees a class that is both OSError and ValueError.
class UPCONV_EXPORT FileError : public std::runtime_error {
 public:
  enum class Kind {
    content,  ///< the bytes are wrong (exit code 3 of the command line)
    access,   ///< the system refused: missing file, permission, full disk (exit code 4)
  };
  /// `path`: the file; `where`: the place inside it ("config.json: layers[2]", "byte 1042"), or "".
  /// what() is "path: where: message" with control characters escaped.
  FileError(std::string path, std::string where, const std::string& message, Kind kind = Kind::content);
  ~FileError() override;
  const std::string& path() const noexcept { return path_; }
  const std::string& where() const noexcept { return where_; }
  const std::string& reason() const noexcept { return reason_; }     ///< the message alone, as it was given
  Kind kind() const noexcept { return kind_; }

 private:
  std::string path_, where_, reason_;
  Kind kind_;
};

/// Something that came up while running: a NaN loss, no gradients, an interruption, another rank's failure.
class UPCONV_EXPORT StateError : public std::runtime_error {
 public:
  enum class Kind { general, numeric, interrupted, distributed };
  explicit StateError(const std::string& message, Kind kind = Kind::general);
  ~StateError() override;
  Kind kind() const noexcept { return kind_; }

 private:
  Kind kind_;
};

}  // namespace upconv
