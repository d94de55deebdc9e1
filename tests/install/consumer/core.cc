// SPDX-License-Identifier: Apache-2.0
#include <upconv/upconv.h>

#include <cstdio>

int main() {
  using namespace upconv;
  Conv2DTranspose up{32, 2, {.strides = 2, .activation = "relu"}};
  const Tensor y = up(Tensor(Shape{4, 10, 8, 128}));
  try {
    Conv2DTranspose{0, 2};
  } catch (const ArgumentError& error) {  // an exception crosses the library's border with its type
    std::printf("%s\n", y.shape().str().c_str());
    return y.shape() == Shape{4, 20, 16, 32} ? 0 : 1;
  }
  return 2;
}
