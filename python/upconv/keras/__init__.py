# SPDX-License-Identifier: Apache-2.0
"""upconv inside real Keras: a ``keras.layers.Conv2DTranspose`` that computes with upconv, forward and backward.

>>> import upconv.keras                                       # doctest: +SKIP
>>> upconv.keras.accelerate(keras_model)                      # doctest: +SKIP

On the JAX backend the layer is an XLA foreign function and works under jit, grad, vmap, checkpoint and data-parallel sharding.
On TensorFlow and torch it goes through their custom gradients. What upconv cannot compute (another dtype, another device)
Keras computes as before, with one notice. Saved models are ordinary Keras files.
"""
import warnings

import keras
from keras.src import api_export

from .. import _core
from ._geometry import geometry_of, set_math

__all__ = ["Conv2DTranspose", "accelerate", "restore", "set_math"]

_backend = keras.backend.backend()
_unsupported = ""
if _backend == "jax" and hasattr(_core, "ffi_handlers"):
    from . import _jax as _operation
elif _backend == "tensorflow":
    from . import _tensorflow as _operation
elif _backend == "torch":
    from . import _torch as _operation
else:
    _operation = None
    _unsupported = f"the backend {_backend} " + ("(this build has no XLA foreign functions)" if _backend == "jax" else "is not supported")

_noticed = set()


def _notice(reason):
    if reason not in _noticed:
        _noticed.add(reason)
        warnings.warn(f"upconv.keras: Keras computes a Conv2DTranspose itself, because {reason}.", stacklevel=3)


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Keras's layer, computed by upconv. Arguments, weights, configuration and files are those of ``keras.layers.Conv2DTranspose``.

    Examples
    --------
    >>> import upconv.keras                                       # doctest: +SKIP
    >>> upconv.keras.Conv2DTranspose(32, 2, 2, activation="relu") # doctest: +SKIP
    """

    @property
    def supports_jit(self):
        """Whether Keras may compile a model with this layer: on JAX only; `compile` says so where it is asked to elsewhere."""
        return self.__dict__.get("supports_jit", True) and (_operation is None or _operation.COMPILES)

    @supports_jit.setter
    def supports_jit(self, value):
        self.__dict__["supports_jit"] = value              # where Keras keeps it: the layer may become Keras's again

    def call(self, inputs):
        reason, dtype = _unsupported, keras.backend.standardize_dtype(inputs.dtype)
        if not reason and not _operation.supports(dtype):
            reason = f"its dtype is {dtype}"
        if not reason and not _operation.on_cpu(inputs):
            reason = "it runs on another device than the CPU"
        if reason:
            _notice(reason)
            return super().call(inputs)
        kernel, bias = keras.ops.convert_to_tensor(self.kernel), keras.ops.convert_to_tensor(self.bias) if self.use_bias else None
        if self.activation is keras.activations.relu and _operation.FUSES_RELU:
            return _operation.conv_transpose(inputs, kernel, bias, geometry_of(self), relu=True)
        outputs = _operation.conv_transpose(inputs, kernel, bias, geometry_of(self))
        return outputs if self.activation is None else self.activation(outputs)


# Configurations name Keras's own class, so files are read by a Keras that has never heard of upconv.
api_export.REGISTERED_OBJS_TO_NAMES[Conv2DTranspose] = "keras.layers.Conv2DTranspose"


def _layers(model):
    return model._flatten_layers() if hasattr(model, "_flatten_layers") else [model]


def _rebind(model, old, new):
    changed = 0
    for layer in _layers(model):
        if type(layer) is old:
            layer.__class__ = new
            changed += 1
    if changed:
        for name in ("train_function", "test_function", "predict_function"):           # traced with the other computation
            if hasattr(model, name):
                setattr(model, name, None)
    return changed


def accelerate(model):
    """Lets all Conv2DTranspose layers of ``model`` (or one layer) compute with upconv. Objects and weights stay the same.

    Returns
    -------
    int
        How many layers were changed.
    """
    changed = _rebind(model, keras.layers.Conv2DTranspose, Conv2DTranspose)
    if changed and _operation is not None and not _operation.COMPILES and getattr(model, "jit_compile", False):
        warnings.warn(f"upconv.keras: jit_compile is switched off, upconv's operation cannot be compiled under {_backend}.", stacklevel=2)
        model.jit_compile = False
    return changed


def restore(model):
    """Undoes :func:`accelerate`."""
    return _rebind(model, Conv2DTranspose, keras.layers.Conv2DTranspose)
