# SPDX-License-Identifier: Apache-2.0
"""Keras identifiers (a name, a dictionary, an object, a function) as what the core takes: JSON text, or a Python function with
the name it is registered by. Nothing in a file can name a function that was not registered in this process."""
import json

_registered = {}


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
        thing._upconv_registered_name = full
        return thing

    return decorate


def get_registered_object(name, custom_objects=None):
    """What was registered under ``name``, or None."""
    return (custom_objects or {}).get(name) or _registered.get(name)


def _function_config(function, registered):
    if hasattr(function, "get_config"):
        kind = type(function)
        return {"module": None, "class_name": kind.__name__, "config": function.get_config(), "registered_name": registered}
    return {"module": None, "class_name": "function", "config": function.__name__, "registered_name": registered}


def identifier(value, role):
    """(JSON text, None) for what the core knows; ("", (function, name, JSON)) for a Python function or object."""
    if value is None or isinstance(value, str):
        return json.dumps(value), None
    if hasattr(value, "_upconv_config"):
        return json.dumps(value._upconv_config()), None
    if isinstance(value, dict):
        registered = value.get("registered_name")
        if registered and registered in _registered:
            made = _registered[registered]
            if isinstance(made, type):
                made = made.from_config(value["config"]) if hasattr(made, "from_config") else made(**value["config"])
            return identifier(made, role)
        return json.dumps(value), None
    if isinstance(value, type):
        return identifier(value(), role)
    if callable(value):
        registered = getattr(value, "_upconv_registered_name", None) or getattr(type(value), "_upconv_registered_name", None)
        return "", (value, registered or "", json.dumps(_function_config(value, registered)) if registered else "")
    raise ValueError(f"Could not interpret {role} identifier: {value}")


def loads(text):
    return json.loads(text)
