# SPDX-License-Identifier: Apache-2.0
"""Keras's layers: ``Conv2DTranspose``, and the layers without weights that stand beside it."""
import inspect
import json

import numpy as np

from . import _core, _serialize, activations, constraints, initializers, regularizers
from ._layer import Gradients, Layer, Variable, config_of
from ._objects import REQUIRED, documented, signature

_VALUES = {"activation": "activation", "kernel_initializer": "initializer", "bias_initializer": "initializer", "kernel_regularizer": "regularizer",
           "bias_regularizer": "regularizer", "activity_regularizer": "regularizer", "kernel_constraint": "constraint", "bias_constraint": "constraint"}


class Conv2DTranspose(Layer):
    """Keras 3's transposed convolution: the same arguments, numbers and files.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size, strides : int or tuple of 2 int
        Height and width of the window, and of its steps. ``strides > 1`` excludes ``dilation_rate > 1``.
    padding : {"valid", "same"}
        In any letter case.
    output_padding : int or tuple of 2 int, optional
        Below the strides. None is not 0: it takes the size that Keras infers.
    data_format : {"channels_last", "channels_first"}, optional
        Default: that of keras.json.
    activation : str, dict or callable, optional
        A Keras name, an object of ``upconv.activations``, or a Python function of the whole array.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, bias_constraint
        Names, dictionaries, objects of upconv's modules, or Python functions.
    **kwargs
        ``name``, ``trainable``, ``dtype``, ``autocast``, ``input_shape``.

    Raises
    ------
    ValueError
        In Keras's words, for an argument that is not allowed.
    TypeError
        For a fifth positional argument.

    Notes
    -----
    Several threads may call a built layer at once. ``bias_initializer=None`` means zeros.

    Examples
    --------
    >>> import numpy as np
    >>> import upconv as keras
    >>> x = np.random.rand(4, 10, 8, 128)
    >>> y = keras.layers.Conv2DTranspose(32, 2, 2, activation='relu')(x)
    >>> print(y.shape)
    (4, 20, 16, 32)
    """

    def __init__(self, filters, kernel_size, strides=(1, 1), padding="valid", *positional, output_padding=None, data_format=None, dilation_rate=(1, 1),
                 activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros", kernel_regularizer=None,
                 bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, bias_constraint=None, **kwargs):
        if positional:
            raise TypeError("Conv2DTranspose takes filters, kernel_size, strides and padding by position. Keras 3.11 moved the fifth position from "
                            "output_padding to data_format, so both are given by keyword: output_padding=... or data_format=... "
                            f"Received: {positional!r}")
        values = dict(activation=activation, kernel_initializer=kernel_initializer, bias_initializer=bias_initializer,
                      kernel_regularizer=kernel_regularizer, bias_regularizer=bias_regularizer, activity_regularizer=activity_regularizer,
                      kernel_constraint=kernel_constraint, bias_constraint=bias_constraint)
        config = {"name": kwargs.pop("name", None), "trainable": kwargs.pop("trainable", True), "dtype": _dtype(kwargs.pop("dtype", None)),
                  "filters": _plain(filters), "kernel_size": _plain(kernel_size), "strides": _plain(strides), "padding": padding,
                  "output_padding": _plain(output_padding), "data_format": data_format, "dilation_rate": _plain(dilation_rate), "use_bias": use_bias}
        for key in ("autocast", "input_shape"):
            if key in kwargs:
                config[key] = _plain(kwargs.pop(key))
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to Conv2DTranspose: {kwargs}")
        functions = {}
        for key, value in values.items():
            text, function = _serialize.identifier(value, _VALUES[key])
            if function is None:
                config[key] = json.loads(text)
            else:
                functions[key] = function
        config = {k: v for k, v in config.items() if v is not None or k in ("output_padding", "kernel_initializer", "bias_initializer")}
        try:
            text = json.dumps(config)
        except TypeError as error:
            raise ValueError(f"An argument of Conv2DTranspose is of a type it cannot be: {error}") from None
        core = _core.make_conv(text, {})
        if functions:
            self._functions = {key: values[key] for key in functions}
            self._arguments = {key: value for key, value in config_of(core).items() if key not in functions}
            core = _core.make_conv(json.dumps(self._arguments), functions)
        self._attach(core)

    @property
    def kernel(self):
        """The kernel (kernel height, kernel width, filters, channels)."""
        self._needs_weights()
        return self.weights[0]

    @property
    def bias(self):
        """The bias (filters,), or None."""
        self._needs_weights()
        weights = self.weights
        return weights[1] if len(weights) > 1 else None

    def _needs_weights(self):
        if not self.built:
            raise AttributeError(f"The layer {self.name!r} has no weights yet: call it or build(input_shape) first.")

    def plan(self, input_shape, math="fast"):
        """``(algorithm, reason)`` of a call with this shape.

        Examples
        --------
        >>> import upconv
        >>> layer = upconv.layers.Conv2DTranspose(2, 3)
        >>> layer.build((None, 4, 4, 3))
        >>> all(isinstance(text, str) for text in layer.plan((1, 4, 4, 3)))
        True
        """
        return self._core.plan(list(input_shape), math)


def _setting(key, doc):
    return property(lambda self: self._settings()[key], doc=doc)


def _value(key, module):
    return property(lambda self: self._functions[key] if key in self._functions else module.get(self._settings()[key]),
                    doc=f"What the argument ``{key}`` made: an object, a function, or None.")


for _key, _doc in dict(filters="Channels of the output.", kernel_size="(height, width)", strides="(height, width)", padding='"valid" or "same"',
                       output_padding="(height, width), or None", data_format='"channels_last" or "channels_first"',
                       dilation_rate="(height, width)", use_bias="Whether there is a bias.").items():
    setattr(Conv2DTranspose, _key, _setting(_key, _doc))
for _key, _role in _VALUES.items():
    setattr(Conv2DTranspose, _key, _value(_key, {"activation": activations, "initializer": initializers, "regularizer": regularizers,
                                                 "constraint": constraints}[_role]))
Convolution2DTranspose = Conv2DTranspose


def _plain(value):
    """Numbers of NumPy and tuples as JSON knows them."""
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return value.item()
    return value


def _dtype(value):
    if value is None or isinstance(value, (str, dict)):
        return value
    if hasattr(value, "name"):                       # a NumPy dtype, Keras's DTypePolicy
        return value.name
    try:
        return np.dtype(value).name
    except TypeError:
        raise ValueError(f"Cannot interpret `dtype` argument. Expected a string or a dtype. Received: dtype={value}") from None


_COMMON = ("name", "trainable", "dtype")               # what every layer takes


def _stateless(class_name, doc, **defaults):
    its_signature = signature("self", **defaults)
    given = {"rate": "0.5", "stddev": "0.1", "activation": "'relu'"}
    arguments = ", ".join(given[key] for key, default in defaults.items() if default is REQUIRED)
    doc = documented(doc, defaults, [f"upconv.layers.{class_name}({arguments})(np.ones((1, 2, 2, 3), 'float32')).shape"], "(1, 2, 2, 3)")

    def __init__(self, *args, **kwargs):
        common = {key: kwargs.pop(key) for key in _COMMON if key in kwargs}
        unknown = {key: value for key, value in kwargs.items() if key not in defaults}
        if unknown:
            raise ValueError(f"Unrecognized keyword arguments passed to {class_name}: {unknown}")
        bound = its_signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        config = {**{key: _plain(value) for key, value in bound.arguments.items() if key != "self"}, **common}
        config = {key: value for key, value in config.items() if value is not None or key not in _COMMON}
        if "activation" in config:
            text, function = _serialize.identifier(config["activation"], "activation")
            if function:
                raise ValueError("The layer Activation takes Keras's activations only; Conv2DTranspose takes Python functions too.")
            config["activation"] = json.loads(text)
        if "dtype" in config:
            config["dtype"] = _dtype(config["dtype"])
        self._attach(_core.make_layer(json.dumps({"class_name": class_name, "config": config})))

    __init__.__signature__ = its_signature.replace(parameters=[*its_signature.parameters.values(), inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])
    return type(class_name, (Layer,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


Activation = _stateless("Activation", "An activation as a layer.", activation=REQUIRED)
ReLU = _stateless("ReLU", "Keras's ReLU layer.", max_value=None, negative_slope=0.0, threshold=0.0)
LeakyReLU = _stateless("LeakyReLU", "Keras's LeakyReLU layer.", negative_slope=0.3)
ELU = _stateless("ELU", "Keras's ELU layer.", alpha=1.0)
Softmax = _stateless("Softmax", "Keras's Softmax layer.", axis=-1)
Identity = _stateless("Identity", "Keras's Identity layer: its output is its input.")
Dropout = _stateless("Dropout", "Keras's Dropout layer, at inference: its output is its input; training with it is a StateError.",
                      rate=REQUIRED, noise_shape=None, seed=None)
SpatialDropout2D = _stateless("SpatialDropout2D", "Keras's SpatialDropout2D layer, at inference.", rate=REQUIRED, data_format=None, seed=None, name=None,
                               dtype=None)
GaussianNoise = _stateless("GaussianNoise", "Keras's GaussianNoise layer, at inference.", stddev=REQUIRED, seed=None)
GaussianDropout = _stateless("GaussianDropout", "Keras's GaussianDropout layer, at inference.", rate=REQUIRED, seed=None)
AlphaDropout = _stateless("AlphaDropout", "Keras's AlphaDropout layer, at inference.", rate=REQUIRED, noise_shape=None, seed=None)
ActivityRegularization = _stateless("ActivityRegularization", "Keras's ActivityRegularization layer, at inference: its output is its input.", l1=0.0, l2=0.0)


class InputLayer(Layer):
    """The shape of a model's input.

    Parameters
    ----------
    shape : tuple, optional
        Without the batch; None where a size varies.
    batch_size : int, optional
    dtype : str, optional
    batch_shape : tuple, optional
        With the batch, instead of ``shape`` and ``batch_size``.
    name : str, optional

    Raises
    ------
    ValueError
        For no shape or two, and for what upconv has not: sparse, ragged and optional inputs, tensors.

    Examples
    --------
    >>> import upconv
    >>> upconv.layers.InputLayer((4, 4, 8)).get_config()["batch_shape"]
    (None, 4, 4, 8)
    """

    def __init__(self, shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, input_tensor=None, optional=False, name=None, **kwargs):
        kwargs.pop("trainable", None)
        if kwargs:
            raise ValueError(f"Unrecognized keyword arguments passed to InputLayer: {kwargs}")
        refused = {key: value for key, value in dict(sparse=sparse, ragged=ragged, input_tensor=input_tensor, optional=optional).items() if value not in (None, False)}
        if refused:
            raise ValueError(f"The inputs of upconv are dense arrays that are always there. Received: {refused}")
        if (shape is None) == (batch_shape is None) or (batch_shape is not None and batch_size is not None):
            raise ValueError("You must pass `shape`, perhaps with `batch_size`, or `batch_shape`, not both. "
                             f"Received: shape={shape}, batch_size={batch_size}, batch_shape={batch_shape}")
        config = {"batch_shape": [_plain(d) for d in (batch_shape if batch_shape is not None else (batch_size, *shape))], "dtype": _dtype(dtype), "name": name}
        config = {key: value for key, value in config.items() if value is not None}
        self._attach(_core.make_layer(json.dumps({"class_name": "InputLayer", "config": config})))


def Input(shape=None, batch_size=None, dtype=None, sparse=None, ragged=None, batch_shape=None, name=None, tensor=None, optional=False):
    """The first item of a Sequential's list: the shape of its input without the batch.

    Examples
    --------
    >>> import upconv
    >>> upconv.Sequential([upconv.Input((4, 4, 8)), upconv.layers.Conv2DTranspose(3, 2, 2)]).count_params()
    99
    """
    return InputLayer(shape, batch_size, dtype, sparse, ragged, batch_shape, tensor, optional, name)
