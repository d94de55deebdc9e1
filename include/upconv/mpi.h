// SPDX-License-Identifier: Apache-2.0
// Data-parallel training over MPI: a Communicator for Trainer. Component upconv::mpi. docs/distributed.md has the whole story.
#pragma once

#include <memory>
#include <string>

#include "upconv/training.h"

namespace upconv {

/// What the ranks of this process said to each other since the start.
struct CommunicationReport {
  std::int64_t sums = 0;
  double bytes = 0;                    ///< sent by this rank
  double seconds = 0;                  ///< over all sums: from their start to their end
  double overlapped_seconds = 0;       ///< of these, before finish_sums() was called: while the backward pass ran
  double waited_seconds = 0;           ///< inside finish_sums(), sum() and check()
};

class UPCONV_EXPORT MpiCommunicator : public Communicator {
 public:
  /// All processes of the job (MPI_COMM_WORLD). Initialises MPI where nobody has, and finalises it then. One a process. With
  /// `fast_reduce`, sums go through MPI_Allreduce: any number of ranks, bits that depend on it. Throws StateError (distributed).
  static std::shared_ptr<MpiCommunicator> world(bool fast_reduce = false);
  /// Whether this process was started by mpirun (Open MPI, or another PMI launcher).
  static bool launched() noexcept;

  virtual CommunicationReport report() const = 0;
  /// Chrome's trace format, in microseconds: an event a backward pass, a sum of gradients ("sum") and a small message between passes ("wait").
  virtual std::string trace_json() const = 0;
  /// Ends all processes of the job with this exit code; for errors that other ranks cannot know of.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

}  // namespace upconv
