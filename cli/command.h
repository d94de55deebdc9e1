// SPDX-License-Identifier: Apache-2.0
// A subcommand of `upconv`: its options are declared on a CLI::App, its work is done after everything is parsed.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "upconv/conv_transpose.h"

namespace upconv::cli {

struct Command {
  CLI::App* app;
  std::function<void()> run;
};

/// "fast" or "exact"; throws ArgumentError.
Math parse_math(const std::string& text);

/// One line on stderr: something the user should know although all went well.
void print_note(const std::string& note);

Command add_bench(CLI::App& root);
Command add_convert(CLI::App& root);
Command add_explain(CLI::App& root);
Command add_inspect(CLI::App& root);
Command add_run(CLI::App& root);
Command add_train(CLI::App& root);

}  // namespace upconv::cli
