// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "upconv/error.h"

namespace upconv::test {

/// The text of the ArgumentError that f throws, or "no error".
template <class F>
std::string argument_error(F f) {
  try {
    f();
  } catch (const ArgumentError& e) {
    return e.what();
  }
  return "no error";
}

}  // namespace upconv::test
