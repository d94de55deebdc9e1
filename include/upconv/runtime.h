// SPDX-License-Identifier: Apache-2.0
// Everything that is process-wide, in one list: default threads, instruction set, dtype policy, data format, epsilon, the
// counters of default names and (in custom.h) the names of the caller's own values. Each is atomic or locked, and read when
// a layer or a plan is made, never during a call. Three environment variables are read, once, as defaults: UPCONV_ISA,
// UPCONV_THREADS, KERAS_HOME. None of them changes what is computed beyond the choice of the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "upconv/export.h"

namespace upconv {

UPCONV_EXPORT std::string_view version() noexcept;

/// How a call is spread over threads. Implement it to plug in your own pool.
class UPCONV_EXPORT Executor {
 public:
  virtual ~Executor();
  /// How many tasks can run at once, the calling thread included; at least 1.
  virtual int concurrency() const noexcept = 0;
  /// Runs task(context, i) for every i in [0, tasks), on at most `threads` threads, the calling thread among them, and
  /// returns when all are done. `task` never throws. Called from several threads at once.
  virtual void run(std::int64_t tasks, int threads, void (*task)(void* context, std::int64_t index), void* context) = 0;
};

/// The executor used where a call names none: oneTBB's. After fork() and inside a foreign parallel region it runs inline.
UPCONV_EXPORT std::shared_ptr<Executor> default_executor();
UPCONV_EXPORT void set_default_executor(std::shared_ptr<Executor> executor);  ///< nullptr restores oneTBB

/// Threads of a call that names none. Default: UPCONV_THREADS, else the number of processors this process may use.
UPCONV_EXPORT int default_threads();
UPCONV_EXPORT void set_default_threads(int threads);        ///< 0 restores the default; throws ArgumentError when negative

/// Instruction sets this build holds and this machine can run, best first ("AVX3", "AVX2", "SSE4", "SCALAR", ...).
UPCONV_EXPORT std::vector<std::string> available_isas();
/// The one used by plans made from now on. Default: UPCONV_ISA, else the best.
UPCONV_EXPORT std::string default_isa();
UPCONV_EXPORT void set_default_isa(std::string_view name);  ///< "" restores the default; throws ArgumentError listing the names

/// Keras's global dtype policy ("float32", "mixed_float16", ...); default: floatx of keras.json.
UPCONV_EXPORT std::string default_dtype_policy();
UPCONV_EXPORT void set_default_dtype_policy(std::string_view name);          ///< "" restores; throws ArgumentError
/// "channels_last" or "channels_first"; default: image_data_format of keras.json.
UPCONV_EXPORT std::string default_data_format();
UPCONV_EXPORT void set_default_data_format(std::string_view name);           ///< "" restores; throws ArgumentError
/// Keras's fuzz factor; default: epsilon of keras.json, else 1e-7.
UPCONV_EXPORT double default_epsilon();
UPCONV_EXPORT void set_default_epsilon(double epsilon);                      ///< 0 restores; throws ArgumentError

/// Restarts the numbering of default layer names, as keras.utils.clear_session does.
UPCONV_EXPORT void clear_session();

}  // namespace upconv
