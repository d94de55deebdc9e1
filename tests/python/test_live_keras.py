# SPDX-License-Identifier: Apache-2.0
"""Random layers beside real Keras on JAX: values and all three gradients, for upconv's own layer and for the one inside Keras.
Hypothesis draws them and makes a failing one small. The seed is printed; UPCONV_LIVE_SEED repeats a run. Time-boxed: at least 500
configurations, at most four minutes, in which a machine that does nothing else needs a minute and a half."""
import collections
import os
import time

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_ENABLE_X64", "1")
# Hundreds of small programs: compiling them is all the time this takes.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, given, seed as seeded, settings, strategies as st

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("needs the JAX backend", allow_module_level=True)
jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import ml_dtypes

import upconv
import upconv.keras

CONFIGURATIONS, SECONDS = 500, 240                    # about 90 s where nothing else runs
# Units in the last place of the dtype, times the size of the sums; half types round inputs, products' sums and results once each.
UNIT = {"float32": 2.0 ** -24, "float64": 2.0 ** -53, "float16": 2.0 ** -11, "bfloat16": 2.0 ** -8}


@st.composite
def layers(draw):
    """A configuration, an input shape and a seed of the numbers; the shares that must occur are forced by the draw."""
    often = lambda percent: draw(st.integers(0, 99)) < percent
    uneven, dilated, below = often(50), often(25), often(40)
    pair = lambda low, high: (draw(st.integers(low, high)), draw(st.integers(low, high))) if uneven else (draw(st.integers(low, high)),) * 2
    strides = (1, 1) if dilated else pair(2 if below else 1, 4)
    kernel = pair(1, 5) if dilated or not below else tuple(draw(st.integers(1, s - 1)) for s in strides) if uneven else (draw(st.integers(1, strides[0] - 1)),) * 2
    config = dict(filters=draw(st.integers(1, 8)), kernel_size=kernel, strides=strides, padding=draw(st.sampled_from(["same", "valid"])),
                  dilation_rate=pair(2, 3) if dilated else (1, 1), data_format="channels_first" if often(35) else "channels_last",
                  activation=draw(st.sampled_from(["linear", "tanh", "elu", "softplus"])), use_bias=often(80),
                  dtype=draw(st.sampled_from(["float32", "float32", "float64", "float16", "bfloat16"])))
    if config["dtype"] in ("float16", "bfloat16"):          # there the sums themselves are rounded, and a slope may be anything near them
        config["activation"] = "linear"
    if config["dtype"] == "float64" and config["activation"] == "tanh":      # Keras computes it in float32 (docs/keras_parity.md)
        config["activation"] = "linear"
    if often(40):
        config["output_padding"] = tuple(draw(st.integers(0, s - 1)) for s in strides)
    n, c = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    h, w = pair(1, 7)
    return config, (n, c, h, w) if config["data_format"] == "channels_first" else (n, h, w, c), draw(st.integers(0, 2 ** 32 - 1))


def output_is_empty(config, shape):
    return any(d is not None and d <= 0 for d in upconv.layers.Conv2DTranspose(**config).compute_output_shape(shape))


def bound(dtype, magnitude):
    return 32 * UNIT[dtype] * magnitude + (0 if dtype in ("float32", "float64") else 4 * UNIT[dtype] * magnitude)


def wide(a):
    return np.asarray(a).astype("float64")


def results(layer, variables, x, dy):
    """(y, dx, [dw]) under a trace."""
    def value(variables, x):
        y, _ = layer.stateless_call(variables, [], x)
        return jnp.sum(y.astype("float64") * dy), y
    (_, y), (dw, dx) = jax.value_and_grad(value, argnums=(0, 1), has_aux=True)(variables, x)
    return y, dx, dw


def sizes_of(config, shape, weights, x, dy):
    """The sizes of the sums: a linear layer on absolute values, whose own error does not matter here."""
    layer = upconv.layers.Conv2DTranspose(**dict(config, activation="linear", dtype="float64"))
    layer.build(shape)
    layer.set_weights([np.abs(wide(w)) for w in weights])
    y, tape = layer.forward(np.abs(wide(x)))
    g = layer.backward(np.abs(dy), tape)
    return y, g.input, g.weights


def compare(config, shape, rng):
    """One layer on both faces beside Keras's: the output and all three gradients."""
    dtype = np.dtype(config["dtype"]) if config["dtype"] != "bfloat16" else np.dtype(ml_dtypes.bfloat16)
    channels = shape[1] if config["data_format"] == "channels_first" else shape[3]
    shapes = [(*config["kernel_size"], config["filters"], channels)] + ([(config["filters"],)] if config["use_bias"] else [])
    weights = [rng.normal(size=s).astype(dtype) for s in shapes]
    x = rng.normal(size=shape).astype(dtype)
    ours = upconv.layers.Conv2DTranspose(**config)
    ours.build(shape)
    ours.set_weights(weights)
    dy = wide(rng.normal(size=ours.compute_output_shape(shape)).astype(dtype))
    with_weights = dict(config, kernel_initializer=lambda shape, dtype=None: weights[0], bias_initializer=lambda shape, dtype=None: weights[1])
    theirs, inside = keras.layers.Conv2DTranspose(**with_weights), upconv.keras.Conv2DTranspose(**with_weights)
    theirs.build(shape), inside.build(shape)
    (y, dx, dw), (yi, dxi, dwi) = jax.jit(lambda v, x: (results(theirs, v, x, dy), results(inside, v, x, dy)))(weights, x)
    yo, tape = ours.forward(x)
    go = ours.backward(dy.astype(yo.dtype), tape)
    ys, dxs, dws = sizes_of(config, shape, weights, x, dy)
    gradients = [(name, dw[i], dwi[i], go.weights[i], dws[i]) for i, name in enumerate(["dkernel", "dbias"][:len(dw)])]
    for what, a, b, c, size in [("output", y, yi, yo, ys), ("dx", dx, dxi, go.input, dxs), *gradients]:
        # Both sides round: 2. The activations drawn have slopes of at most 1, which change by no more than their sum's error; a kink,
        # as relu has, would turn that error into a whole gradient.
        turned = 1 + (float(np.max(wide(ys))) if what != "output" and config["activation"] != "linear" else 0)
        limit = 2 * turned * bound(config["dtype"], max(1e-30, float(np.max(wide(size)))))
        assert np.asarray(a).shape == np.asarray(b).shape == np.asarray(c).shape, what
        for side, v in (("upconv", c), ("inside Keras", b)):
            assert np.max(np.abs(wide(a) - wide(v)), initial=0) <= limit, (side, what, np.max(np.abs(wide(a) - wide(v))), limit)


def shares(config, shape):
    plane = shape[2:] if config["data_format"] == "channels_first" else shape[1:3]
    return dict(all=True, dilation=max(config["dilation_rate"]) > 1, channels_first=config["data_format"] == "channels_first",
                output_padding="output_padding" in config, k_below_s=any(k < s for k, s in zip(config["kernel_size"], config["strides"])),
                uneven=any(len(set(p)) > 1 for p in (config["kernel_size"], config["strides"], plane)), half=config["dtype"] in ("float16", "bfloat16"))


def test_random_layers_as_keras():
    seed = int(os.environ.get("UPCONV_LIVE_SEED", time.time_ns() % 2 ** 31))
    print(f"seed {seed} (UPCONV_LIVE_SEED={seed} repeats this run)")
    seen = collections.Counter()
    started = time.monotonic()

    @seeded(seed)
    @settings(max_examples=CONFIGURATIONS, deadline=None, database=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
    @given(layers())
    def run(layer):
        config, shape, numbers = layer
        assume(not output_is_empty(config, shape))
        if seen["all"] < CONFIGURATIONS and time.monotonic() - started > SECONDS:
            raise TimeoutError(f"only {dict(seen)} in {SECONDS} s")
        compare(config, shape, np.random.default_rng(numbers))
        seen.update(key for key, here in shares(config, shape).items() if here)

    run()
    print(dict(seen), f"{time.monotonic() - started:.0f} s")
    assert seen["all"] >= CONFIGURATIONS
    for share, count in seen.items():
        assert count >= 0.15 * seen["all"], (share, dict(seen))


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
