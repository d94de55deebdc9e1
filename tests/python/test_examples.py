# SPDX-License-Identifier: Apache-2.0
"""The scripts and the notebook in examples/ run, as they are."""
import glob
import json
import os
import subprocess
import sys

import pytest

EXAMPLES = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", "examples"))


@pytest.mark.parametrize("name,arguments,says", [("enlarge_photo.py", [], "largest difference to Keras"), ("train_superres.py", ["--epochs", "1"], "PSNR"),
                                                 ("convert_torch.py", [], "largest difference"), ("accelerate_keras.py", [], "3 layers compute with upconv")])
def test_scripts(name, arguments, says, tmp_path):
    if name == "accelerate_keras.py":
        pytest.importorskip("keras")
    done = subprocess.run([sys.executable, os.path.join(EXAMPLES, "python", name), *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert says in done.stdout


@pytest.mark.parametrize("path", sorted(glob.glob(os.path.join(EXAMPLES, "notebooks", "*.ipynb"))), ids=os.path.basename)
def test_notebooks(path, monkeypatch, capsys):
    """Every code cell in turn, in one namespace, its last expression shown as a notebook would."""
    monkeypatch.chdir(os.path.dirname(path))
    with open(path, encoding="utf-8") as file:
        cells = json.load(file)["cells"]
    namespace = {"__name__": "__main__"}
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, "notebooks are kept without outputs"
            exec(compile("".join(cell["source"]), path, "exec"), namespace)
    assert namespace["superres"]._repr_html_().startswith("<b>Model: ")
    assert "difference" in capsys.readouterr().out


def test_there_is_a_notebook():
    assert glob.glob(os.path.join(EXAMPLES, "notebooks", "*.ipynb"))
