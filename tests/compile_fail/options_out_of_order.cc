// SPDX-License-Identifier: Apache-2.0
// Compiles as it is; with -DOUT_OF_ORDER it must not: C++ wants the options in the order of the struct, which is Keras's.
#include "upconv/conv2d_transpose.h"

void options() {
#ifdef OUT_OF_ORDER
  upconv::Conv2DTranspose up{32, 2, {.activation = "relu", .strides = 2}};
#else
  upconv::Conv2DTranspose up{32, 2, {.strides = 2, .activation = "relu"}};
#endif
}
