# SPDX-License-Identifier: Apache-2.0
"""The wheel that `./dev wheel` made: whether it carries its libraries, shows no symbol, runs in a fresh environment with NumPy only,
and beside h5py and torch in one process. usage: wheel_test.py FOLDER_OF_WHEELS BUILD_FOLDER"""
import glob
import os
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "tests", "support"))
import keras_venv  # noqa: E402

SYSTEM = r"(lib(c|m|dl|rt|pthread|stdc\+\+|gcc_s)|ld-linux-x86-64|ld-linux-aarch64)\.so\.\d+"

ALONE = """
import importlib.metadata, os, sys
import numpy as np
import upconv
names = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
assert names <= {"numpy", "upconv", "pip", "setuptools"}, names
y = upconv.layers.Conv2DTranspose(32, 2, 2, activation="relu")(np.random.rand(4, 10, 8, 128))
assert y.shape == (4, 20, 16, 32)
models, folder = sys.argv[1:3]
for name in ("superres.keras", "superres.h5"):
    model = upconv.load_model(os.path.join(models, name), isolation="process")
    model.save(os.path.join(folder, name))
    again = upconv.load_model(os.path.join(folder, name), isolation="none")
    x = np.random.rand(1, 8, 8, 1).astype("float32")
    np.testing.assert_array_equal(model(x), again(x))
"""

BESIDE = """
import importlib, sys
first, second, file = sys.argv[1:4]
try:
    importlib.import_module(first), importlib.import_module(second)
except ImportError as error:
    if error.name not in ("torch", "h5py"):
        raise
    print(f"skipped: {error.name} is not installed")
    raise SystemExit
import numpy as np
import upconv
if "h5py" in sys.modules:
    import h5py
    with h5py.File(file) as one:
        model = upconv.load_model(file, isolation="none")
        groups = list(one["model_weights"])
        model.save(file + ".again.h5")
        with h5py.File(file + ".again.h5") as two:
            assert list(two["model_weights"]) == groups
if "torch" in sys.modules:
    import torch
    x, w, b = (torch.randn(*s) for s in ((2, 8, 9, 9), (8, 4, 3, 3), (4,)))
    want = torch.nn.functional.conv_transpose2d(x, w, b, stride=2)
    layer = upconv.layers.Conv2DTranspose(4, 3, 2, data_format="channels_first")
    layer.build(tuple(x.shape))
    layer.set_weights([upconv.convert.kernel_from_torch(w.numpy()), b.numpy()])
    np.testing.assert_allclose(layer(x), want.numpy(), rtol=0, atol=1e-4)
"""


def check_libraries(wheel, folder):
    """Every program and library of the wheel needs the C and C++ libraries and what lies in the wheel itself."""
    zipfile.ZipFile(wheel).extractall(folder)
    files = [f for f in glob.glob(os.path.join(folder, "**", "*"), recursive=True) if os.path.isfile(f)]
    programs = [f for f in files if open(f, "rb").read(4) == b"\x7fELF"]
    inside = {os.path.basename(f) for f in files}
    assert {"upconv-decode", "py.typed", "_core.pyi", "hdf5.txt", "libseccomp.txt"} <= inside, inside
    for program in programs:
        text = subprocess.run(["readelf", "-d", program], capture_output=True, text=True, check=True).stdout
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", text)
        outside = [n for n in needed if not re.fullmatch(SYSTEM, n) and n not in inside]
        assert not outside, f"{program} needs {outside}"
        if "_core" in os.path.basename(program):
            shown = subprocess.run(["nm", "-D", "--defined-only", program], capture_output=True, text=True, check=True).stdout
            assert re.fullmatch(r"\w+ T PyInit__core\n", shown), shown


def main():
    wheels = sorted(glob.glob(os.path.join(sys.argv[1], "upconv-*.whl")), key=os.path.getmtime)
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}-"
    wheels = [w for w in wheels if tag in w or "abi3" in w]
    if not wheels:
        print("skipped: no wheel here for this Python; ./dev wheel builds one")
        sys.exit(keras_venv.SKIPPED)
    wheel = wheels[-1]
    models = os.path.join(ROOT, "models")
    with tempfile.TemporaryDirectory() as folder:
        check_libraries(wheel, os.path.join(folder, "unpacked"))
        fresh = os.path.join(folder, "venv")
        subprocess.run([sys.executable, "-m", "venv", fresh], check=True)
        python = os.path.join(fresh, "bin", "python")
        if subprocess.run([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", wheel]).returncode != 0:
            print("skipped: NumPy cannot be installed here")
            sys.exit(keras_venv.SKIPPED)
        subprocess.run([python, "-I", "-c", ALONE, models, folder], check=True, cwd=folder, env={"PATH": "/nowhere"})
        crowded = keras_venv.python(os.path.abspath(sys.argv[2]))
        if crowded is None:
            print("skipped: no Python with h5py can be made here")
            sys.exit(keras_venv.SKIPPED)
        environment = {**os.environ, "PYTHONPATH": os.path.join(folder, "unpacked")}
        for other in ("h5py", "torch"):
            for order in ((other, "upconv"), ("upconv", other)):
                subprocess.run([crowded, "-c", BESIDE, *order, os.path.join(folder, "superres.h5")], check=True, cwd=folder, env=environment)
    print(f"{os.path.basename(wheel)}: as it should be")


if __name__ == "__main__":
    main()
