# SPDX-License-Identifier: Apache-2.0
"""The cases of Keras 3.15's own tests for Conv2DTranspose, written anew: sizes and messages as published, numbers by the definition.
Each runs on upconv's layer, on the one inside Keras, and on Keras's own, which holds the expectations themselves to Keras."""
import itertools
import re

import numpy as np
import pytest

keras = pytest.importorskip("keras")
if keras.backend.backend() != "jax":
    pytest.skip("needs the JAX backend", allow_module_level=True)

import upconv
import upconv.keras

faces = pytest.mark.parametrize("make", [upconv.layers.Conv2DTranspose, upconv.keras.Conv2DTranspose, keras.layers.Conv2DTranspose],
                                ids=["upconv", "inside Keras", "Keras"])


def pair(value):
    return tuple(value) if isinstance(value, tuple) else (value, value)


def one_axis(n, k, s, padding, output_padding, dilation):
    """(length of the output, cells cut from the start) of an axis."""
    k = (k - 1) * dilation + 1
    if padding == "valid":
        return (n - 1) * s + (max(k, s) if output_padding is None else k + output_padding), 0
    out = n * s if output_padding is None else (n - 1) * s + k % 2 + output_padding
    return out, max((n - 1) * s + k - out, 0) // 2


def by_definition(x, kernel, bias, strides, padding, output_padding, dilation):
    """Every input pixel adds its channels times the kernel; channels last."""
    n, h, w, _ = x.shape
    kh, kw, filters, _ = kernel.shape
    (sh, sw), (dh, dw) = pair(strides), pair(dilation)
    ph, pw = (None, None) if output_padding is None else pair(output_padding)
    (oh, top), (ow, left) = one_axis(h, kh, sh, padding, ph, dh), one_axis(w, kw, sw, padding, pw, dw)
    full = np.zeros((n, top + oh + h * sh + kh * dh, left + ow + w * sw + kw * dw, filters))
    for i, j, a, b in itertools.product(range(h), range(w), range(kh), range(kw)):
        full[:, i * sh + a * dh, j * sw + b * dw] += x[:, i, j] @ kernel[a, b].T
    return full[:, top:top + oh, left:left + ow] + bias


@faces
@pytest.mark.parametrize("filters,kernel_size,strides,padding,output_padding,data_format,dilation_rate,shape,expected", [
    (5, 2, 2, "valid", None, "channels_last", 1, (2, 8, 8, 4), (2, 16, 16, 5)),
    (6, 2, 3, "same", 2, "channels_last", (1, 1), (2, 8, 8, 4), (2, 23, 23, 6)),
    (6, (2, 3), (2, 1), "valid", None, "channels_first", (1, 1), (2, 4, 8, 8), (2, 6, 16, 10)),
    (2, (7, 7), (16, 16), "valid", None, "channels_last", (1, 1), (1, 14, 14, 2), (1, 224, 224, 2))])
def test_basic(make, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, shape, expected):
    layer = make(filters, kernel_size, strides=strides, padding=padding, output_padding=output_padding, data_format=data_format, dilation_rate=dilation_rate)
    assert tuple(layer.compute_output_shape(shape)) == expected
    assert np.asarray(layer(np.random.default_rng(0).normal(size=shape).astype("float32"))).shape == expected
    assert (len(layer.trainable_weights), len(layer.non_trainable_weights), len(layer.losses)) == (2, 0, 0)
    twin = make.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()


@faces
@pytest.mark.parametrize("filters,kernel_size,strides,padding,output_padding", [
    (5, 2, 2, "valid", None), (6, 7, 16, "same", 2), (6, (2, 3), (2, 1), "valid", None), (2, (7, 7), (16, 16), "valid", None)])
def test_correctness(make, filters, kernel_size, strides, padding, output_padding):
    rng = np.random.default_rng(1)
    x, kernel, bias = rng.normal(size=(2, 14, 14, 4)), rng.normal(size=(*pair(kernel_size), filters, 4)), rng.normal(size=filters)
    layer = make(filters, kernel_size, strides=strides, padding=padding, output_padding=output_padding)
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    layer.bias.assign(bias)
    np.testing.assert_allclose(np.asarray(layer(x.astype("float32"))), by_definition(x, kernel, bias, strides, padding, output_padding, 1), atol=1e-5, rtol=1e-5)


@faces
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_counted_numbers(make, padding):
    x, kernel = np.arange(96.0).reshape(2, 4, 4, 3), np.arange(60.0).reshape(2, 2, 5, 3)
    layer = make(5, 2, strides=2, padding=padding)
    layer.build(x.shape)
    layer.set_weights([kernel, np.zeros(5)])
    np.testing.assert_array_equal(np.asarray(layer(x.astype("float32"))), by_definition(x, kernel, 0, 2, padding, None, 1))     # whole numbers: exact


@faces
def test_consistency_of_one_axis(make):
    """Three ones by kernels that count, for every kernel size, stride, padding and output_padding up to 4."""
    x, cases = np.ones((1, 3, 1, 1)), 0
    for k, s, padding, op in itertools.product(range(1, 5), range(1, 5), ("same", "valid"), (None, 1, 2, 3, 4)):
        if op is not None and op >= s:
            with pytest.raises(ValueError, match="must be strictly less than"):
                make(1, (k, 1), strides=(s, 1), padding=padding, output_padding=(op, 0))
            continue
        output_padding = None if op is None else (op, 0)
        kernel = np.arange(1.0, k + 1).reshape(k, 1, 1, 1)
        layer = make(1, (k, 1), strides=(s, 1), padding=padding, output_padding=output_padding, use_bias=False)
        layer.build(x.shape)
        layer.set_weights([kernel])
        np.testing.assert_array_equal(np.asarray(layer(x.astype("float32"))), by_definition(x, kernel, 0, (s, 1), padding, output_padding, 1), (k, s, padding, op))
        assert tuple(make(2, k, strides=s, padding=padding, output_padding=op).compute_output_shape((None, None, None, 3))) == (None, None, None, 2)
        cases += 1
    assert cases == 80


@faces
@pytest.mark.parametrize("arguments,message", [
    (dict(filters=0, kernel_size=1), "Invalid value for argument `filters`. Expected a strictly positive value. Received filters=0."),
    (dict(filters=2, kernel_size=(1, 0)), "Received kernel_size=(1, 0), including values {0} that do not satisfy `value > 0`"),
    (dict(filters=2, kernel_size=(2, 2), strides=(1, 0)), "Received strides=(1, 0), including values {0} that do not satisfy `value > 0`"),
    (dict(filters=2, kernel_size=3, strides=2, output_padding=3), "`output_padding` must be strictly less than `strides`"),
    (dict(filters=2, kernel_size=3, strides=(2, 3), output_padding=(1, 3)), "`output_padding` must be strictly less than `strides`"),
    (dict(filters=2, kernel_size=(2, 2), strides=2, dilation_rate=(2, 1)),
     "`strides > 1` not supported in conjunction with `dilation_rate > 1`. Received: strides=(2, 2) and dilation_rate=(2, 1)")])
def test_bad_arguments(make, arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(**arguments)
