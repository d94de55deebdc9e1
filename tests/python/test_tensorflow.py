# SPDX-License-Identifier: Apache-2.0
"""upconv inside Keras on TensorFlow, where it is installed: values, gradients, fit. In a process of its own: KERAS_BACKEND=tensorflow."""
import os

import numpy as np
import pytest

import backends

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")      # with oneDNN, the kernel gradient of TensorFlow 2.21 corrupts memory for some random layers
pytest.importorskip("hypothesis")
pytest.importorskip("ml_dtypes")
import random_layers

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


def results(layer, case):
    """[y, dx, *dw]."""
    x = tf.constant(case.x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    return [y, *tape.gradient(y, [x, *[v.value for v in layer.trainable_variables]], output_gradients=tf.cast(case.dy, y.dtype))]


def test_random_layers_as_keras():
    """Hypothesis's layers, as in test_live_keras.py, of the kinds that TensorFlow computes on a CPU."""
    refused = []

    def served(config):
        return config["dtype"] != "bfloat16" and config["data_format"] == "channels_last" and max(config["dilation_rate"]) == 1

    def compare(config, shape, case_rng):
        case = random_layers.case(config, shape, case_rng)
        theirs, inside = keras.layers.Conv2DTranspose(**case.arguments), upconv.keras.Conv2DTranspose(**case.arguments)
        theirs.build(shape), inside.build(shape)
        found = results(inside, case)
        try:
            expected = results(theirs, case)
        except tf.errors.InvalidArgumentError:         # some sizes with 'valid' and output_padding
            refused.append(config)
            expected = found
        random_layers.check(config, shape, case, expected, found)

    random_layers.run(compare, 500, 120, served, absent={"channels_first", "dilation"})
    print(f"TensorFlow itself could not compute {len(refused)} of them")
    assert len(refused) < 100


def test_what_upconv_cannot_compute_keras_does_with_one_notice(monkeypatch):
    backends.check_what_keras_computes(monkeypatch)


def test_half_a_float_of_the_other_kind_is_left_to_keras():
    backends.check_other_half_is_left_to_keras()


def test_jit_is_off():
    backends.check_jit_is_off()
