# SPDX-License-Identifier: Apache-2.0
"""upconv inside Keras on TensorFlow, where it is installed: values, gradients, fit. In a process of its own: KERAS_BACKEND=tensorflow."""
import os

import numpy as np
import pytest

if os.environ.get("KERAS_BACKEND") != "tensorflow":
    pytest.skip("KERAS_BACKEND is not tensorflow", allow_module_level=True)
tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
import upconv.keras

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def upconv_computes():
    """A test in which Keras computed after all has shown nothing."""
    upconv.keras._noticed.clear()
    yield
    assert not upconv.keras._noticed


@pytest.mark.parametrize("arguments", [dict(strides=2, padding="same"), dict(strides=2, padding="valid", use_bias=False), dict(strides=1, padding="same", activation="relu"),
                                       dict(strides=3, padding="valid", output_padding=1)])
def test_values_and_gradients(arguments):
    theirs, ours = keras.layers.Conv2DTranspose(5, 3, **arguments), upconv.keras.Conv2DTranspose(5, 3, **arguments)
    x = tf.constant(rng.normal(size=(2, 4, 5, 3)), tf.float32)
    theirs.build(x.shape), ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    results = []
    for layer in (theirs, ours):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [x, *[v.value for v in layer.trainable_variables]])])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, atol=3e-5 * max(1, float(tf.reduce_max(tf.abs(a)))))


def test_fit_and_shapes():
    x, y = rng.normal(size=(16, 4, 4, 8)).astype("float32"), rng.normal(size=(16, 8, 8, 2)).astype("float32")
    losses = []
    for accelerated in (False, True):
        model = keras.Sequential([keras.layers.Input((None, None, 8)), keras.layers.Conv2DTranspose(6, 4, 2, "same", activation="relu", kernel_initializer=keras.initializers.HeNormal(1)),
                                  keras.layers.Conv2DTranspose(2, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(2))])
        model.compile("adam", "mse")
        if accelerated:
            assert upconv.keras.accelerate(model) == 2
        losses.append(model.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
