# SPDX-License-Identifier: Apache-2.0
"""What the tests of upconv inside Keras have in common under every backend."""
import os
import warnings

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


def check_what_keras_computes(monkeypatch):
    """A dtype or device that upconv does not serve: Keras's numbers, and one notice for each reason."""
    import keras

    import upconv.keras

    x = np.random.default_rng(1).normal(size=(1, 3, 3, 2)).astype("float32")
    theirs, ours = keras.layers.Conv2DTranspose(2, 2, activation="relu"), upconv.keras.Conv2DTranspose(2, 2, activation="relu")
    theirs.build(x.shape), ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    for name, reason in (("supports", "its dtype is float32"), ("on_cpu", "another device")):
        with monkeypatch.context() as patch:
            patch.setattr(upconv.keras._operation, name, lambda x: False)
            with pytest.warns(UserWarning, match=f"Keras computes a Conv2DTranspose itself, because.* {reason}"):
                y = ours(x)
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours(x)), keras.ops.convert_to_numpy(y))
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), keras.ops.convert_to_numpy(theirs(x)))
    assert len(upconv.keras._noticed) == 2
    upconv.keras._noticed.clear()


def check_other_half_is_left_to_keras():
    """Under these backends Keras computes bfloat16."""
    import keras

    import upconv.keras

    layer = upconv.keras.Conv2DTranspose(2, 2, dtype="bfloat16")
    with pytest.warns(UserWarning, match="because its dtype is bfloat16"):
        assert keras.backend.standardize_dtype(layer(np.ones((1, 3, 3, 1), "float32")).dtype) == "bfloat16"
    upconv.keras._noticed.clear()


def check_jit_is_off():
    """Where upconv's operation cannot be compiled, no model with it is: asked for before or after the layer is there."""
    import keras

    from upconv.keras import Conv2DTranspose, accelerate, restore

    def model(cls):
        return keras.Sequential([keras.layers.Input((4, 4, 2)), cls(2, 2)])

    x, y = np.ones((4, 4, 4, 2), "float32"), np.ones((4, 5, 5, 2), "float32")
    own = model(Conv2DTranspose)
    with pytest.warns(UserWarning, match="jit_compile=False"):
        own.compile("sgd", "mse", jit_compile=True)
    later = model(keras.layers.Conv2DTranspose)
    later.compile("sgd", "mse", jit_compile=True)
    with pytest.warns(UserWarning, match="jit_compile is switched off"):
        assert accelerate(later) == 1
    for m in (own, later):
        assert not m.jit_compile
        m.fit(x, y, verbose=0)
        assert restore(m) == 1 and m.layers[0].supports_jit
