# SPDX-License-Identifier: Apache-2.0
"""Random layers for comparisons with real Keras (test_live_keras.py on JAX, test_tensorflow.py): what Hypothesis draws, upconv's own
results, how far Keras's may be from them, and a run that holds what was drawn to its shares."""
import collections
import os
import time
import types

import ml_dtypes
import numpy as np
from hypothesis import HealthCheck, Phase, assume, given, seed as seeded, settings, strategies as st

import upconv

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


def sizes_of(config, shape, weights, x, dy):
    """The sizes of the sums: a linear layer on absolute values, whose own error does not matter here."""
    layer = upconv.layers.Conv2DTranspose(**dict(config, activation="linear", dtype="float64"))
    layer.build(shape)
    layer.set_weights([np.abs(wide(w)) for w in weights])
    y, tape = layer.forward(np.abs(wide(x)))
    g = layer.backward(np.abs(dy), tape)
    return [y, g.input, *g.weights]


def case(config, shape, rng):
    """Numbers for a layer: ``x``, ``dy``, ``weights``, ``arguments`` that make it with them, and ``results``: [y, dx, dkernel(, dbias)]."""
    dtype = np.dtype(config["dtype"]) if config["dtype"] != "bfloat16" else np.dtype(ml_dtypes.bfloat16)
    channels = shape[1] if config["data_format"] == "channels_first" else shape[3]
    shapes = [(*config["kernel_size"], config["filters"], channels)] + ([(config["filters"],)] if config["use_bias"] else [])
    weights = [rng.normal(size=s).astype(dtype) for s in shapes]
    x = rng.normal(size=shape).astype(dtype)
    layer = upconv.layers.Conv2DTranspose(**config)
    layer.build(shape)
    layer.set_weights(weights)
    dy = wide(rng.normal(size=layer.compute_output_shape(shape)).astype(dtype))
    y, tape = layer.forward(x)
    g = layer.backward(dy.astype(y.dtype), tape)
    arguments = dict(config, kernel_initializer=lambda shape, dtype=None: weights[0], bias_initializer=lambda shape, dtype=None: weights[1])
    return types.SimpleNamespace(x=x, dy=dy, weights=weights, arguments=arguments, results=[y, g.input, *g.weights])


def check(config, shape, case, theirs, inside):
    """Output and all three gradients of Keras, of the layer inside it, and of upconv's own."""
    sizes = sizes_of(config, shape, case.weights, case.x, case.dy)
    assert len(theirs) == len(inside) == len(case.results) == len(sizes)
    for what, a, b, c, size in zip(("output", "dx", "dkernel", "dbias"), theirs, inside, case.results, sizes):
        # Both sides round: 2. The activations drawn have slopes of at most 1, which change by no more than their sum's error; a kink,
        # as relu has, would turn that error into a whole gradient.
        turned = 1 + (float(np.max(wide(sizes[0]))) if what != "output" and config["activation"] != "linear" else 0)
        limit = 2 * turned * bound(config["dtype"], max(1e-30, float(np.max(wide(size)))))
        assert np.asarray(a).shape == np.asarray(b).shape == np.asarray(c).shape, what
        for side, v in (("upconv", c), ("inside Keras", b)):
            assert np.max(np.abs(wide(a) - wide(v)), initial=0) <= limit, (side, what, np.max(np.abs(wide(a) - wide(v))), limit)


def shares(config, shape):
    plane = shape[2:] if config["data_format"] == "channels_first" else shape[1:3]
    return dict(dilation=max(config["dilation_rate"]) > 1, channels_first=config["data_format"] == "channels_first",
                output_padding="output_padding" in config, k_below_s=any(k < s for k, s in zip(config["kernel_size"], config["strides"])),
                uneven=any(len(set(p)) > 1 for p in (config["kernel_size"], config["strides"], plane)), half=config["dtype"] in ("float16", "bfloat16"))


def run(compare, configurations, seconds, served=lambda config: True, absent=frozenset()):
    """``compare(config, shape, rng)`` for so many layers, in so many seconds of processor time; each share is at least 15 % of them,
    but for those that `served` leaves out."""
    seed = int(os.environ.get("UPCONV_LIVE_SEED", time.time_ns() % 2 ** 31))
    print(f"seed {seed} (UPCONV_LIVE_SEED={seed} repeats this run)")
    seen, started = collections.Counter(), time.process_time()

    @seeded(seed)
    @settings(max_examples=configurations, deadline=None, database=None, phases=[Phase.generate, Phase.shrink], suppress_health_check=list(HealthCheck))
    @given(layers())
    def drawn(layer):
        config, shape, numbers = layer
        assume(served(config) and not output_is_empty(config, shape))
        if seen["all"] < configurations and time.process_time() - started > seconds:
            raise TimeoutError(f"only {dict(seen)} in {seconds} s")
        compare(config, shape, np.random.default_rng(numbers))
        seen["all"] += 1
        seen.update({share: int(here) for share, here in shares(config, shape).items()})

    drawn()
    percent = {share: f"{100 * count / seen['all']:.0f} %" for share, count in seen.items() if share != "all"}
    print(f"{seen['all']} layers in {time.process_time() - started:.0f} s: {percent}")
    assert seen["all"] >= configurations and len(percent) == 6
    for share in percent.keys() - absent:
        assert seen[share] >= 0.15 * seen["all"], (share, percent)
