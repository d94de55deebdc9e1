# SPDX-License-Identifier: Apache-2.0
"""Arrays in and out: anything that NumPy, the buffer protocol or DLPack can hand over, without a copy where layout and dtype allow."""
import numpy as np

_HOST = (1, 3, 11, 13)                               # DLPack's device types that the CPU reads: CPU, pinned for CUDA and ROCm, managed
_FLOATS = (np.dtype("float32"), np.dtype("float64"), np.dtype("float16"))


def _bfloat16():
    try:
        import ml_dtypes
    except ImportError:
        raise TypeError("bfloat16 arrays need the package ml_dtypes (pip install ml_dtypes).") from None
    return np.dtype(ml_dtypes.bfloat16)


def is_bfloat16(array):
    """Whether this is ml_dtypes's bfloat16 (asking for the name of a dtype takes a microsecond, so it is asked last)."""
    return array.dtype.kind == "V" and array.dtype.name == "bfloat16"


def as_numpy(x, what="inputs"):
    """A NumPy array of ``x``, sharing its memory where that is possible."""
    if x is None:
        raise ValueError(f"{what} must be arrays. Got 'None' (of type <class 'NoneType'>).")
    if isinstance(x, memoryview):
        x = memoryview(x)                            # ValueError where it was released
    if isinstance(x, np.ndarray):
        array = x
    elif hasattr(x, "__dlpack__") and not hasattr(x, "__array__"):
        device = int(x.__dlpack_device__()[0]) if hasattr(x, "__dlpack_device__") else _HOST[0]
        if device not in _HOST:
            raise ValueError(f"{what} must be in the memory of the CPU. Received {type(x).__name__} on a device of DLPack's type {device}.")
        array = np.from_dlpack(x)
    elif type(x).__module__.split(".")[0] == "torch":
        tensor = x.detach()
        if tensor.device.type != "cpu":
            raise ValueError(f"{what} must be in the memory of the CPU. Received a tensor on {tensor.device}.")
        array = np.from_dlpack(tensor.contiguous()) if str(tensor.dtype) != "torch.bfloat16" else tensor.float().numpy().astype(_bfloat16())
    else:
        array = np.asarray(x)
    if array.dtype == object:
        raise TypeError(f"{what} must be an array of numbers. Received {type(x).__name__} of dtype object.")
    return array


def prepared(x, what="inputs"):
    """(C-contiguous array of a type the core takes, whether it holds bfloat16 bits). Integers and bool become float32."""
    if type(x) is np.ndarray and x.dtype in _FLOATS and x.flags.c_contiguous:
        return x, False
    array = as_numpy(x, what)
    if is_bfloat16(array):
        return np.ascontiguousarray(array).view(np.uint16), True
    if array.dtype not in _FLOATS:
        if array.dtype.kind in "iub":
            array = array.astype(np.float32)
        elif array.dtype.kind == "f" and array.dtype.itemsize in (2, 4, 8):
            array = array.astype(array.dtype.newbyteorder("="))
        else:
            raise TypeError(f"{what} must be of a real floating type or of integers. Received dtype {array.dtype}.")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return (array if array.flags.c_contiguous else np.array(array, order="C", copy=True)), False


def from_core(result):
    """The array that the core returned."""
    array, bfloat16 = result
    return array.view(_bfloat16()) if bfloat16 else array


def numpy_dtype(name):
    """The NumPy dtype of a Keras name."""
    return _bfloat16() if name == "bfloat16" else np.dtype(name)
