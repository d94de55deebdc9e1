# SPDX-License-Identifier: Apache-2.0
"""Keras's losses, as ``keras.losses``: call one with ``(y_true, y_pred)``."""
from . import _arrays, _core
from ._objects import ConfigObject, config_class
import json


class Loss(ConfigObject):
    """Base of the losses."""

    _module = "losses"

    def _check(self):
        self._config = {k: v for k, v in self._config.items() if v is not None}
        self._config = json.loads(_core.loss_config(json.dumps(self._upconv_config())))["config"]

    def __call__(self, y_true, y_pred):
        return _core.loss_values(json.dumps(self._upconv_config()), *_arrays.prepared(y_true, "y_true"), *_arrays.prepared(y_pred, "y_pred"))


def _make(name, /, **arguments):
    globals()[name] = config_class(Loss, name, f"Keras's ``{name}`` loss.", **arguments, reduction="sum_over_batch_size", name=None)


for _name in ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "LogCosh", "KLDivergence", "Poisson",
              "Hinge", "SquaredHinge", "CategoricalHinge"):
    _make(_name)
_make("Huber", delta=1.0)
_make("CosineSimilarity", axis=-1)
_make("BinaryCrossentropy", from_logits=False, label_smoothing=0.0, axis=-1)
_make("CategoricalCrossentropy", from_logits=False, label_smoothing=0.0, axis=-1)
_make("SparseCategoricalCrossentropy", from_logits=False, ignore_class=None)
_make("BinaryFocalCrossentropy", apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1)
_make("CategoricalFocalCrossentropy", alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1)
_make("Dice", axis=None)
_make("Tversky", alpha=0.5, beta=0.5, axis=None)


def get(identifier):
    """The loss of a name, a dictionary or an object."""
    if isinstance(identifier, Loss):
        return identifier
    full = json.loads(_core.loss_config(json.dumps(identifier)))
    return globals()[full["class_name"]].from_config(full["config"])
