// SPDX-License-Identifier: Apache-2.0
// A lambda over an Executor.
#pragma once

#include "upconv/runtime.h"

namespace upconv::ops {

/// Calls body(i) for every i in [0, tasks) on at most `threads` threads. `body` must not throw.
template <class Body>
void parallel_for(Executor& executor, int threads, std::int64_t tasks, const Body& body) {
  if (threads <= 1 || tasks <= 1) {
    for (std::int64_t i = 0; i < tasks; ++i) body(i);
    return;
  }
  executor.run(tasks, threads, [](void* context, std::int64_t i) { (*static_cast<const Body*>(context))(i); },
               const_cast<void*>(static_cast<const void*>(&body)));
}

}  // namespace upconv::ops
