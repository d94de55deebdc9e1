# SPDX-License-Identifier: Apache-2.0
"""Keras's small objects (initialisers, losses, ...) as classes that hold a configuration; the core computes."""
import inspect


class ConfigObject:
    """An object made of a class name and a configuration, as Keras writes it."""

    _module = ""

    def get_config(self):
        return dict(self._config)

    @classmethod
    def from_config(cls, config):
        return cls(**config)

    def _upconv_config(self):
        return {"module": f"keras.{self._module}", "class_name": type(self).__name__, "config": self.get_config(), "registered_name": None}

    def __repr__(self):
        return f"<{type(self).__name__} {self._config}>"


def config_class(base, name, doc, /, **arguments):
    """A class ``name(**arguments)`` derived from ``base``; arguments without a default hold ``inspect.Parameter.empty``."""
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    parameters += [inspect.Parameter(key, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=value) for key, value in arguments.items()]
    signature = inspect.Signature(parameters)

    def __init__(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self._config = {k: v for k, v in bound.arguments.items() if k != "self"}
        self._check()

    __init__.__signature__ = signature
    return type(name, (base,), {"__init__": __init__, "__doc__": doc, "__module__": base.__module__})


REQUIRED = inspect.Parameter.empty
