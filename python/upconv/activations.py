# SPDX-License-Identifier: Apache-2.0
"""Keras's activation functions on arrays, as ``keras.activations``. A layer takes their names or these functions."""
import json

from . import _arrays, _core, _serialize
from ._objects import REQUIRED, documented, signature


# The parameters that Keras's functions take besides the array; a layer takes the bare functions.
_PARAMETERS = {"relu": {"negative_slope": 0.0, "max_value": None, "threshold": 0.0}, "leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 1.0},
               "celu": {"alpha": 1.0}, "gelu": {"approximate": False}, "squareplus": {"b": 4}, "soft_shrink": {"threshold": 0.5},
               "hard_shrink": {"threshold": 0.5}, "threshold": {"threshold": REQUIRED, "default_value": REQUIRED}, "softmax": {"axis": -1},
               "log_softmax": {"axis": -1}, "glu": {"axis": -1}, "sparsemax": {"axis": -1}}


class _Activation:
    """A named activation function; calling it computes on an array."""

    _built_in = True

    def __init__(self, name, config=None):
        self.__name__ = self._name = name
        self._config = config or name
        self.__signature__ = signature("x", **_PARAMETERS.get(name, {}))
        arguments = "np.ones((2, 4)), 0.5, 0.0" if name == "threshold" else "np.ones((2, 4))"
        self.__doc__ = documented(f"Keras's activation ``{name}``: an array in, its values out, in the array's dtype.", _PARAMETERS.get(name, {}),
                                  [f"upconv.activations.{name}({arguments}).shape"], "(2, 2)" if name == "glu" else "(2, 4)")
        self.__module__, self.__qualname__ = __name__, name

    def _upconv_config(self):
        return self._config

    def __call__(self, *args, **kwargs):
        bound = self.__signature__.bind(*args, **kwargs)
        x = _arrays.prepared(bound.arguments.pop("x"), "x")
        if not bound.arguments and self._name != "threshold":
            return _arrays.from_core(_core.activate(json.dumps(self._config), *x))
        bound.apply_defaults()
        return _arrays.from_core(_core.activate_with(self._name, json.dumps(bound.arguments), *x))

    def __reduce__(self):
        return get, (self._config,)

    def __repr__(self):
        return f"<activation {self._name}>"


for _name in _core.activation_names():
    globals()[_name] = _Activation(_name)
__test__ = {name: globals()[name].__doc__ for name in _core.activation_names()}          # where doctest looks for them


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


def deserialize(config):
    """The activation of a configuration: a name or a dictionary."""
    return get(config)


def serialize(activation):
    """What a configuration holds for this activation."""
    text, value = _serialize.identifier(activation, "activation")
    return json.loads(value[2]) if value else json.loads(_core.activation_config(text))
