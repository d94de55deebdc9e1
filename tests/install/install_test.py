#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The package as others use it.

usage: install_test.py MODE CHECKOUT TREE CXX

static      installs the built tree TREE into a temporary prefix; consumers by find_package (core alone, then core + io)
            and by pkg-config
shared      the same for a second tree, TREE/shared, with BUILD_SHARED_LIBS; also looks at SONAMEs and exported symbols
subproject  a project that takes the sources in with add_subdirectory (built) and FetchContent (configured)

Second trees stay below TREE, so that only their first build costs time (little with ccache).
"""
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile


def run(*command, **options):
    """The output of a command; ends the test with it when the command fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(str(c) for c in command)}\nended with {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def configure_and_build(source, tree, cxx, *settings, targets=("all",)):
    run("cmake", "-S", source, "-B", tree, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={cxx}", *settings)
    if targets:
        run("cmake", "--build", tree, "--target", *targets)


def library_folder(prefix):
    return next(p.parent for p in prefix.rglob("pkgconfig") if p.is_dir())


def check_find_package(checkout, prefix, scratch, cxx, has_io):
    for name, settings in [("core", ["-DCORE_ONLY=ON"]), ("io", [])][: 2 if has_io else 1]:
        tree = scratch / f"find_package_{name}"
        configure_and_build(checkout / "tests/install/consumer", tree, cxx, f"-DCMAKE_PREFIX_PATH={prefix}", *settings)
        print(f"find_package {name}:", run(tree / "consumer", checkout / "models/superres.keras").strip())


def check_pkg_config(checkout, prefix, scratch, cxx, has_io, static):
    libraries = library_folder(prefix)
    env = dict(os.environ, PKG_CONFIG_PATH=str(libraries / "pkgconfig"), LD_LIBRARY_PATH=str(libraries))
    for module, source in [("upconv-core", "core.cc"), ("upconv", "io.cc")][: 2 if has_io else 1]:
        flags = shlex.split(run("pkg-config", "--cflags", "--libs", *(["--static"] if static else []), module, env=env))
        program = scratch / f"pkg_config_{module}"
        run(cxx, "-std=c++20", checkout / "tests/install/consumer" / source, "-o", program, *flags)
        print(f"pkg-config {module}:", run(program, checkout / "models/superres.keras", env=env).strip())


def check_shared_libraries(prefix):
    for library in sorted(library_folder(prefix).glob("libupconv_*.so")):
        soname = re.search(r"SONAME.*\[(.*)\]", run("readelf", "-d", library)).group(1)
        if not re.fullmatch(r"libupconv_\w+\.so\.\d+\.\d+", soname):
            sys.exit(f"{library.name}: SONAME {soname}")
        names = run("nm", "-DC", "--defined-only", library).splitlines()
        foreign = [n for n in names if not re.search(r" [WVuw] |upconv::", n)]
        if foreign:
            sys.exit(f"{library.name} exports more than the public face:\n" + "\n".join(foreign[:20]))
        if re.search(r"\bupconv::(kernels|ops)::", "\n".join(names)):
            sys.exit(f"{library.name} exports kernels or ops")
        print(f"{soname}: {len(names)} symbols")
    core = run("readelf", "-d", library_folder(prefix) / "libupconv_core.so")
    if re.search(r"hdf5|libzip|libpng", core):
        sys.exit("libupconv_core.so needs what only io may need:\n" + core)


def check_subproject(checkout, tree, cxx):
    settings = ("-DCMAKE_CXX_FLAGS=-O1", f"-DUPCONV_SOURCE={checkout}")
    if shutil.which("ccache"):
        settings += ("-DCMAKE_CXX_COMPILER_LAUNCHER=ccache",)
    source = checkout / "tests/install/subproject"
    configure_and_build(source, tree / "fetch_content", cxx, *settings, "-DFETCH=ON", targets=())
    configure_and_build(source, tree / "subproject", cxx, *settings, targets=("consumer",))
    print("add_subdirectory:", run(tree / "subproject/consumer").strip())


def main():
    mode, checkout, tree, cxx = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
    if mode == "subproject":
        check_subproject(checkout, tree, cxx)
        return
    has_io = (tree / "libupconv_io.a").exists()
    if mode == "shared":
        tree = tree / "shared"
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        configure_and_build(checkout, tree, cxx, "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=ON",
                            "-DUPCONV_BUILD_CLI=OFF", "-DUPCONV_BUILD_TESTS=OFF", f"-DUPCONV_BUILD_IO={'ON' if has_io else 'OFF'}",
                            *launcher)
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        prefix = scratch / "prefix"
        run("cmake", "--install", tree, "--prefix", prefix)
        if mode == "shared":
            check_shared_libraries(prefix)
        check_find_package(checkout, prefix, scratch, cxx, has_io)
        check_pkg_config(checkout, prefix, scratch, cxx, has_io, static=mode == "static")
        if (prefix / "bin/upconv").exists() and list(prefix.rglob("upconv-decode")):
            print(run(prefix / "bin/upconv", "inspect", checkout / "models/superres.keras", "--isolation", "process").splitlines()[0])


main()
