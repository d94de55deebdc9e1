#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: compile_fail_test.py CHECKOUT CXX: what must not compile, and what the compiler says about it."""
import pathlib
import subprocess
import sys

MESSAGE = ("does not match declaration order", "reorder-init-list")  # g++, clang++


def compile_options(checkout, cxx, *flags):
    command = [cxx, "-std=c++20", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-fsyntax-only", f"-I{checkout}/include",
               *flags, checkout / "tests/compile_fail/options_out_of_order.cc"]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True)


checkout, cxx = pathlib.Path(sys.argv[1]), sys.argv[2]
good = compile_options(checkout, cxx)
if good.returncode != 0:
    sys.exit(f"options in Keras's order do not compile without a warning:\n{good.stderr}")
bad = compile_options(checkout, cxx, "-DOUT_OF_ORDER")
if bad.returncode == 0:
    sys.exit("options out of order compile")
if not any(text in bad.stderr for text in MESSAGE):
    sys.exit(f"options out of order fail with another message:\n{bad.stderr}")
print(next(line for line in bad.stderr.splitlines() if "error:" in line))
