# SPDX-License-Identifier: Apache-2.0
"""Keras identifiers (a name, a dictionary, an object, a function) as what the core takes: JSON text, or a Python function with
the name it is registered by. Nothing in a file can name a function that was not registered in this process."""
import contextlib
import json
import types

from . import _core

_registered = {}                                     # name -> function or class; the core asks registered_value() for them


def register_keras_serializable(package="Custom", name=None):
    """Registers a class or function, so that layers that use it can be saved and loaded.

    Parameters
    ----------
    package : str
        The first half of the registered name.
    name : str, optional
        The second half; the object's own name by default.

    Examples
    --------
    >>> import upconv
    >>> @upconv.saving.register_keras_serializable(package="mine")
    ... def halved(x):
    ...     return x / 2
    >>> upconv.layers.Conv2DTranspose(1, 2, activation=halved).get_config()["activation"]["registered_name"]
    'mine>halved'
    """

    def decorate(thing):
        full = f"{package}>{name or thing.__name__}"
        _registered[full] = thing
        _core.register(full)
        thing._upconv_registered_name = full
        return thing

    return decorate


@contextlib.contextmanager
def custom_object_scope(custom_objects):
    """Within it, files and configurations may name these functions and classes, as in ``keras.saving.custom_object_scope``.

    Parameters
    ----------
    custom_objects : dict
        Names (of a class, a function, or registered ones) to classes and functions; other threads see them too meanwhile.

    Examples
    --------
    >>> import upconv
    >>> with upconv.saving.custom_object_scope({"halved": lambda x: x / 2}):
    ...     layer = upconv.layers.Conv2DTranspose(1, 1, activation="halved", kernel_initializer="ones")
    >>> layer([[[[6.0]]]]).item()
    3.0
    """
    before = {name: _registered.get(name) for name in custom_objects or {}}
    for name, thing in (custom_objects or {}).items():
        _registered[name] = thing
        _core.register(name)
    try:
        yield
    finally:
        for name, thing in before.items():
            if thing is None:
                del _registered[name]
                _core.forget(name)
            else:
                _registered[name] = thing


def get_registered_object(name, custom_objects=None):
    """What was registered under ``name``, or None."""
    return (custom_objects or {}).get(name) or _registered.get(name)


def _function_config(function, registered):
    """What Keras writes for a function or an object of somebody's own."""
    named = isinstance(function, types.FunctionType)
    kind = function if named else type(function)
    config = kind.__name__ if named else function.get_config() if hasattr(function, "get_config") else {}
    return {"module": "builtins" if named else kind.__module__, "class_name": "function" if named else kind.__name__, "config": config,
            "registered_name": registered or ("function" if named else kind.__name__)}


def own_objects(functions):
    """Names to functions and classes, as ``custom_object_scope`` takes them; a lambda has no name."""
    kinds = [function if isinstance(function, types.FunctionType) else type(function) for function in functions]
    return {kind.__name__: kind for kind in kinds if kind.__name__ != "<lambda>" and "_upconv_registered_name" not in vars(kind)}


_NOUNS = {"activation": "activation function"}         # Keras's word for it in the message


def _found(value):
    """(whether the identifier names something registered, that class or function)."""
    if isinstance(value, str):
        names = [value]
    else:
        names = [value.get("registered_name"), value.get("config") if value.get("class_name") == "function" else value.get("class_name")]
    for name in names:
        if isinstance(name, str) and name in _registered:
            return True, _registered[name]
    return False, None


def _made(thing, value):
    """An object of the registered class, or the registered function itself."""
    if not isinstance(thing, type):
        return thing
    config = value.get("config") or {} if isinstance(value, dict) else {}
    return thing.from_config(config) if hasattr(thing, "from_config") else thing(**config)


def identifier(value, role):
    """(JSON text, None) for what the core knows; ("", (function, name, JSON)) for a Python function or object."""
    if value is None:
        return "null", None
    if isinstance(value, (str, dict)):
        registered, thing = _found(value)
        return identifier(_made(thing, value), role) if registered else (json.dumps(value), None)
    if isinstance(value, type):
        return identifier(value(), role)
    if getattr(type(value), "_built_in", False):
        return json.dumps(value._upconv_config()), None
    if callable(value):
        registered = vars(value if isinstance(value, types.FunctionType) else type(value)).get("_upconv_registered_name")
        config = _function_config(value, registered)
        return "", (value, config["registered_name"], json.dumps(config))
    raise ValueError(f"Could not interpret {_NOUNS.get(role, role)} identifier: {value}")


def registered_value(text, role):
    """What the core asks for a registered name: the function with its name, or JSON text of something built in."""
    known, function = identifier(json.loads(text), role)
    return function or known
