# SPDX-License-Identifier: Apache-2.0
"""Without the system's libraries the build stops with one message that says how to get them."""
import os
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def test_missing_libraries_are_named_with_the_line_that_installs_them(tmp_path):
    done = subprocess.run(["cmake", "-S", ROOT, "-B", str(tmp_path), "-DCMAKE_DISABLE_FIND_PACKAGE_TBB=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_hwy=ON",
                           "-DUPCONV_BUILD_CLI=OFF", "-DUPCONV_BUILD_TESTS=OFF", "-DUPCONV_BUILD_EXAMPLES=OFF"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "sudo apt-get install g++ cmake ninja-build libtbb-dev libhwy-dev" in done.stderr
