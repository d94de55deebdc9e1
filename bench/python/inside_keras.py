# SPDX-License-Identifier: Apache-2.0
"""Keras (on JAX, or on KERAS_BACKEND) with and without upconv, and upconv alone, side by side: a step of `fit` on a DCGAN generator and on the
super-resolution model, and the layers of bench/shapes.csv. Compilation is left out and printed apart. Rounds alternate, the best of each counts.

    python bench/python/inside_keras.py [--core] [--rounds 5] [--layers]
"""
import argparse
import csv
import os
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--layers", action="store_true", help="also every layer of bench/shapes.csv, forward")
parser.add_argument("--core", action="store_true", help="one processor only")
arguments = parser.parse_args()
if arguments.core:
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import keras
import numpy as np

import upconv.keras

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def dcgan():
    """DCGAN's generator behind its first reshape: 4x4x1024 -> 64x64x3, Conv2DTranspose and activations only."""
    layers = [keras.layers.Input((4, 4, 1024))]
    for filters in (512, 256, 128):
        layers.append(keras.layers.Conv2DTranspose(filters, 4, 2, "same", activation="relu"))
    layers.append(keras.layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh"))
    return keras.Sequential(layers)


def superres():
    return keras.saving.load_model(os.path.join(ROOT, "models", "superres_training.keras"), compile=False)


def fit_times(make, x, y, batch):
    """Seconds a step without and with upconv, and the seconds their first steps took (compilation)."""
    runs = []
    for accelerated in (False, True):
        model = make()
        model.compile(keras.optimizers.Adam(1e-4), "mse")
        if accelerated:
            upconv.keras.accelerate(model)
        started = time.perf_counter()
        model.train_on_batch(x[:batch], y[:batch])
        runs.append([model, time.perf_counter() - started, float("inf")])
    with tempfile.TemporaryDirectory() as folder:                        # the same model in upconv's own trainer
        runs[0][0].save(os.path.join(folder, "m.keras"))
        own = upconv.load_model(os.path.join(folder, "m.keras"), compile=False)
    own.compile(upconv.optimizers.Adam(1e-4), "mse")
    own.fit(x[:batch], y[:batch], batch_size=batch, verbose=0)
    runs.append([own, 0.0, float("inf")])
    for _ in range(arguments.rounds):
        for run in runs:
            started = time.perf_counter()
            run[0].fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0)
            run[2] = min(run[2], (time.perf_counter() - started) / (len(x) // batch))
    return runs


def layer_times(row):
    import jax
    n, h, w, c, f, kh, kw, sh, sw = (int(row[k]) for k in "n h w c f kh kw sh sw".split())
    x = jax.numpy.asarray(np.random.default_rng(0).normal(size=(n, h, w, c)).astype("float32"))
    calls = []
    for cls in (keras.layers.Conv2DTranspose, upconv.keras.Conv2DTranspose):
        layer = cls(f, (kh, kw), (sh, sw), row["padding"], activation=row["activation"] or None)
        layer.build(x.shape)
        call = jax.jit(lambda v, x, layer=layer: layer.stateless_call(v, [], x)[0])
        variables = [v.value for v in layer.trainable_variables]
        call(variables, x).block_until_ready()
        calls.append([lambda call=call, variables=variables: call(variables, x).block_until_ready(), float("inf")])
    for _ in range(arguments.rounds):
        for call in calls:
            started = time.perf_counter()
            call[0]()
            call[1] = min(call[1], time.perf_counter() - started)
    return [seconds for _, seconds in calls]


rng = np.random.default_rng(0)
print(f"Keras {keras.__version__} on {keras.backend.backend()}, {len(os.sched_getaffinity(0))} processor(s)")
print("| model | Keras, ms a step | with upconv | ratio | upconv alone | ratio | first step: Keras, with upconv (s) |\n|---|---|---|---|---|---|---|")
for name, make, x, y, batch in (("DCGAN generator, batch 8", dcgan, rng.normal(size=(16, 4, 4, 1024)), rng.uniform(-1, 1, size=(16, 64, 64, 3)), 8),
                                ("superres, batch 16 of 32x32", superres, rng.uniform(size=(64, 32, 32, 1)), rng.uniform(size=(64, 64, 64, 1)), 16)):
    (_, c0, t0), (_, c1, t1), (_, _, t2) = fit_times(make, x.astype("float32"), y.astype("float32"), batch)
    print(f"| {name} | {1e3 * t0:.1f} | {1e3 * t1:.1f} | {t0 / t1:.1f} x | {1e3 * t2:.1f} | {t0 / t2:.1f} x | {c0:.1f}, {c1:.1f} |", flush=True)
if arguments.layers:
    print("\n| layer | Keras, ms | with upconv | ratio |\n|---|---|---|---|")
    ratios = []
    with open(os.path.join(ROOT, "bench", "shapes.csv")) as file:
        for row in csv.DictReader(file):
            a, b = layer_times(row)
            ratios.append(a / b)
            print(f"| {row['name']} | {1e3 * a:.3f} | {1e3 * b:.3f} | {a / b:.2f} x |", flush=True)
    print(f"\ngeometric mean {np.exp(np.mean(np.log(ratios))):.2f} x, least {min(ratios):.2f} x")
