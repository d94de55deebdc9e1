# SPDX-License-Identifier: Apache-2.0
"""A layer's geometry as nine numbers: hashable, and an attribute of XLA's foreign functions."""
_math = {"exact": 0}


def set_math(math):
    """'fast' (default) or 'exact', for layers that are traced or called from now on."""
    if math not in ("fast", "exact"):
        raise ValueError(f"`math` must be 'fast' or 'exact'. Received: {math!r}")
    _math["exact"] = int(math == "exact")


def geometry_of(layer):
    """strides, dilation_rate, output_padding (-1: None), same, channels_first, exact."""
    padding = layer.output_padding
    if padding is None:
        padding = (-1, -1)
    elif isinstance(padding, int):
        padding = (padding, padding)
    return (*layer.strides, *layer.dilation_rate, *padding, int(layer.padding == "same"), int(layer.data_format == "channels_first"), _math["exact"])


def output_shape(x, kernel, g):
    """The output's shape; x and kernel are shapes."""
    first = g[7]
    sizes = []
    for axis in (0, 1):
        n, k, s, d, op = x[(2 if first else 1) + axis], kernel[axis], g[axis], g[2 + axis], g[4 + axis]
        e = (k - 1) * d + 1
        if g[6]:
            sizes.append(n * s if op < 0 else (n - 1) * s + e % 2 + op)
        else:
            sizes.append((n - 1) * s + e + (op if op >= 0 else max(e, s) - e))
    return (x[0], kernel[2], *sizes) if first else (x[0], *sizes, kernel[2])
