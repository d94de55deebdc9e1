# SPDX-License-Identifier: Apache-2.0
"""Keras (on JAX, or on KERAS_BACKEND) with and without upconv, and upconv alone, side by side: a step of `fit` on a DCGAN generator and on the
super-resolution model, and the layers of bench/shapes.csv. Compilation is left out and printed apart. Rounds alternate, the best of each counts.

"allowed" (JAX) is Amdahl's bound on the ratio, step / (step - layers in Keras + layers in upconv), where `layers` are the model's Conv2DTranspose
layers, each forward and backward alone under jit on the inputs it has in the model, measured in the same rounds; "reached" is the ratio's part of it.

    python bench/python/inside_keras.py [--core] [--rounds 5] [--model superres] [--layers]
"""
import argparse
import csv
import os
import tempfile
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--layers", action="store_true", help="also every layer of bench/shapes.csv, forward")
parser.add_argument("--model", choices=["dcgan", "superres", "none"], help="one of the two models, or none")
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


def alone(cls, layer, x, needs_input_gradient):
    """Forward and backward of a twin of ``layer``, of class ``cls``, under jit: a function without arguments."""
    import jax
    twin = cls.from_config(layer.get_config())
    twin.build(x.shape)
    variables = [v.value for v in twin.trainable_variables]
    dy = jax.numpy.ones(twin.compute_output_shape(x.shape), x.dtype)

    def step(variables, x, dy):
        call = lambda v, x: twin.stateless_call(v, [], x)[0]
        y, back = jax.vjp(call, variables, x) if needs_input_gradient else jax.vjp(lambda v: call(v, x), variables)
        return y, back(dy)

    compiled = jax.jit(step)
    jax.block_until_ready(compiled(variables, x, dy))
    return lambda: jax.block_until_ready(compiled(variables, x, dy))


def layers_alone(model, x):
    """The model's Conv2DTranspose layers as functions: [in Keras], [in upconv]. None where the backend is not JAX."""
    if keras.backend.backend() != "jax":
        return None
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    inputs = keras.Model(model.inputs, [layer.input for layer in layers])([x])
    inputs = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    below = [all(layer.input is not one for one in model.inputs) for layer in layers]
    return [[alone(cls, *one) for one in zip(layers, inputs, below)] for cls in (keras.layers.Conv2DTranspose, upconv.keras.Conv2DTranspose)]


def best_times(runs, steps):
    """The least seconds a step of each run, a function of so many steps, in rounds that alternate."""
    best = [float("inf")] * len(runs)
    for _ in range(arguments.rounds):
        for i, run in enumerate(runs):
            started = time.perf_counter()
            run()
            best[i] = min(best[i], (time.perf_counter() - started) / steps)
    return best


def fit_times(make, x, y, batch):
    """Seconds a step in Keras, with upconv inside it and in upconv alone; of the layers in Keras and in upconv (or none); of the first steps."""
    models, first_steps, steps = [], [], len(x) // batch
    for accelerated in (False, True):
        model = make()
        model.compile(keras.optimizers.Adam(1e-4), "mse")
        if accelerated:
            upconv.keras.accelerate(model)
        started = time.perf_counter()
        model.train_on_batch(x[:batch], y[:batch])
        first_steps.append(time.perf_counter() - started)
        models.append(model)
    with tempfile.TemporaryDirectory() as folder:                        # the same model in upconv's own trainer
        models[0].save(os.path.join(folder, "m.keras"))
        own = upconv.load_model(os.path.join(folder, "m.keras"), compile=False)
    own.compile(upconv.optimizers.Adam(1e-4), "mse")
    own.fit(x[:batch], y[:batch], batch_size=batch, verbose=0)
    runs = [lambda model=model: model.fit(x, y, batch_size=batch, epochs=1, shuffle=False, verbose=0) for model in (*models, own)]
    for calls in layers_alone(models[0], x[:batch]) or []:
        runs.append(lambda calls=calls: [call() for call in calls for _ in range(steps)])
    times = best_times(runs, steps)
    return times[:3], times[3:], first_steps


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
        calls.append(lambda call=call, variables=variables: call(variables, x).block_until_ready())
    return best_times(calls, 1)


rng = np.random.default_rng(0)
print(f"Keras {keras.__version__} on {keras.backend.backend()}, {len(os.sched_getaffinity(0))} processor(s)")
if arguments.model != "none":
    print("| model | Keras, ms a step | with upconv | ratio | allowed | reached | layers alone: Keras, upconv | upconv alone | ratio "
          "| first step: Keras, with upconv (s) |\n|" + "---|" * 10)
for key, name, make, x, y, batch in (
        ("dcgan", "DCGAN generator, batch 8", dcgan, rng.normal(size=(16, 4, 4, 1024)), rng.uniform(-1, 1, size=(16, 64, 64, 3)), 8),
        ("superres", "superres, batch 16 of 32x32", superres, rng.uniform(size=(256, 32, 32, 1)), rng.uniform(size=(256, 64, 64, 1)), 16)):
    if arguments.model not in (None, key):
        continue
    (t0, t1, t2), layers, (c0, c1) = fit_times(make, x.astype("float32"), y.astype("float32"), batch)
    bound = "| - | - | - "
    if layers and t0 - layers[0] + layers[1] > 0:                        # where layers are nearly everything, the rest is smaller than the noise
        allowed = t0 / (t0 - layers[0] + layers[1])
        bound = f"| {allowed:.2f} x | {100 * t0 / t1 / allowed:.0f} % | {1e3 * layers[0]:.1f}, {1e3 * layers[1]:.1f} "
    print(f"| {name} | {1e3 * t0:.1f} | {1e3 * t1:.1f} | {t0 / t1:.2f} x {bound}| {1e3 * t2:.1f} | {t0 / t2:.1f} x | {c0:.1f}, {c1:.1f} |", flush=True)
if arguments.layers:
    print("\n| layer | Keras, ms | with upconv | ratio |\n|---|---|---|---|")
    ratios = []
    with open(os.path.join(ROOT, "bench", "shapes.csv")) as file:
        for row in csv.DictReader(file):
            a, b = layer_times(row)
            ratios.append(a / b)
            print(f"| {row['name']} | {1e3 * a:.3f} | {1e3 * b:.3f} | {a / b:.2f} x |", flush=True)
    print(f"\ngeometric mean {np.exp(np.mean(np.log(ratios))):.2f} x, least {min(ratios):.2f} x")
