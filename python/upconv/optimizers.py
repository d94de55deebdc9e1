# SPDX-License-Identifier: Apache-2.0
"""Keras's optimisers and schedules, as ``keras.optimizers``. The state belongs to the model that is compiled with one."""
import json
import types

from . import _core
from ._objects import REQUIRED, ConfigObject, config_class


class Optimizer(ConfigObject):
    """Base of the optimisers."""

    _module = "optimizers"

    def _check(self):
        rate = self._config.get("learning_rate")
        if hasattr(rate, "_upconv_config"):
            self._config["learning_rate"] = rate._upconv_config()
        given = {k: v for k, v in self._config.items() if v is not None}
        self._config = json.loads(_core.optimizer_config(json.dumps({"class_name": type(self).__name__, "config": given})))["config"]


class LearningRateSchedule(ConfigObject):
    """Base of the schedules."""

    _module = "optimizers.schedules"

    def _check(self):
        self._config = {k: v for k, v in self._config.items() if v is not None or k == "warmup_target"}


_COMMON = dict(weight_decay=None, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
               loss_scale_factor=None, gradient_accumulation_steps=None, name=None)


def _make(name, learning_rate=0.001, /, **own):
    common = {key: value for key, value in _COMMON.items() if key not in own}
    globals()[name] = config_class(Optimizer, name, f"Keras's ``{name}`` optimiser.", learning_rate=learning_rate, **own, **common,
                                   example=[f"upconv.optimizers.{name}(0.5).get_config()['learning_rate']"], result="0.5")


_make("SGD", 0.01, momentum=0.0, nesterov=False)
_make("RMSprop", rho=0.9, momentum=0.0, epsilon=1e-7, centered=False)
_make("Adam", beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False)
_make("AdamW", weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False)
for _name in ("Adamax", "Nadam", "Lamb"):
    _make(_name, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
_make("Adagrad", initial_accumulator_value=0.1, epsilon=1e-7)
_make("Adadelta", rho=0.95, epsilon=1e-7)
_make("Lion", beta_1=0.9, beta_2=0.99)
_make("Ftrl", learning_rate_power=-0.5, initial_accumulator_value=0.1, l1_regularization_strength=0.0, l2_regularization_strength=0.0,
      l2_shrinkage_regularization_strength=0.0, beta=0.0)
_make("Adafactor", beta_2_decay=-0.8, epsilon_1=1e-30, epsilon_2=1e-3, clip_threshold=1.0, relative_step=True)

schedules = types.SimpleNamespace(
    LearningRateSchedule=LearningRateSchedule,
    ExponentialDecay=config_class(LearningRateSchedule, "ExponentialDecay", "rate ** (step / steps)", initial_learning_rate=REQUIRED, decay_steps=REQUIRED,
                                  decay_rate=REQUIRED, staircase=False),
    InverseTimeDecay=config_class(LearningRateSchedule, "InverseTimeDecay", "1 / (1 + rate * step / steps)", initial_learning_rate=REQUIRED,
                                  decay_steps=REQUIRED, decay_rate=REQUIRED, staircase=False),
    PolynomialDecay=config_class(LearningRateSchedule, "PolynomialDecay", "A power of the steps left.", initial_learning_rate=REQUIRED, decay_steps=REQUIRED,
                                 end_learning_rate=0.0001, power=1.0, cycle=False),
    PiecewiseConstantDecay=config_class(LearningRateSchedule, "PiecewiseConstantDecay", "One value a piece.", boundaries=REQUIRED, values=REQUIRED),
    CosineDecay=config_class(LearningRateSchedule, "CosineDecay", "Half a cosine, after a warm-up.", initial_learning_rate=REQUIRED, decay_steps=REQUIRED,
                             alpha=0.0, warmup_target=None, warmup_steps=0),
    CosineDecayRestarts=config_class(LearningRateSchedule, "CosineDecayRestarts", "Cosines that start again.", initial_learning_rate=REQUIRED,
                                     first_decay_steps=REQUIRED, t_mul=2.0, m_mul=1.0, alpha=0.0),
)


def get(identifier):
    """The optimiser of a name, a dictionary or an object."""
    if isinstance(identifier, Optimizer):
        return identifier
    full = json.loads(_core.optimizer_config(json.dumps(identifier)))
    return globals()[full["class_name"]].from_config(full["config"])


def deserialize(config):
    """The optimiser of a configuration's dictionary."""
    return get(config)


def serialize(optimizer):
    """What a configuration holds for this optimiser.

    Examples
    --------
    >>> import upconv
    >>> upconv.optimizers.serialize(upconv.optimizers.SGD(0.5))["class_name"]
    'SGD'
    """
    return optimizer._upconv_config()
