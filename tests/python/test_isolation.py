# SPDX-License-Identifier: Apache-2.0
"""Files are decoded in the sandboxed process that the package carries."""
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import upconv

MODELS = os.path.join(os.path.dirname(__file__), "..", "..", "models")
HELPER = os.path.join(os.path.dirname(upconv._core.__file__), "upconv-decode")
pytestmark = pytest.mark.skipif(not os.path.exists(HELPER), reason="built without libseccomp")


@pytest.mark.parametrize("name", ["superres.keras", "superres.h5", "superres_training.keras"])
def test_a_model_is_the_same_from_both(name):
    path = os.path.join(MODELS, name)
    one, two = (upconv.load_model(path, isolation=isolation) for isolation in ("none", "process"))
    for a, b in zip(one.get_weights(), two.get_weights()):
        np.testing.assert_array_equal(a, b)
    one.load_weights(path, isolation="process")
    with open(path, "rb") as file:
        assert upconv.load_model(file.read(), isolation="process").count_params() == one.count_params()


def test_another_word_is_refused():
    with pytest.raises(ValueError, match="none, automatic or process"):
        upconv.load_model(os.path.join(MODELS, "superres.keras"), isolation="sandbox")


def test_limits_are_arguments():
    path = os.path.join(MODELS, "superres.keras")
    for limit, value in {"tensor_bytes": 100, "json_bytes": 100, "nesting": 2, "layers": 2, "hdf5_objects": 3, "zip_members": 2}.items():
        with pytest.raises(upconv.FileError):
            upconv.load_model(path, limits={limit: value})
    assert upconv.load_model(path, limits={"inflate_ratio": 1000, "seconds": 5}).count_params() == 13777
    for bad in ({"files": 3}, {"layers": -1}):
        with pytest.raises(ValueError, match="limits"):
            upconv.load_model(path, limits=bad)


def test_a_package_without_the_helper_tells(tmp_path):
    """In a process of its own, with a copy of the package."""
    shutil.copytree(os.path.dirname(upconv.__file__), tmp_path / "upconv", ignore=shutil.ignore_patterns("upconv-decode", "__pycache__"))
    code = """
import sys
import upconv
notes = []
upconv.load_model(sys.argv[1], on_note=notes.append)
assert any("without a sandbox" in note for note in notes), notes
try:
    upconv.load_model(sys.argv[1], isolation="process")
except upconv.FileError as error:
    assert "upconv-decode" in str(error)
else:
    raise SystemExit("loaded")
"""
    subprocess.run([sys.executable, "-c", code, os.path.abspath(os.path.join(MODELS, "superres.keras"))], check=True, cwd=tmp_path,
                   env={**os.environ, "PYTHONPATH": str(tmp_path)})
