# SPDX-License-Identifier: Apache-2.0
"""Keras's small objects (initialisers, losses, ...) as classes that hold a configuration; the core computes."""
import inspect
import types


REQUIRED = inspect.Parameter.empty


class ConfigObject:
    """An object made of a class name and a configuration, as Keras writes it."""

    _module = ""
    _built_in = False                                # True for the classes made below, never for a user's subclass
    _config = {}

    def __init_subclass__(cls, built_in=False, **kwargs):
        super().__init_subclass__(**kwargs)
        cls._built_in = built_in

    def get_config(self):
        """The arguments that make the object again."""
        return dict(self._config)

    @classmethod
    def from_config(cls, config):
        """An object from ``get_config()``'s dictionary."""
        return cls(**config)

    def _upconv_config(self):
        return {"module": f"keras.{self._module}", "class_name": type(self).__name__, "config": self.get_config(), "registered_name": None}

    def __repr__(self):
        return f"<{type(self).__name__} {self._config}>"


def signature(first, /, **arguments):
    """``(first, **arguments)``; arguments without a default hold ``REQUIRED``."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return inspect.Signature([inspect.Parameter(first, kind)] + [inspect.Parameter(key, kind, default=value) for key, value in arguments.items()])


def documented(text, arguments, example, result=""):
    """A docstring in NumPy's style of these arguments, with the example and what it prints."""
    lines = [f"{key} : {'required' if default is REQUIRED else f'default {default!r}'}" for key, default in arguments.items()]
    parameters = ["Parameters", "----------", *lines, ""] if lines else []
    return "\n".join([text, "", *parameters, "Examples", "--------", ">>> import numpy as np, upconv", *(f">>> {line}" for line in example), *([result] if result else [])])


def config_class(base, name, doc, /, *, example=(), result="", **arguments):
    """A class ``name(**arguments)`` derived from ``base``."""
    doc = documented(doc, arguments, example, result)
    its_signature = signature("self", **arguments)

    def __init__(self, *args, **kwargs):
        bound = its_signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        self._config = {k: v for k, v in bound.arguments.items() if k != "self"}
        self._check()

    __init__.__signature__ = its_signature
    return types.new_class(name, (base,), {"built_in": True}, lambda body: body.update(__init__=__init__, __doc__=doc, __module__=base.__module__))

