# SPDX-License-Identifier: Apache-2.0
"""Keras's activation functions on arrays, as ``keras.activations``. A layer takes their names or these functions."""
import json

from . import _arrays, _core, _serialize


class _Activation:
    """A named activation function; calling it computes on an array."""

    def __init__(self, name, config=None):
        self.__name__ = self._name = name
        self._config = config or name
        self.__doc__ = f"Keras's activation ``{name}``: an array in, an array of the same shape and dtype out."

    def _upconv_config(self):
        return self._config

    def __call__(self, x):
        return _arrays.from_core(_core.activate(json.dumps(self._config), *_arrays.prepared(x, "x")))

    def __repr__(self):
        return f"<activation {self._name}>"


for _name in _core.activation_names():
    globals()[_name] = _Activation(_name)


def get(identifier):
    """The activation of a name, a dictionary, or a function."""
    if identifier is None:
        return globals()["linear"]
    if isinstance(identifier, str):
        _core.activation_config(json.dumps(identifier))
        return globals().get(identifier) or _Activation(identifier)
    if isinstance(identifier, dict):
        text, value = _serialize.identifier(identifier, "activation")
        return value[0] if value else _Activation(identifier.get("class_name", "activation"), json.loads(text))
    if callable(identifier):
        return identifier
    raise ValueError(f"Could not interpret activation function identifier: {identifier}")


def serialize(activation):
    """What a configuration holds for this activation."""
    text, value = _serialize.identifier(activation, "activation")
    return json.loads(value[2] or "null") if value else json.loads(_core.activation_config(text))
