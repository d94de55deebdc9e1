// SPDX-License-Identifier: Apache-2.0
// What is fuzzed: every decoder of bytes that may come from a stranger. Each takes any bytes and returns: a FileError is caught,
// anything else is a finding. `./dev fuzz` makes a libFuzzer program of each; fuzz_replay runs them over the corpus.
#pragma once

#include <cstddef>
#include <span>

namespace upconv::fuzz {

using Bytes = std::span<const std::byte>;

void load_model(Bytes bytes);              // a whole file of any form
void json_config(Bytes bytes);             // an architecture
void zip(Bytes bytes);
void weights_h5(Bytes bytes);              // weights for a model of its own
void legacy_h5(Bytes bytes);               // HDF5 of a whole model, with its optimiser
void npy(Bytes bytes);
void npz(Bytes bytes);
void png(Bytes bytes);
void frames(Bytes bytes);                  // what a decoding process sends

struct Target {
  const char* name;                        // of the function, and of its folder in corpus/
  void (*run)(Bytes);
};
inline constexpr Target kTargets[] = {{"load_model", load_model}, {"json_config", json_config}, {"zip", zip}, {"weights_h5", weights_h5}, {"legacy_h5", legacy_h5},
                                      {"npy", npy}, {"npz", npz}, {"png", png}, {"frames", frames}};

}  // namespace upconv::fuzz
