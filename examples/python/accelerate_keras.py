# SPDX-License-Identifier: Apache-2.0
"""Keras on JAX, its Conv2DTranspose layers computed by upconv: the same losses, sooner.

    python examples/python/accelerate_keras.py
"""
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import upconv.keras


def generator():
    return keras.Sequential([
        keras.layers.Input((4, 4, 256)),
        keras.layers.Conv2DTranspose(128, 4, 2, "same", activation="relu", kernel_initializer=keras.initializers.HeNormal(1)),
        keras.layers.Conv2DTranspose(64, 4, 2, "same", activation="relu", kernel_initializer=keras.initializers.HeNormal(2)),
        keras.layers.Conv2DTranspose(3, 4, 2, "same", activation="tanh", kernel_initializer=keras.initializers.HeNormal(3))])


rng = np.random.default_rng(0)
x, y = rng.normal(size=(64, 4, 4, 256)).astype("float32"), rng.uniform(-1, 1, size=(64, 32, 32, 3)).astype("float32")
for accelerated in (False, True):
    model = generator()
    model.compile("adam", "mse")
    if accelerated:
        print(f"{upconv.keras.accelerate(model)} layers compute with upconv")
    model.fit(x, y, epochs=1, batch_size=16, shuffle=False, verbose=0)               # compiles
    started = time.perf_counter()
    loss = model.fit(x, y, epochs=3, batch_size=16, shuffle=False, verbose=0).history["loss"][-1]
    print(f"{'upconv' if accelerated else 'Keras'}: {time.perf_counter() - started:.2f} s for three epochs, loss {loss:.6f}")
