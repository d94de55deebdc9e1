// SPDX-License-Identifier: Apache-2.0
// Visibility of the public symbols: everything else in the library is hidden.
#pragma once

#if defined(_WIN32)
#define UPCONV_EXPORT
#else
#define UPCONV_EXPORT __attribute__((visibility("default")))
#endif
