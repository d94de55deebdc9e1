# SPDX-License-Identifier: Apache-2.0
"""Builds and installs the Python package into the environment with real Keras, then runs its tests.
usage: run.py SOURCE_FOLDER BUILD_FOLDER"""
import os
import subprocess
import sys

source, build = sys.argv[1:3]
sys.path.insert(0, os.path.join(source, "tests", "support"))
import keras_venv  # noqa: E402

interpreter = keras_venv.python(build)
if interpreter is None:
    print("skipped: no Python environment can be made here")
    sys.exit(keras_venv.SKIPPED)
include = subprocess.run([interpreter, "-c", "import sysconfig, os; print(os.path.exists(os.path.join(sysconfig.get_path('include'), 'Python.h')))"],
                         capture_output=True, text=True).stdout.strip()
if include != "True":
    print("skipped: the headers of Python are missing (apt-get install python3-dev)")
    sys.exit(keras_venv.SKIPPED)
environment = dict(os.environ, KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", CMAKE_BUILD_PARALLEL_LEVEL=str(os.cpu_count()))
install = [interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"--config-settings=build-dir={build}/python-package", source]
if subprocess.run(install, env=environment, cwd=build).returncode != 0:
    sys.exit(1)
folder = os.path.join(source, "tests", "python")
live = os.path.join(folder, "test_live_keras.py")           # in a process of its own: it wants other flags of XLA
pytest = [interpreter, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
codes = [subprocess.run([*pytest, folder, "--ignore", live], env=environment, cwd=build).returncode,
         subprocess.run([*pytest, "-s", live], env=environment, cwd=build).returncode]
for backend in ("tensorflow", "torch"):                      # each in a process of its own, where it is installed
    if subprocess.run([interpreter, "-c", f"import {backend}"], capture_output=True).returncode != 0:
        print(f"skipped: upconv.keras under {backend}, which is not installed")
        continue
    codes.append(subprocess.run([*pytest, os.path.join(folder, f"test_{backend}.py")], env={**environment, "KERAS_BACKEND": backend}, cwd=build).returncode)
sys.exit(max(codes))
