// SPDX-License-Identifier: Apache-2.0
#include <upconv/io.h>
#include <upconv/upconv.h>

#include <cstdio>

int main(int, char** argv) {
  const upconv::Model model = upconv::load_model(argv[1]);
  std::printf("%s: %zu layers\n", model.name().c_str(), model.layers().size());
  try {
    upconv::load_model("no such file.keras");
  } catch (const upconv::FileError&) {
    return model.layers().empty() ? 1 : 0;
  }
  return 2;
}
