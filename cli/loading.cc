// SPDX-License-Identifier: Apache-2.0
#include "loading.h"

#include "command.h"

namespace upconv::cli {

void Loading::add_to(CLI::App& app, const char* weights_help) {
  app.add_option("--weights", weights, weights_help);
  app.add_option("--isolation", isolation, "Where files are decoded: process (a sandboxed one), none (here), or automatic (here if no sandbox can be had)")
      ->capture_default_str();
  app.add_option("--tensor-bytes", tensor_bytes, "The most bytes of tensors that are taken from a file")->check(CLI::NonNegativeNumber)->capture_default_str();
}

LoadOptions Loading::options() const {
  return {.weights = weights, .limits = {.tensor_bytes = tensor_bytes}, .on_note = print_note, .isolation = parse_isolation(isolation)};
}

}  // namespace upconv::cli
