#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""usage: readme_test.py CHECKOUT TREE CXX: the code of README.md does what README.md says.

```cpp blocks are whole programs: compiled without warnings and run. ```sh blocks run line by line in a scratch folder that
holds models/, with the built `upconv` on the PATH. In both, the text after "# -> " or "// -> " must be part of what was
printed. ```text and ```console blocks (what a terminal shows, commands that install) are not run.
"""
import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXPECTED = re.compile(r"(?://|#) -> (.*)$", re.MULTILINE)


def run(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{command}\nended with {done.returncode}:\n{done.stdout[-4000:]}")
    return done.stdout


def check_expected(block, output):
    for text in EXPECTED.findall(block):
        if text.strip() not in output:
            sys.exit(f"README promises {text.strip()!r}, but this is printed:\n{output}")


def link_flags(tree):
    modules = ["tbb", "libhwy"]
    libraries = []
    if (tree / "libupconv_io.a").exists():
        libraries.append(str(tree / "libupconv_io.a"))
        modules += ["hdf5", "libzip", "libpng", "zlib"]
        modules += ["libseccomp"] * (subprocess.call(["pkg-config", "--exists", "libseccomp"]) == 0)
    libraries.append(str(tree / "libupconv_core.a"))
    return libraries + shlex.split(run(["pkg-config", "--libs", *modules]))


def main():
    checkout, tree, cxx = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
    blocks = BLOCK.findall((checkout / "README.md").read_text(encoding="utf-8"))
    count = {"cpp": 0, "sh": 0}
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        (scratch / "models").symlink_to(checkout / "models")
        env = dict(os.environ, PATH=f"{tree / 'cli'}:{os.environ['PATH']}")
        for language, block in blocks:
            if language == "cpp":
                program = scratch / f"program{count['cpp']}"
                program.with_suffix(".cc").write_text(block)
                run([cxx, "-std=c++20", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{checkout}/include",
                     str(program.with_suffix(".cc")), "-o", str(program), *link_flags(tree)])
                check_expected(block, run([str(program)], cwd=scratch))
            elif language == "sh":
                check_expected(block, run(["bash", "-euo", "pipefail", "-c", block], cwd=scratch, env=env))
            else:
                continue
            count[language] += 1
    if 0 in count.values():
        sys.exit(f"README.md must hold C++ and shell code; blocks found: {count}")
    print(count)


main()
