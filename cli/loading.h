// SPDX-License-Identifier: Apache-2.0
// The options of every command that reads a Keras file.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "upconv/io.h"

namespace upconv::cli {

struct Loading {
  std::string weights, isolation = "automatic";
  LoadLimits limits = {};

  void add_to(CLI::App& app, const char* weights_help);
  LoadOptions options() const;
};

}  // namespace upconv::cli
