# SPDX-License-Identifier: Apache-2.0
"""Under torch: an autograd function over the CPU's memory."""
import torch

from . import _eager
from ._geometry import output_shape

FUSES_RELU = COMPILES = False


def _tensor(array, like):
    return torch.from_numpy(array).to(like.device)


class _ConvTranspose(torch.autograd.Function):
    @staticmethod
    def forward(context, x, kernel, bias, geometry):
        context.save_for_backward(x, kernel)
        context.geometry, context.has_bias = geometry, bias is not None
        y = _eager.forward(x.detach().cpu().contiguous().numpy(), kernel.detach().cpu().contiguous().numpy(),
                           None if bias is None else bias.detach().cpu().numpy(), geometry)
        return _tensor(y, x)

    @staticmethod
    def backward(context, dy):
        x, kernel = context.saved_tensors
        dx, dk, db = _eager.backward(x.detach().cpu().contiguous().numpy(), kernel.detach().cpu().contiguous().numpy(), dy.detach().cpu().contiguous().numpy(),
                                     context.geometry)
        return _tensor(dx, x), _tensor(dk, kernel), _tensor(db, kernel) if context.has_bias else None, None


def conv_transpose(x, kernel, bias, geometry):
    """Keras's ``conv_transpose(x, kernel) + bias``; ``bias`` may be None."""
    if x.device.type == "meta":                                            # Keras asks for the shape
        return torch.empty(output_shape(tuple(x.shape), tuple(kernel.shape), geometry), dtype=x.dtype, device="meta")
    return _ConvTranspose.apply(x, kernel.to(x.dtype), None if bias is None else bias.to(x.dtype), tuple(geometry))


def supports(dtype):
    return dtype in ("float32", "float64", "float16")


def on_cpu(x):
    return x.device.type in ("cpu", "meta")
