# SPDX-License-Identifier: Apache-2.0
"""The winograd transforms in src/kernels are what their generator writes; the generator checks itself in exact rationals.

    winograd_transforms_test.py SOURCE_DIRECTORY
"""
import pathlib
import subprocess
import sys
import tempfile

source = pathlib.Path(sys.argv[1])
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, str(source / "tools" / "winograd_transforms.py"), folder], check=True)
    for name in ("winograd_transforms-inl.h", "winograd_matrices.inc"):
        if (pathlib.Path(folder) / name).read_text() != (source / "src" / "kernels" / name).read_text():
            sys.exit(f"src/kernels/{name} is not what tools/winograd_transforms.py writes: change the script and run it")
