# SPDX-License-Identifier: Apache-2.0
"""Models from Python: files, predict, fit, pictures, conversions, doctests, leaks."""
import doctest
import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import upconv

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
MODELS = os.path.join(ROOT, "models")
FILES = os.path.join(ROOT, "tests", "data", "keras-files")


def small(name="small"):
    return upconv.Sequential([upconv.layers.Conv2DTranspose(4, 3, 2, "same", activation="relu", kernel_initializer=upconv.initializers.HeNormal(seed=1), name="up"),
                              upconv.layers.Conv2DTranspose(1, 3, padding="same", kernel_initializer=upconv.initializers.HeNormal(seed=2), name="out")], name=name,
                             input_shape=(4, 4, 2))


def data(n=24):
    rng = np.random.default_rng(5)
    return rng.normal(size=(n, 4, 4, 2)).astype("float32"), rng.uniform(size=(n, 8, 8, 1)).astype("float32")


def test_the_bundled_model_predicts_as_keras_did():
    model = upconv.load_model(os.path.join(MODELS, "superres.keras"))
    x, expected = np.load(os.path.join(MODELS, "superres_input.npy")), np.load(os.path.join(MODELS, "superres_expected.npy"))
    np.testing.assert_allclose(model.predict(x), expected, atol=5e-6)
    np.testing.assert_array_equal(model.predict(x, batch_size=1), model.predict(x, batch_size=2))
    with open(os.path.join(MODELS, "superres.keras"), "rb") as f:
        np.testing.assert_array_equal(upconv.load_model(f.read())(x), model(x))


def test_files_both_ways(tmp_path):
    model = small()
    x, _ = data(3)
    for name in ("m.keras", "m.h5"):
        model.save(tmp_path / name)
        np.testing.assert_array_equal(upconv.load_model(tmp_path / name)(x), model(x))
    for name in ("m.weights.h5", "m.weights.json", "w.npz"):
        model.save_weights(tmp_path / name, max_shard_size=200)
        other = small()
        other.set_weights([np.zeros_like(w) for w in other.get_weights()])
        other.load_weights(tmp_path / name)
        np.testing.assert_array_equal(other(x), model(x))
    with pytest.raises(upconv.FileError) as error:
        upconv.load_model(tmp_path / "missing.keras")
    assert isinstance(error.value, OSError) and isinstance(error.value, ValueError) and "missing" in error.value.path
    notes = []
    upconv.load_model(os.path.join(FILES, "v2_sequential.h5"), on_note=notes.append)
    assert all(isinstance(n, str) for n in notes)


def test_keras_opens_what_was_saved(tmp_path):
    keras = pytest.importorskip("keras")
    model = small()
    x, y = data(8)
    model.compile("adam", "mse")
    model.fit(x, y, epochs=1, verbose=0)
    model.save(tmp_path / "m.keras")
    theirs = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(np.asarray(theirs(x)), model(x), rtol=1e-4, atol=1e-5)
    assert int(theirs.optimizer.iterations) == 1


def test_fit_evaluate_and_resume(tmp_path):
    x, y = data()
    model = small()
    with pytest.raises(ValueError, match="compile"):
        model.fit(x, y)
    model.compile(upconv.optimizers.Adam(0.01), upconv.losses.MeanSquaredError(), metrics=["mae"])
    history = model.fit(x, y, epochs=5, batch_size=8, verbose=0, validation_data=(x[:8], y[:8]))
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"] and history.history["loss"][-1] < history.history["loss"][0]
    np.testing.assert_allclose(model.evaluate(x[:8], y[:8]), [history.history["val_loss"][-1], history.history["val_mae"][-1]], rtol=1e-6)
    model.save(tmp_path / "m.keras")
    again = upconv.load_model(tmp_path / "m.keras")
    again.fit(x, y, epochs=6, initial_epoch=5, batch_size=8, verbose=0, shuffle=True)
    with pytest.raises(ValueError):
        model.fit(x[:0], y[:0])
    with pytest.raises(ValueError):
        model.fit(x, y[:, :4])


def test_training_is_the_same_for_any_number_of_threads():
    results = []
    for threads in (1, 2):
        upconv.set_threads(threads)
        model = small()
        model.compile("adam", "mse")
        model.fit(*data(), epochs=2, batch_size=8, verbose=0)
        results.append(model.get_weights())
    upconv.set_threads(0)
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_callbacks(tmp_path):
    x, y = data()
    model = small()
    model.compile(upconv.optimizers.SGD(0.01), "mse")
    stopping = upconv.callbacks.EarlyStopping("loss", min_delta=100, patience=3, restore_best_weights=True)
    reduce = upconv.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=100)
    history = model.fit(x, y, epochs=20, verbose=0, callbacks=[stopping, reduce, upconv.callbacks.CSVLogger(tmp_path / "log.csv"),
                                                              upconv.callbacks.ModelCheckpoint(tmp_path / "m_{epoch:02d}.keras")])
    assert len(history.epoch) == 4 and model.learning_rate < 0.01
    assert (tmp_path / "log.csv").read_text().startswith("epoch,") and (tmp_path / "m_03.keras").exists()

    class Interrupting(upconv.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, verbose=0, callbacks=[Interrupting()])


def test_tables_and_pictures():
    lines = []
    small().summary(print_fn=lines.append)
    assert "up (Conv2DTranspose)" in lines[0] and "Total params: 113 (452.00 B)" in lines[0]
    assert "<table>" in small()._repr_html_()
    picture = upconv.explain(upconv.layers.Conv2DTranspose(1, 3, 2), (1, 4, 4, 1))
    assert picture._repr_svg_().startswith("<svg")


def torch_conv_transpose(x, w, stride, padding, output_padding):
    """torch.nn.functional.conv_transpose2d by its definition; x (n, in, h, w), w (in, out, kh, kw)."""
    n, ci, h, wd = x.shape
    _, co, kh, kw = w.shape
    full = np.zeros((n, co, (h - 1) * stride + kh + output_padding, (wd - 1) * stride + kw + output_padding))
    for i in range(h):
        for j in range(wd):
            full[:, :, i * stride:i * stride + kh, j * stride:j * stride + kw] += np.einsum("nc,coab->noab", x[:, :, i, j], w)
    return full[:, :, padding:full.shape[2] - padding, padding:full.shape[3] - padding]


def test_torch_weights_compute_the_same():
    rng = np.random.default_rng(7)
    seen = 0
    for k in range(1, 6):
        for s in range(1, 4):
            for p in range(0, 3):
                for op in range(s):
                    try:
                        padding, output_padding = upconv.convert.padding_from_torch(k, s, p, op)
                    except ValueError:
                        continue
                    x, w = rng.normal(size=(1, 3, 4, 5)), rng.normal(size=(3, 2, k, k))
                    expected = torch_conv_transpose(x, w, s, p, op)
                    layer = upconv.layers.Conv2DTranspose(2, k, s, padding, output_padding=output_padding, use_bias=False, dtype="float64")
                    layer.build((None, 4, 5, 3))
                    layer.set_weights([upconv.convert.kernel_from_torch(w)])
                    np.testing.assert_allclose(layer(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), expected, rtol=1e-10, atol=1e-12)
                    np.testing.assert_array_equal(upconv.convert.kernel_to_torch(layer.kernel), w)
                    seen += 1
    assert seen >= 25
    with pytest.raises(ValueError, match="groups"):
        upconv.convert.kernel_from_torch(np.zeros((4, 1, 3, 3)), groups=4)


@pytest.mark.parametrize("name", ["", ".layers", "._layer", ".models", ".activations", ".initializers", ".regularizers", ".constraints", ".losses", ".metrics",
                                  ".optimizers", ".callbacks", ".convert", "._explain", "._serialize"])
def test_examples_in_the_documentation(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    result = doctest.testmod(importlib.import_module("upconv" + name))
    assert result.failed == 0 and result.attempted > 0


def stub_of(module):
    import ast
    with open(os.path.join(os.path.dirname(upconv.__file__), module + ".pyi")) as file:
        return ast.parse(file.read()).body


def names_of(statements):
    for node in statements:
        yield from [node.name] if hasattr(node, "name") else [t.id for t in node.targets] if hasattr(node, "targets") else [a.name for a in node.names]


def test_the_stub_names_what_the_module_has():
    assert os.path.exists(os.path.join(os.path.dirname(upconv.__file__), "py.typed"))
    assert set(names_of(node for node in stub_of("_core") if hasattr(node, "name"))) == {name for name in dir(upconv._core) if not name.startswith("_")}


@pytest.mark.parametrize("module", ["activations", "constraints", "initializers", "layers", "losses", "optimizers", "regularizers"])
def test_stubs_name_what_modules_make_in_loops(module):
    made = getattr(upconv, module)
    public = {name for name, thing in vars(made).items() if not name.startswith("_") and getattr(thing, "__module__", "").startswith("upconv.")
              and (isinstance(thing, type) or thing.__module__ == made.__name__)}
    named = list(names_of(stub_of(module)))
    assert public <= set(named) and len(named) == len(set(named))


def test_stubs_hold_arguments():
    classes = {node.name: node for node in stub_of("layers") if hasattr(node, "bases")}
    init = next(node for node in classes["Conv2DTranspose"].body if node.name == "__init__").args
    assert [a.arg for a in init.args] == ["self", "filters", "kernel_size", "strides", "padding"] and "output_padding" in [a.arg for a in init.kwonlyargs]
    assert {"kernel", "filters", "activation"} <= {node.name for node in classes["Conv2DTranspose"].body}
    relu = next(node for node in classes["ReLU"].body if node.name == "__init__").args
    assert [a.arg for a in relu.args] == ["self", "max_value", "negative_slope", "threshold"] and relu.kwarg.arg == "kwargs"


@pytest.mark.parametrize("module", ["layers", "models", "activations", "initializers", "regularizers", "constraints", "losses", "optimizers", "callbacks", "convert"])
def test_everything_public_is_documented(module):
    things = [(n, t) for n, t in vars(getattr(upconv, module)).items() if not n.startswith("_") and getattr(t, "__module__", "").startswith("upconv.") and callable(t)]
    assert len(things) > 3
    for name, thing in things:
        assert thing.__doc__, name
        for method, value in vars(thing).items() if isinstance(thing, type) and not name.startswith("on_") else ():
            if not method.startswith("_") and not method.startswith("on_") and (callable(value) or isinstance(value, property)):
                assert value.__doc__, f"{name}.{method}"


def test_nothing_leaks_and_the_import_is_quick():
    script = """
import time, sys
import numpy as np
started = time.process_time()
import upconv
assert time.process_time() - started < 1
assert not any(m in sys.modules for m in ("jax", "tensorflow", "torch", "keras"))
held = upconv.layers.Conv2DTranspose(3, 3, 2, activation=lambda a: a * 2, kernel_constraint=lambda w: w)
held(np.ones((1, 3, 3, 2)))
model = upconv.Sequential([upconv.layers.Conv2DTranspose(1, 2)], input_shape=(2, 2, 1))
model.compile("adam", "mse")
history = model.fit(np.ones((4, 2, 2, 1)), np.ones((4, 3, 3, 1)), verbose=0)
y, tape = held.forward(np.ones((1, 3, 3, 2)))
try:
    upconv.layers.Conv2DTranspose(0, 1)
except ValueError:
    pass
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "leaked" not in done.stderr, done.stderr
