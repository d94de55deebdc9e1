# SPDX-License-Identifier: Apache-2.0
"""Without the system's libraries `pip install .` stops with one message that says how to get them."""
import os
import re
import subprocess
import sys

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FOUND_BY_CMAKE = {"TBB": "libtbb-dev", "hwy": "libhwy-dev", "nlohmann_json": "nlohmann-json3-dev", "PNG": "libpng-dev", "ZLIB": "zlib1g-dev"}
FOUND_BY_PKG_CONFIG = ["libzip-dev", "libhdf5-dev"]


def test_missing_libraries_are_named_with_the_line_that_installs_them(tmp_path):
    hidden = [f"--config-settings=cmake.define.CMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in FOUND_BY_CMAKE]
    done = subprocess.run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-deps", "--target", str(tmp_path / "package"),
                           f"--config-settings=build-dir={tmp_path}/build", *hidden, ROOT],
                          capture_output=True, text=True, env={**os.environ, "PKG_CONFIG_LIBDIR": "/nowhere", "PKG_CONFIG_PATH": ""})
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert len(re.findall("CMake Error", told)) == 1, told
    lines = re.findall(r"sudo apt-get install (.*)", told)
    assert len(lines) == 1, told
    assert set(lines[0].split()) == {"g++", "cmake", "ninja-build", *FOUND_BY_CMAKE.values(), *FOUND_BY_PKG_CONFIG}
