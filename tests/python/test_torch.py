# SPDX-License-Identifier: Apache-2.0
"""upconv inside Keras on torch, where it is installed: values, gradients, fit. In a process of its own: KERAS_BACKEND=torch."""
import numpy as np
import pytest

import backends

torch = backends.require("torch")
import keras

import upconv.keras

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def upconv_computes():
    """A test in which Keras computed after all has shown nothing; on the CPU, where upconv computes."""
    upconv.keras._noticed.clear()
    with keras.device("cpu"):
        yield
    assert not upconv.keras._noticed


@pytest.mark.parametrize("arguments", [*backends.ARGUMENTS, dict(strides=2, padding="same", data_format="channels_first")])
def test_values_and_gradients(arguments):
    theirs, ours = keras.layers.Conv2DTranspose(5, 3, **arguments), upconv.keras.Conv2DTranspose(5, 3, **arguments)
    values = rng.normal(size=(2, 4, 5, 3)).astype("float32")
    if arguments.get("data_format") == "channels_first":
        values = np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    theirs.build(values.shape), ours.build(values.shape)
    ours.set_weights(theirs.get_weights())
    results = []
    for layer in (theirs, ours):
        x = torch.tensor(values, requires_grad=True)
        y = layer(x)
        torch.sin(y).sum().backward()
        results.append([t.detach().numpy() for t in (y, x.grad, *[v.value.grad for v in layer.trainable_variables])])
    for a, b in zip(*results):
        np.testing.assert_allclose(a, b, atol=3e-5 * max(1, np.abs(a).max()))


def test_an_input_that_needs_no_gradient_and_frozen_weights():
    layer = upconv.keras.Conv2DTranspose(2, 3, 2)
    x = torch.ones(1, 3, 3, 2)
    layer(x).sum().backward()
    assert all(v.value.grad is not None for v in layer.trainable_variables)
    layer.trainable = False
    x.requires_grad_()
    layer(x).sum().backward()
    assert x.grad.shape == x.shape


def test_half_types_and_no_grad():
    layer = upconv.keras.Conv2DTranspose(2, 3, 2, dtype="float16")
    with torch.no_grad():
        y = layer(torch.ones(1, 3, 3, 2, dtype=torch.float16))
    assert y.dtype == torch.float16 and not y.requires_grad


def test_fit_and_shapes():
    backends.check_fit(rng)


def test_what_upconv_cannot_compute_keras_does_with_one_notice(monkeypatch):
    backends.check_what_keras_computes(monkeypatch)


def test_half_a_float_of_the_other_kind_is_left_to_keras():
    backends.check_other_half_is_left_to_keras()


def test_jit_is_off():
    backends.check_jit_is_off()
