# SPDX-License-Identifier: Apache-2.0
"""Keras's regularisers, as ``keras.regularizers``."""
import json

from . import _arrays, _core, _serialize
from ._objects import ConfigObject, config_class


class Regularizer(ConfigObject):
    """Base of the regularisers: call one with an array to get its penalty."""

    _module = "regularizers"

    def _check(self):
        _core.regularizer_config(json.dumps(self._upconv_config()))

    def __call__(self, x):
        return _core.penalty(json.dumps(self._upconv_config()), *_arrays.prepared(x, "x"))


L1 = config_class(Regularizer, "L1", "``l1 * sum(|x|)``", l1=0.01, example=["upconv.regularizers.L1(0.5)(np.array([1.0, -2.0]))"], result="1.5")
L2 = config_class(Regularizer, "L2", "``l2 * sum(x ** 2)``", l2=0.01, example=["upconv.regularizers.L2(0.5)(np.array([1.0, -2.0]))"], result="2.5")
L1L2 = config_class(Regularizer, "L1L2", "``l1 * sum(|x|) + l2 * sum(x ** 2)``", l1=0.0, l2=0.0,
                    example=["upconv.regularizers.L1L2(0.5, 0.5)(np.array([1.0, -2.0]))"], result="4.0")
OrthogonalRegularizer = config_class(Regularizer, "OrthogonalRegularizer", "Pulls rows or columns of a matrix apart.", factor=0.01, mode="rows",
                                     example=["upconv.regularizers.OrthogonalRegularizer()(np.eye(2))"], result="0.0")
l1, l2, l1_l2, orthogonal_regularizer = L1, L2, L1L2, OrthogonalRegularizer


def get(identifier):
    """The regulariser of a name, a dictionary or an object; None for None."""
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    text, value = _serialize.identifier(identifier, "regularizer")
    if value:
        return value[0]
    full = json.loads(_core.regularizer_config(text))
    return globals()[full["class_name"]].from_config(full["config"])


def deserialize(config):
    """The regulariser of a configuration: a name or a dictionary."""
    return get(config)


def serialize(regularizer):
    """What a configuration holds for this regulariser."""
    text, value = _serialize.identifier(regularizer, "regularizer")
    return json.loads(value[2]) if value else json.loads(_core.regularizer_config(text))
