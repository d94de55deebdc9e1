# SPDX-License-Identifier: Apache-2.0
"""What the tests of upconv inside Keras have in common under every backend that is not JAX (test_tensorflow.py, test_torch.py)."""
import os

import numpy as np
import pytest

ARGUMENTS = [dict(strides=2, padding="same"), dict(strides=2, padding="valid", use_bias=False), dict(strides=1, padding="same", activation="relu"),
             dict(strides=3, padding="valid", output_padding=1)]


def require(backend):
    """The backend's module; the test file is skipped where KERAS_BACKEND is another, or where it is not installed."""
    if os.environ.get("KERAS_BACKEND") != backend:
        pytest.skip(f"KERAS_BACKEND is not {backend}", allow_module_level=True)
    pytest.importorskip("keras")
    return pytest.importorskip(backend)


def check_fit(rng):
    """A model trains to the same losses with upconv as without it."""
    import keras

    from upconv.keras import accelerate

    x, y = rng.normal(size=(16, 4, 4, 8)).astype("float32"), rng.normal(size=(16, 8, 8, 2)).astype("float32")
    losses = []
    for accelerated in (False, True):
        model = keras.Sequential([keras.layers.Input((None, None, 8)), keras.layers.Conv2DTranspose(6, 4, 2, "same", activation="relu", kernel_initializer=keras.initializers.HeNormal(1)),
                                  keras.layers.Conv2DTranspose(2, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(2))])
        model.compile("adam", "mse")
        if accelerated:
            assert accelerate(model) == 2
        losses.append(model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
