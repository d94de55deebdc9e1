# SPDX-License-Identifier: Apache-2.0
"""upconv inside Keras on TensorFlow, where it is installed: values, gradients, fit. In a process of its own: KERAS_BACKEND=tensorflow."""
import numpy as np
import pytest

import backends

tf = backends.require("tensorflow")
import keras

import upconv.keras

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def upconv_computes():
    """A test in which Keras computed after all has shown nothing."""
    upconv.keras._noticed.clear()
    yield
    assert not upconv.keras._noticed


@pytest.mark.parametrize("arguments", backends.ARGUMENTS)
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
    backends.check_fit(rng)


def test_what_upconv_cannot_compute_keras_does_with_one_notice(monkeypatch):
    backends.check_what_keras_computes(monkeypatch)


def test_half_a_float_of_the_other_kind_is_left_to_keras():
    layer = upconv.keras.Conv2DTranspose(2, 2, dtype="bfloat16")
    with pytest.warns(UserWarning, match="because its dtype is bfloat16"):
        assert keras.backend.standardize_dtype(layer(np.ones((1, 3, 3, 1), "float32")).dtype) == "bfloat16"
    upconv.keras._noticed.clear()


def test_jit_is_off():
    backends.check_jit_is_off()
