// SPDX-License-Identifier: Apache-2.0
// upconv: the command line. Parses, runs one command, and turns every failure into one line on stderr and an exit code.
#include <csignal>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <new>

#include "base/text.h"
#include "command.h"
#include "output.h"
#include "upconv/error.h"
#include "upconv/runtime.h"

namespace upconv::cli {
namespace {

enum ExitCode { kOk = 0, kInternal = 1, kUsage = 2, kBadFile = 3, kAccess = 4, kNumeric = 5, kDistributed = 6 };

constexpr const char* kFooter = R"(
Exit codes: 0 done, 2 wrong arguments, 3 a file that is not what it should be, 4 a file that cannot be read or written,
5 not-a-number or infinite results, 6 a distributed run that broke, 130 and 143 interrupted. Errors are one line on
standard error. Output files appear whole or not at all.

Examples:
  upconv inspect model.keras
  upconv run superres.keras photo.png large.png
  upconv convert old.h5 new.keras
  upconv train model.keras --data train.npz --epochs 10 --out trained.keras
  upconv explain --input 10x8x128 --filters 32 --kernel 2 --strides 2
  upconv explain --input 4x4x1 --filters 1 --kernel 3 --strides 2 --padding same --svg picture.svg

`upconv COMMAND --help` explains each command.)";

int report(int code, const std::string& message) {
  std::string line = message;
  for (char& c : line)
    if (c == '\n' || c == '\r') c = ' ';
  std::cerr << "upconv: " + line + "\n";   // one write: the lines of several processes stay whole
  return code;
}

int exit_code_of(const StateError& error) {
  switch (error.kind()) {
    case StateError::Kind::numeric: return kNumeric;
    case StateError::Kind::distributed: return kDistributed;
    case StateError::Kind::interrupted: return 128 + SIGINT;
    case StateError::Kind::general: break;
  }
  return kInternal;
}

int run(int argc, char** argv) {
  CLI::App app{"upconv: Keras's Conv2DTranspose and the models made of it, without Keras.", "upconv"};
  app.footer(kFooter);
  app.set_version_flag("--version", std::string("upconv ") + std::string(version()));
  app.require_subcommand(1);
  app.fallthrough();
  int threads = 0;
  std::string isa;
  app.add_option("--threads", threads, "Threads to use (default: UPCONV_THREADS, else all processors)")->check(CLI::PositiveNumber);
  app.add_option("--isa", isa, "Instruction set (default: UPCONV_ISA, else the best of: " + base::join(available_isas(), ", ") + ")");
  const std::vector<Command> commands = {add_inspect(app), add_run(app), add_convert(app), add_train(app), add_explain(app), add_bench(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    return report(kUsage, base::cat(error.what(), ". `upconv --help` shows how it is used."));
  }
  if (threads > 0) set_default_threads(threads);
  if (!isa.empty()) set_default_isa(isa);
  for (const Command& command : commands)
    if (command.app->parsed()) command.run();
  std::cout.flush();
  return std::cout ? kOk : report(kAccess, "standard output: cannot be written");
}

}  // namespace
}  // namespace upconv::cli

int main(int argc, char** argv) {
  using namespace upconv;
  using namespace upconv::cli;
  catch_signals();
  ::setenv("TZ", "/dev/null", 1);                      // libzip turns dates into local time, which nothing shows: no time zone's file is opened
  try {
    return run(argc, argv);
  } catch (const ArgumentError& error) {
    return report(kUsage, error.what());
  } catch (const FileError& error) {
    return report(error.kind() == FileError::Kind::access ? kAccess : kBadFile, error.what());
  } catch (const StateError& error) {
    return report(exit_code_of(error), error.what());
  } catch (const std::bad_alloc&) {
    return report(kInternal, "out of memory");
  } catch (const std::exception& error) {
    return report(kInternal, error.what());
  }
}
