# SPDX-License-Identifier: Apache-2.0
"""A Python with real Keras for the tests that compare with it: BUILD/venv, made once from PyPI. `python` and `exit_if_missing`
are what tests use: without a network the test is skipped (exit code 77) and says so. UPCONV_TEST_PYTHON names the interpreter
of another environment with Keras, for instance one that holds torch or TensorFlow too."""
import fcntl
import hashlib
import os
import subprocess
import sys
import venv

REQUIREMENTS = ["keras==3.15.1", "jax==0.10.2" if sys.version_info >= (3, 11) else "jax", "h5py", "numpy", "ml_dtypes", "pytest", "hypothesis"]
SKIPPED = 77


def python(build_folder):
    """The interpreter of the environment, or None where it cannot be made."""
    if os.environ.get("UPCONV_TEST_PYTHON"):
        return os.environ["UPCONV_TEST_PYTHON"]
    folder = os.path.join(build_folder, "venv")
    stamp = os.path.join(folder, "complete-" + hashlib.sha256(" ".join(REQUIREMENTS).encode()).hexdigest()[:12])
    interpreter = os.path.join(folder, "bin", "python")
    os.makedirs(build_folder, exist_ok=True)
    with open(os.path.join(build_folder, "venv.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)                 # tests run at once share one environment
        if os.path.exists(stamp):
            return interpreter
        try:
            venv.create(folder, with_pip=True)
            subprocess.run([interpreter, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS],
                           check=True, timeout=900)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"no Python with Keras: {error}", file=sys.stderr)
            return None
        open(stamp, "w").close()
        return interpreter


def rerun_with_keras(build_folder):
    """Runs this script again under the environment's interpreter and ends with its exit code; skips where there is none."""
    if os.environ.get("UPCONV_TEST_VENV"):
        return
    interpreter = python(build_folder)
    if interpreter is None:
        print("skipped: real Keras cannot be installed here")
        sys.exit(SKIPPED)
    environment = dict(os.environ, UPCONV_TEST_VENV="1", KERAS_BACKEND="jax", JAX_PLATFORMS="cpu", TF_CPP_MIN_LOG_LEVEL="3")
    sys.exit(subprocess.run([interpreter, *sys.argv], env=environment).returncode)
