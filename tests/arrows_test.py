#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The house rules that a compiler does not hold: arrows between rooms, what a public header may include, file sizes.

usage: arrows_test.py CHECKOUT              prints every violation; exit status 1 when there is one
       arrows_test.py CHECKOUT --self-test  plants each kind of violation in a copy and expects it to be found

A room may include itself and the rooms below it. helper and mpi, and cli and python, stand side by side: neither of a
pair includes the other. include/upconv is everybody's. A file over 500 lines says why in its first 20 lines, in a line
that holds the words "longer than 500 lines".
"""
import pathlib
import re
import shutil
import sys
import tempfile

LEVEL = {"base": 0, "kernels": 1, "ops": 2, "nn": 3, "io": 4, "helper": 5, "mpi": 5, "cli": 6, "python": 6}
CORE = {"base", "kernels", "ops", "nn"}
OUTSIDE_CORE = re.compile(r"<(hdf5|H5|zip|zlib|png|nlohmann|seccomp|mpi|CLI)")
STANDARD = re.compile(r"<[a-z_0-9]+>$")
INCLUDE = re.compile(r'^\s*#\s*include\s+(<[^>]+>|"[^"]+")', re.MULTILINE)
SOURCES = {".cc", ".h", ".py", ".inl"}
MAX_LINES = 500


def room_of(path):
    """The room a file of the checkout belongs to, or None: tests and examples may look anywhere."""
    parts = path.parts
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return parts[0] if parts[0] in LEVEL else None


def include_violations(path, text):
    room = room_of(path)
    public = path.parts[:2] == ("include", "upconv")
    for spelled in INCLUDE.findall(text):
        target = spelled[1:-1]
        if public:
            if not (STANDARD.match(spelled) or re.fullmatch(r'"upconv/\w+\.h"', spelled)):
                yield f"{path}: a public header includes {spelled}; only public headers and the standard library are allowed"
        elif room is not None and spelled[0] == '"':
            first = pathlib.PurePosixPath(target).parts[0]
            if first == "..":
                yield f"{path}: includes {spelled}; a path starts at a room"
            elif first in LEVEL and first != room and LEVEL[first] >= LEVEL[room]:
                yield f"{path}: {room} includes {spelled}; arrows point from {first} to {room}, never back"
            elif first == "upconv" and room in CORE and target in ("upconv/io.h", "upconv/mpi.h"):
                yield f"{path}: {room} belongs to core, and includes {spelled}"
        elif room in CORE and OUTSIDE_CORE.match(spelled):
            yield f"{path}: {room} belongs to core, and includes {spelled}"


def size_violations(path, text):
    lines = text.splitlines()
    if len(lines) > MAX_LINES and not any("longer than 500 lines" in line for line in lines[:20]):
        yield f"{path}: {len(lines)} lines; split it, or say at its head why it is longer than 500 lines"


def violations(checkout):
    for folder in ("include", "src", "helper", "cli", "python", "tests", "examples", "bench"):
        for file in sorted((checkout / folder).rglob("*")):
            path = file.relative_to(checkout)
            if file.suffix not in SOURCES or not file.is_file() or path.parts[:2] == ("tests", "data"):
                continue
            text = file.read_text(encoding="utf-8")
            yield from size_violations(path, text)
            if file.suffix != ".py":
                yield from include_violations(path, text)
    for room in sorted(p.name for p in (checkout / "src").iterdir() if p.is_dir()):
        if room not in LEVEL:
            yield f"src/{room}: not a room of LEVEL; give it its place in the order"


PLANTED = {
    "src/base/planted.cc": ('#include "nn/layer.h"\n', "base includes"),
    "src/ops/planted.h": ('#include "io/npy.h"\n', "ops includes"),
    "src/mpi/planted.cc": ('#include "helper/frame.h"\n', "mpi includes"),
    "src/io/planted.cc": ('#  include "../nn/layer.h"\n', "starts at a room"),
    "src/nn/planted.cc": ("#include <hdf5.h>\n", "belongs to core"),
    "src/kernels/planted.cc": ('#include "upconv/io.h"\n', "belongs to core"),
    "include/upconv/planted.h": ("#include <nlohmann/json.hpp>\n", "public header includes"),
    "include/upconv/planted2.h": ('#include "base/text.h"\n', "public header includes"),
    "src/io/planted_long.cc": ("\n" * 501, "501 lines"),
    "src/attic/planted.cc": ("", "not a room"),
}


def self_test(checkout):
    """Each planted file must add exactly its own complaint to those of the clean copy (none)."""
    failures = []
    for name, (text, expected) in PLANTED.items():
        with tempfile.TemporaryDirectory() as folder:
            copy = pathlib.Path(folder)
            for part in ("include", "src"):
                shutil.copytree(checkout / part, copy / part)
            before = set(violations(copy))
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_text(text, encoding="utf-8")
            found = set(violations(copy)) - before
            if len(found) != 1 or expected not in next(iter(found)):
                failures.append(f"{name}: expected one complaint with {expected!r}, got {sorted(found)}")
    return failures


def main():
    checkout = pathlib.Path(sys.argv[1])
    found = self_test(checkout) if sys.argv[2:] == ["--self-test"] else list(violations(checkout))
    print("\n".join(found) or "no violation")
    return 1 if found else 0


sys.exit(main())
