# SPDX-License-Identifier: Apache-2.0
"""Writes what type checkers read of the modules that make their names in loops: every public name with its arguments and defaults.
usage: stubs.py FOLDER, with upconv importable"""
import importlib
import inspect
import os
import sys
import types

MODULES = ("activations", "constraints", "initializers", "layers", "losses", "optimizers", "regularizers")


def default(value):
    """As a stub writes it: a literal, or "..."."""
    return repr(value) if value is None or type(value) in (bool, int, float, str, tuple) else "..."


def arguments(function, first=()):
    """``(self, rate=0.5, **kwargs)``"""
    parts, starred = list(first), False
    for p in inspect.signature(function).parameters.values():
        starred = starred or p.kind == p.VAR_POSITIONAL
        if p.kind == p.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        parts.append(stars + p.name + ("" if p.default is p.empty else "=" + default(p.default)))
    return "(" + ", ".join(parts) + ")"


def members(cls):
    for name, value in vars(cls).items():
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        if isinstance(value, property):
            yield f"@property\ndef {name}(self): ..."
        elif isinstance(value, classmethod):
            yield f"@classmethod\ndef {name}{arguments(value.__func__)}: ..."
        elif inspect.isfunction(value):
            yield f"def {name}{arguments(value)}: ..."


def indented(lines):
    return ["    " + line for text in lines for line in text.splitlines()] or ["    ..."]


def entry(module, name, thing):
    """The lines of one public name."""
    if inspect.isclass(thing):
        if not thing.__module__.startswith("upconv."):
            return []
        if thing.__module__ != module.__name__:
            return [f"from {thing.__module__} import {thing.__name__} as {name}"]
        if thing.__name__ != name:
            return [f"{name} = {thing.__name__}"]
        bases = ", ".join(base.__name__ for base in thing.__bases__ if base is not object)
        return [f"class {name}({bases}):" if bases else f"class {name}:", *indented(members(thing))]
    if callable(thing):
        return [f"def {name}{arguments(thing)}: ..."] if thing.__module__ == module.__name__ else []
    if isinstance(thing, types.SimpleNamespace):
        return [f"class {name}:", *indented("\n".join(entry(module, n, t)) for n, t in vars(thing).items())]
    return []


def stub(module):
    public = {name: thing for name, thing in vars(module).items() if not name.startswith("_")}
    classes = [thing for thing in public.values() if inspect.isclass(thing)]
    bases = {base for cls in classes for base in cls.__bases__ if base is not object and base not in classes}
    lines = [f"from {base.__module__} import {base.__name__}" for base in sorted(bases, key=lambda b: b.__name__)]
    for name, thing in public.items():
        lines += entry(module, name, thing)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.path.pop(0)                                    # the sources beside this file, without the module of the core
    for name in MODULES:
        with open(os.path.join(sys.argv[1], name + ".pyi"), "w") as file:
            file.write(stub(importlib.import_module("upconv." + name)))
