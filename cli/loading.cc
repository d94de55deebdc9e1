// SPDX-License-Identifier: Apache-2.0
#include "loading.h"

#include "command.h"

namespace upconv::cli {

void Loading::add_to(CLI::App& app, const char* weights_help) {
  app.add_option("--weights", weights, weights_help);
  app.add_option("--isolation", isolation, "Where files are decoded: process (a sandboxed one), none (here), or automatic (here if no sandbox can be had)")
      ->capture_default_str();
  const auto limit = [&](const char* name, auto& value, const char* help) {
    app.add_option(name, value, help)->check(CLI::NonNegativeNumber)->capture_default_str()->group("Limits of a file, summed over its parts");
  };
  limit("--tensor-bytes", limits.tensor_bytes, "Bytes of tensors");
  limit("--json-bytes", limits.json_bytes, "Bytes of JSON");
  limit("--nesting", limits.nesting, "Depth of JSON, of HDF5 groups and of models in models");
  limit("--layers", limits.layers, "Layers");
  limit("--hdf5-objects", limits.hdf5_objects, "Groups and datasets");
  limit("--members", limits.zip_members, "Members of an archive, or shards");
  limit("--inflate-ratio", limits.inflate_ratio, "Decoded by stored bytes, above 1 MiB");
  limit("--decode-seconds", limits.seconds, "Silence of a decoding process, and a second more for each 4 MiB of the file");
}

LoadOptions Loading::options() const {
  return {.weights = weights, .limits = limits, .on_note = print_note, .isolation = parse_isolation(isolation)};
}

}  // namespace upconv::cli
