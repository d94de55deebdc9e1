# SPDX-License-Identifier: Apache-2.0
"""Keras's losses, as ``keras.losses``: classes whose objects are called with ``(y_true, y_pred)``, and functions that give one loss a
sample.

>>> import numpy as np, upconv
>>> upconv.losses.MeanSquaredError()(np.zeros((2, 2)), np.ones((2, 2)))
1.0
>>> upconv.losses.mean_squared_error(np.zeros((2, 2)), np.ones((2, 2))).shape
(2,)
"""
import json

from . import _arrays, _core
from ._objects import REQUIRED, ConfigObject, config_class, documented, signature


class Loss(ConfigObject):
    """Base of the losses: a number, or with ``reduction="none"`` an array."""

    _module = "losses"

    def _check(self):
        self._config = {k: v for k, v in self._config.items() if v is not None}
        self._config = json.loads(_core.loss_config(json.dumps(self._upconv_config())))["config"]

    def __call__(self, y_true, y_pred, sample_weight=None):
        weight = None if sample_weight is None else _arrays.prepared(sample_weight, "sample_weight")
        result = _core.loss_values(json.dumps(self._upconv_config()), _arrays.prepared(y_true, "y_true"), _arrays.prepared(y_pred, "y_pred"), weight)
        return result if isinstance(result, float) else _arrays.from_core(result)


def _data(name):
    """The lines of an example that make t and p: classes by their numbers for the sparse loss."""
    return [f"t = np.array({'[1, 0]' if name.startswith('sparse') else '[[0.0, 1.0], [1.0, 0.0]]'})", "p = np.array([[0.2, 0.8], [0.6, 0.4]])"]


_REDUCTION = "sum_over_batch_size"


def _function(name, cls, own):
    """Keras's function of the loss: the losses before the reduction."""
    its_signature = signature("y_true", y_pred=REQUIRED, **own)

    def function(*args, **kwargs):
        bound = its_signature.bind(*args, **kwargs)
        y_true, y_pred = bound.arguments.pop("y_true"), bound.arguments.pop("y_pred")
        return cls(reduction="none", **bound.arguments)(y_true, y_pred)

    function.__name__ = function.__qualname__ = name
    function.__signature__ = its_signature
    function.__doc__ = documented(f"The losses of ``{cls.__name__}`` before the reduction: the shape of ``y_pred`` without the axes that the loss reduces.",
                                  dict(y_true=REQUIRED, y_pred=REQUIRED, **own), [*_data(name), f"upconv.losses.{name}(t, p).shape"],
                                  "()" if name in ("dice", "tversky") else "(2,)")
    function.__module__ = __name__
    function._upconv_config = lambda: name
    globals()[name] = function


def _make(class_name, name, /, named=None, **arguments):
    """`arguments`: those of Keras's class in its order; reduction and name come before the axis where it stands last there."""
    own = {key: value for key, value in arguments.items() if key not in ("reduction", "name")}
    if "reduction" not in arguments:
        arguments["reduction"] = _REDUCTION
    arguments = {**arguments, "name": named or name} if "name" not in arguments else arguments
    cls = config_class(Loss, class_name, f"Keras's ``{class_name}`` loss of ``(y_true, y_pred)``: a number, or with ``reduction='none'`` an array.", **arguments, dtype=None,
                       example=[*_data(name), f"loss = upconv.losses.{class_name}()(t, p)", "isinstance(loss, float)"], result="True")
    globals()[class_name] = cls
    _function(name, cls, own)


for _class_name, _name in dict(MeanSquaredError="mean_squared_error", MeanAbsoluteError="mean_absolute_error", LogCosh="log_cosh", Poisson="poisson",
                               MeanAbsolutePercentageError="mean_absolute_percentage_error", KLDivergence="kl_divergence", Hinge="hinge",
                               MeanSquaredLogarithmicError="mean_squared_logarithmic_error", SquaredHinge="squared_hinge",
                               CategoricalHinge="categorical_hinge").items():
    _make(_class_name, _name)
_make("Huber", "huber", "huber_loss", delta=1.0)
_make("CosineSimilarity", "cosine_similarity", axis=-1)
_make("BinaryCrossentropy", "binary_crossentropy", from_logits=False, label_smoothing=0.0, axis=-1)
_make("CategoricalCrossentropy", "categorical_crossentropy", from_logits=False, label_smoothing=0.0, axis=-1)
_make("SparseCategoricalCrossentropy", "sparse_categorical_crossentropy", from_logits=False, ignore_class=None, reduction=_REDUCTION, axis=-1)
_make("BinaryFocalCrossentropy", "binary_focal_crossentropy", apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0,
      axis=-1)
_make("CategoricalFocalCrossentropy", "categorical_focal_crossentropy", alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1)
_make("Dice", "dice", reduction=_REDUCTION, name="dice", axis=None)
_make("Tversky", "tversky", alpha=0.5, beta=0.5, reduction=_REDUCTION, name="tversky", axis=None)


def get(identifier):
    """The loss of a name, a dictionary, an object or one of the functions here."""
    if identifier is None or isinstance(identifier, Loss):
        return identifier
    config = identifier._upconv_config() if hasattr(identifier, "_upconv_config") else identifier
    if callable(config):
        raise ValueError(f"Could not interpret loss identifier: {identifier}. A loss is a name, a dictionary, or an object or function of upconv.losses.")
    full = json.loads(_core.loss_config(json.dumps(config)))
    return globals()[full["class_name"]].from_config(full["config"])


def deserialize(name):
    """The loss of a configuration: a name or a dictionary."""
    return get(name)


def serialize(loss):
    """What a configuration holds for this loss.

    Examples
    --------
    >>> import upconv
    >>> upconv.losses.serialize(upconv.losses.Huber())["class_name"]
    'Huber'
    """
    return get(loss)._upconv_config()
