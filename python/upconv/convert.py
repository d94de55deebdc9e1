# SPDX-License-Identifier: Apache-2.0
"""Weights of other frameworks' transposed convolutions.

torch.nn.ConvTranspose2d computes ``out[i*s + j*d - p] += x[i] * w[j]`` without flipping the kernel, as Keras does, so its weight
(in, out/groups, kh, kw) is Keras's kernel (kh, kw, out, in) with the axes in another order; ONNX's ConvTranspose stores the
same. What differs is the cropping: torch takes ``padding`` p away from both ends of the natural output and adds
``output_padding`` at the end; Keras's 'valid' takes nothing away, 'same' takes ``max(natural - out, 0) // 2`` from the start.
"""
import numpy as np


def _check(weight, groups):
    weight = np.asarray(weight)
    if weight.ndim != 4:
        raise ValueError(f"The weight of a two-dimensional transposed convolution has 4 axes. Received shape {weight.shape}.")
    if groups != 1:
        raise ValueError(f"Keras's Conv2DTranspose has no groups. Received groups={groups}.")
    return weight


def kernel_from_torch(weight, groups=1):
    """(in, out, kh, kw) of ``torch.nn.ConvTranspose2d`` to Keras's (kh, kw, out, in).

    Examples
    --------
    >>> import numpy as np, upconv
    >>> upconv.convert.kernel_from_torch(np.zeros((8, 3, 4, 5))).shape
    (4, 5, 3, 8)
    """
    return np.ascontiguousarray(_check(weight, groups).transpose(2, 3, 1, 0))


def kernel_to_torch(kernel):
    """The way back: (kh, kw, out, in) to (in, out, kh, kw).

    Examples
    --------
    >>> import numpy as np, upconv
    >>> upconv.convert.kernel_to_torch(np.zeros((4, 5, 3, 8))).shape
    (8, 3, 4, 5)
    """
    return np.ascontiguousarray(_check(kernel, 1).transpose(3, 2, 0, 1))


kernel_from_onnx = kernel_from_torch
kernel_to_onnx = kernel_to_torch


def padding_from_torch(kernel_size, stride, padding, output_padding=0, dilation=1):
    """Keras's ``(padding, output_padding)`` for one axis of a torch layer.

    Raises ValueError where Keras has no arguments that compute the same: 'valid' crops nothing, and 'same' crops
    ``(effective kernel - effective kernel % 2 - output_padding) // 2`` from the start.

    Examples
    --------
    >>> import upconv
    >>> upconv.convert.padding_from_torch(4, 2, 1)
    ('same', None)
    >>> upconv.convert.padding_from_torch(3, 2, 1)
    ('same', 0)
    >>> upconv.convert.padding_from_torch(2, 2, 0)
    ('valid', 0)
    """
    effective = (kernel_size - 1) * dilation + 1
    if not 0 <= output_padding < max(stride, dilation):
        raise ValueError(f"torch's output_padding must be smaller than stride or dilation. Received: {output_padding}.")
    if padding == 0 and output_padding < stride:
        return "valid", output_padding
    # The length beyond (n - 1) * stride: torch's, and that of Keras's 'same', which is stride without output_padding and
    # effective % 2 + output_padding with it.
    length = effective - 2 * padding + output_padding
    keras = length - effective % 2
    if max(effective - length, 0) // 2 == padding and length == stride:
        return "same", None
    if max(effective - length, 0) // 2 == padding and 0 <= keras < stride:
        return "same", keras
    raise ValueError(f"No padding of Keras computes what torch's padding={padding}, output_padding={output_padding} with kernel_size={kernel_size}, "
                     f"stride={stride}, dilation={dilation} computes: crop the 'valid' output instead.")
