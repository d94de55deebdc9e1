# SPDX-License-Identifier: Apache-2.0
"""Random layers beside real Keras on JAX: values and all three gradients, for upconv's own layer and for the one inside Keras.
Hypothesis draws them and makes a failing one small. The seed is printed; UPCONV_LIVE_SEED repeats a run. Time-boxed: at least 500
configurations, in at most four minutes of processor time, of which they need one and a half."""
import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")
# Hundreds of small programs: compiling them is all the time this takes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import numpy as np
import pytest

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("needs the JAX backend", allow_module_level=True)
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp

import random_layers
import upconv
import upconv.keras


def results(layer, variables, x, dy):
    """[y, dx, *dw] under a trace."""
    def value(variables, x):
        y, _ = layer.stateless_call(variables, [], x)
        return jnp.sum(y.astype("float64") * dy), y
    (_, y), (dw, dx) = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(variables, x)
    return [y, dx, *dw]


def compare(config, shape, rng):
    case = random_layers.case(config, shape, rng)
    theirs, inside = keras.layers.Conv2DTranspose(**case.arguments), upconv.keras.Conv2DTranspose(**case.arguments)
    theirs.build(shape), inside.build(shape)
    both = jax.jit(lambda v, x: (results(theirs, v, x, case.dy), results(inside, v, x, case.dy)))(case.weights, case.x)
    random_layers.check(config, shape, case, *both)


def test_random_layers_as_keras():
    random_layers.run(compare, 500, 240)


def test_an_activation_derivative_at_half_precision_is_that_of_keras():
    config = dict(filters=2, kernel_size=2, activation="relu", dtype="float16")
    layer = upconv.layers.Conv2DTranspose(**config)
    y, tape = layer.forward(np.zeros((1, 2, 2, 1), "float16"))
    assert np.all(layer.backward(np.ones_like(y), tape).bias == 0)


# What Keras's documentation and change notes promise with numbers, written anew.
@pytest.mark.parametrize("make", [upconv.layers.Conv2DTranspose, upconv.keras.Conv2DTranspose], ids=["upconv", "inside Keras"])
@pytest.mark.parametrize("arguments,size,expected", [
    (dict(kernel_size=3, strides=2, padding="valid"), (4, 4), (9, 9)), (dict(kernel_size=3, strides=2, padding="same"), (4, 4), (8, 8)),
    (dict(kernel_size=2, strides=3, padding="valid"), (4, 4), (12, 12)), (dict(kernel_size=3, strides=2, padding="valid", output_padding=1), (4, 4), (10, 10)),
    (dict(kernel_size=3, strides=2, padding="same", output_padding=1), (4, 4), (8, 8)), (dict(kernel_size=3, strides=2, padding="same", output_padding=0), (4, 4), (7, 7)),
    (dict(kernel_size=(2, 3), strides=(1, 2), padding="valid"), (5, 6), (6, 13)), (dict(kernel_size=3, strides=1, padding="valid", dilation_rate=2), (4, 4), (8, 8)),
    (dict(kernel_size=2, strides=2), (10, 8), (20, 16))])
def test_sizes(make, arguments, size, expected):
    layer = make(3, **arguments)
    assert tuple(layer.compute_output_shape((2, *size, 4)))[1:3] == expected
    assert np.asarray(layer(np.ones((2, *size, 4), "float32"))).shape == (2, *expected, 3)


@pytest.mark.parametrize("make", [upconv.layers.Conv2DTranspose, upconv.keras.Conv2DTranspose], ids=["upconv", "inside Keras"])
def test_a_delta_input_draws_the_kernel(make):
    layer = make(1, (2, 3), strides=2, use_bias=False)
    layer.build((1, 2, 2, 1))
    kernel = np.arange(6, dtype="float32").reshape(2, 3, 1, 1)
    layer.set_weights([kernel])
    x = np.zeros((1, 2, 2, 1), "float32")
    x[0, 1, 0, 0] = 1
    y = np.asarray(layer(x))[0, :, :, 0]
    np.testing.assert_array_equal(y[2:4, 0:3], kernel[:, :, 0, 0])
    assert y.sum() == kernel.sum()


@pytest.mark.parametrize("make", [upconv.layers.Conv2DTranspose, upconv.keras.Conv2DTranspose], ids=["upconv", "inside Keras"])
def test_refusals(make):
    for wrong in (dict(filters=0, kernel_size=1), dict(filters=2, kernel_size=(1, 2, 3)), dict(filters=2, kernel_size=(1, 0)), dict(filters=2, kernel_size=2, strides=2, dilation_rate=2),
                  dict(filters=2, kernel_size=2, strides=0), dict(filters=2, kernel_size=2, padding="full"), dict(filters=2, kernel_size=2, strides=2, output_padding=2)):
        with pytest.raises(ValueError):
            make(**wrong)
