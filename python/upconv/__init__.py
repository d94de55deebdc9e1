# SPDX-License-Identifier: Apache-2.0
"""upconv: Keras 3's Conv2DTranspose layer and the models made of it, fast, without Keras.

>>> import numpy as np
>>> import upconv as keras
>>> y = keras.layers.Conv2DTranspose(32, 2, 2, activation="relu")(np.random.rand(4, 10, 8, 128))
>>> y.shape
(4, 20, 16, 32)

``upconv.keras`` is the same layer inside real Keras (imported on demand; needs Keras).
"""
from . import _core, activations, callbacks, config, constraints, convert, initializers, layers, losses, metrics, models, optimizers, regularizers, saving
from ._core import clear_session, get_threads, set_threads
from ._errors import ArgumentError, FileAccessError, FileError, StateError
from ._explain import explain
from .layers import Input
from .models import Model, Sequential, load_layer, load_model, save_model

__version__ = _core.version()


def __getattr__(name):
    if name == "keras":
        import importlib
        return importlib.import_module(".keras", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
