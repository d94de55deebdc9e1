# SPDX-License-Identifier: Apache-2.0
"""Keras's constraints, as ``keras.constraints``."""
import json

from . import _arrays, _core, _serialize
from ._objects import ConfigObject, config_class


class Constraint(ConfigObject):
    """Base of the constraints: call one with an array to get the nearest allowed one."""

    _module = "constraints"

    def _check(self):
        _core.constraint_config(json.dumps(self._upconv_config()))

    def __call__(self, w):
        return _arrays.from_core(_core.project(json.dumps(self._upconv_config()), *_arrays.prepared(w, "w")))


MaxNorm = config_class(Constraint, "MaxNorm", "Norms over ``axis`` are at most ``max_value``.", max_value=2, axis=0,
                       example=["upconv.constraints.MaxNorm(2)(np.array([[3.0], [4.0]])).ravel().round(6)"], result="array([1.2, 1.6])")
MinMaxNorm = config_class(Constraint, "MinMaxNorm", "Norms over ``axis`` are pulled between two values.", min_value=0.0, max_value=1.0, rate=1.0, axis=0,
                          example=["upconv.constraints.MinMaxNorm(0.0, 2.0)(np.array([[3.0], [4.0]])).ravel().round(6)"], result="array([1.2, 1.6])")
NonNeg = config_class(Constraint, "NonNeg", "No weight is negative.", example=["upconv.constraints.NonNeg()(np.array([-1.0, 2.0]))"], result="array([0., 2.])")
UnitNorm = config_class(Constraint, "UnitNorm", "Norms over ``axis`` are 1.", axis=0,
                        example=["upconv.constraints.UnitNorm()(np.array([[3.0], [4.0]])).ravel().round(6)"], result="array([0.6, 0.8])")
max_norm, min_max_norm, non_neg, unit_norm = MaxNorm, MinMaxNorm, NonNeg, UnitNorm


def get(identifier):
    """The constraint of a name, a dictionary or an object; None for None."""
    if identifier is None or isinstance(identifier, Constraint):
        return identifier
    text, value = _serialize.identifier(identifier, "constraint")
    if value:
        return value[0]
    full = json.loads(_core.constraint_config(text))
    return globals()[full["class_name"]].from_config(full["config"])


def deserialize(config):
    """The constraint of a configuration: a name or a dictionary."""
    return get(config)


def serialize(constraint):
    """What a configuration holds for this constraint."""
    text, value = _serialize.identifier(constraint, "constraint")
    return json.loads(value[2]) if value else json.loads(_core.constraint_config(text))
