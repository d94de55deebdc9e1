# SPDX-License-Identifier: Apache-2.0
"""The operation and its gradients on NumPy arrays, for backends that call back into Python."""
import numpy as np

from .. import _arrays, _core


def forward(x, kernel, bias, geometry):
    x, half = _arrays.prepared(x)
    kernel, _ = _arrays.prepared(kernel)
    b = None if bias is None else _arrays.prepared(bias)[0]
    return _arrays.from_core(_core.conv_transpose(x, kernel, b, half, list(geometry)))


def backward(x, kernel, dy, geometry):
    """(dx, dkernel, dbias)."""
    x, half = _arrays.prepared(x)
    kernel, _ = _arrays.prepared(kernel)
    dy, _ = _arrays.prepared(np.ascontiguousarray(dy))
    return tuple(_arrays.from_core(g) for g in _core.conv_transpose_gradients(x, kernel, dy, half, list(geometry)))
