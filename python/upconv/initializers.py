# SPDX-License-Identifier: Apache-2.0
"""Keras's initialisers, as ``keras.initializers``."""
import json

from . import _arrays, _core, _serialize
from ._objects import ConfigObject, config_class


class Initializer(ConfigObject):
    """Base of the initialisers: call one with a shape to get an array."""

    _module = "initializers"

    def _check(self):
        _core.initializer_config(json.dumps(self._upconv_config()))

    def __call__(self, shape, dtype="float32"):
        return _arrays.from_core(_core.initialize(json.dumps(self._upconv_config()), list(shape), str(dtype)))


def _make(name, /, **arguments):
    whose = "An initialiser that Keras has not" if name in ("Bilinear", "ICNR") else f"Keras's ``{name}`` initialiser"
    shape = (4, 4) if name == "Identity" else (4, 4, 8, 3)
    globals()[name] = config_class(Initializer, name, f"{whose}: called with a shape and a dtype it gives an array of that shape.", **arguments,
                                   example=[f"upconv.initializers.{name}()({shape}).shape"], result=str(shape))


_make("Zeros")
_make("Ones")
_make("Constant", value=0.0)
_make("RandomNormal", mean=0.0, stddev=0.05, seed=None)
_make("TruncatedNormal", mean=0.0, stddev=0.05, seed=None)
_make("RandomUniform", minval=-0.05, maxval=0.05, seed=None)
_make("VarianceScaling", scale=1.0, mode="fan_in", distribution="truncated_normal", seed=None, input_axes=None, output_axes=None)
for _name in ("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"):
    _make(_name, seed=None, input_axes=None, output_axes=None)
_make("Orthogonal", gain=1.0, seed=None)
_make("Identity", gain=1.0)
_make("Bilinear")                                        # not in Keras: interpolation by the stride
_make("ICNR", scale=2, initializer="he_normal")          # not in Keras: one phase's values in all phases
zeros, ones, constant, identity, orthogonal = Zeros, Ones, Constant, Identity, Orthogonal
IdentityInitializer, OrthogonalInitializer = Identity, Orthogonal
random_normal, truncated_normal, random_uniform, variance_scaling = RandomNormal, TruncatedNormal, RandomUniform, VarianceScaling
glorot_normal, glorot_uniform, he_normal, he_uniform, lecun_normal, lecun_uniform = GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform


def get(identifier):
    """The initialiser of a name, a dictionary or an object; None for None."""
    if identifier is None or isinstance(identifier, Initializer):
        return identifier
    text, value = _serialize.identifier(identifier, "initializer")
    if value:
        return value[0]
    full = json.loads(_core.initializer_config(text))
    cls = globals().get(full["class_name"])
    return cls.from_config(full["config"]) if cls else identifier


def deserialize(config):
    """The initialiser of a configuration: a name or a dictionary."""
    return get(config)


def serialize(initializer):
    """What a configuration holds for this initialiser."""
    text, value = _serialize.identifier(initializer, "initializer")
    return json.loads(value[2]) if value else json.loads(_core.initializer_config(text))
