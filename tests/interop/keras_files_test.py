# SPDX-License-Identifier: Apache-2.0
"""Real Keras opens what upconv writes: every runnable file of tests/data/keras-files through every form, with equal
configurations and weights, equal predictions, and training that goes on from a compiled model.
usage: keras_files_test.py SOURCE_FOLDER BUILD_FOLDER UPCONV"""
import os
import subprocess
import sys
import tempfile

source, build, upconv = sys.argv[1:4]
sys.path.insert(0, os.path.join(source, "tests", "support"))
import keras_venv  # noqa: E402

keras_venv.rerun_with_keras(build)

import keras  # noqa: E402
import numpy as np  # noqa: E402

FILES = os.path.join(source, "tests", "data", "keras-files")
# Predictions: float32 sums in another order. Half types compute in their own precision, which Keras and upconv round apart.
TOLERANCE = {"float32": 1e-5, "float64": 1e-12, "float16": 4e-3, "bfloat16": 3e-2}
failures, counts = [], {}


def check(what, condition):
    if not condition:
        failures.append(what)
        print("FAILED", what)


def count(what):
    counts[what] = counts.get(what, 0) + 1


def run(*arguments):
    result = subprocess.run([upconv, *arguments], capture_output=True, text=True)
    return result.returncode, result.stderr.strip()


def inputs(model):
    rng = np.random.default_rng(3)
    shape = [2] + [d or 6 for d in model.inputs[0].shape[1:]]
    return rng.normal(size=shape).astype("float32")


def plain(config):
    """A configuration without what differs from process to process."""
    if isinstance(config, dict):
        return {k: plain(v) for k, v in config.items() if k not in ("shared_object_id", "compile_config")}
    return [plain(v) for v in config] if isinstance(config, (list, tuple)) else config


def close(a, b, dtype):
    a, b = np.asarray(a, dtype="float64"), np.asarray(b, dtype="float64")
    return a.shape == b.shape and np.max(np.abs(a - b), initial=0) <= TOLERANCE[dtype] * max(1e-6, np.max(np.abs(b), initial=0))


def same_weights(a, b):
    return len(a.weights) == len(b.weights) and all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in zip(a.weights, b.weights))


def one_file(name, folder):
    path = os.path.join(FILES, name)
    try:
        original = keras.saving.load_model(path, compile=False)
    except Exception:
        return                                           # Keras 2 files that Keras 3 refuses
    if not isinstance(original, keras.Model):
        return
    for form in ("m.keras", "m.h5"):
        out = os.path.join(folder, form)
        code, message = run("convert", path, out, "--without-optimizer")
        if code != 0:
            check(f"{name} -> {form}: {message}", "cannot be run yet" in message or "hard_sigmoid" in message)
            return
        again = keras.saving.load_model(out, compile=False)
        check(f"{name} -> {form}: weights", same_weights(original, again))
        check(f"{name} -> {form}: config", plain(original.get_config()) == plain(again.get_config()))
        x = inputs(original)
        check(f"{name} -> {form}: prediction", np.array_equal(np.asarray(original(x), dtype="float64"), np.asarray(again(x), dtype="float64"), equal_nan=True))
        count(form)
    for form in ("w.weights.h5", "w.weights.json"):
        out = os.path.join(folder, form)
        code, message = run("convert", path, out, "--max-shard", "300")
        check(f"{name} -> {form}: {message}", code == 0)
        again = keras.models.clone_model(original)
        again.load_weights(out)
        check(f"{name} -> {form}: weights", same_weights(original, again))
        count(form)
    # upconv's own prediction of what it wrote.
    np.save(os.path.join(folder, "x.npy"), x)
    code, message = run("run", os.path.join(folder, "m.keras"), os.path.join(folder, "x.npy"), os.path.join(folder, "y.npy"), "--math", "exact")
    if code == 0:
        expected = np.asarray(original(x))
        dtype = str(expected.dtype)
        if dtype != "bfloat16":
            check(f"{name}: upconv predicts as Keras", close(np.load(os.path.join(folder, "y.npy")), expected.astype("float64"), dtype))
            count("prediction")
    else:
        check(f"{name}: upconv run: {message}", "dtype" in message)


def hard_sigmoid(folder):
    """Keras 3's own, which an older form names as Keras 2 named another function."""
    layers = [keras.layers.Conv2DTranspose(4, 3, strides=2, activation="hard_sigmoid"), keras.layers.Activation("hard_sigmoid")]
    original = keras.Sequential([keras.Input((4, 5, 3)), *layers])
    path = os.path.join(folder, "hard.keras")
    original.save(path)
    x = 4 * inputs(original)
    for form in ("hard_again.keras", "hard_again.h5"):
        out = os.path.join(folder, form)
        code, message = run("convert", path, out)
        check(f"hard_sigmoid -> {form}: {message}", code == 0)
        check(f"hard_sigmoid -> {form}", np.array_equal(np.asarray(original(x)), np.asarray(keras.saving.load_model(out, compile=False)(x))))


def training_goes_on(name, folder):
    """Two more epochs from Keras's file and from upconv's give the same losses and weights."""
    path, out = os.path.join(FILES, name), os.path.join(folder, "c.keras")
    code, message = run("convert", path, out)
    check(f"{name} compiled: {message}", code == 0)
    models = [keras.saving.load_model(p) for p in (path, out)]
    x = inputs(models[0])
    y = np.cos(np.arange(np.prod(models[0](x).shape))).reshape(models[0](x).shape).astype("float32")
    losses = [m.fit(x, y, epochs=2, batch_size=2, shuffle=False, verbose=0).history["loss"] for m in models]
    check(f"{name}: losses {losses}", np.allclose(losses[0], losses[1], rtol=1e-6, atol=0))
    check(f"{name}: weights after training", all(np.allclose(np.asarray(a, "float32"), np.asarray(b, "float32"), rtol=1e-6, atol=1e-7)
                                                 for a, b in zip(models[0].weights, models[1].weights)))
    count("training")


with tempfile.TemporaryDirectory() as folder:
    for name in sorted(os.listdir(FILES)):
        if name.endswith(".keras") or (name.endswith(".h5") and not name.endswith(".weights.h5") and "weights_only" not in name):
            one_file(name, folder)
    for name in sorted(os.listdir(FILES)):
        if name.startswith("compiled_") and name.endswith(".keras"):
            training_goes_on(name, folder)
    hard_sigmoid(folder)

print(counts)
check("every kind of file was seen", counts.get("m.keras", 0) >= 30 and counts.get("training", 0) >= 9 and counts.get("prediction", 0) >= 20)
sys.exit(1 if failures else 0)
