# SPDX-License-Identifier: Apache-2.0
"""Keras's layers: ``Conv2DTranspose``, and the layers without weights that stand beside it."""
import json
import weakref

import numpy as np

from . import _arrays, _core, _serialize, activations, constraints, initializers, regularizers
from ._objects import REQUIRED, signature

_TUPLES = ("kernel_size", "strides", "dilation_rate", "output_padding")
_wrappers = weakref.WeakValueDictionary()            # id of a layer of the core -> the Python layer around it, which keeps it alive

_VALUES = {"activation": "activation", "kernel_initializer": "initializer", "bias_initializer": "initializer", "kernel_regularizer": "regularizer",
           "bias_regularizer": "regularizer", "activity_regularizer": "regularizer", "kernel_constraint": "constraint", "bias_constraint": "constraint"}


class Gradients:
    """What ``backward`` returns: ``input``, ``kernel``, ``bias`` (None where there is none), and ``weights`` in order."""

    def __init__(self, input, weights):
        self.input = input
        self.weights = weights

    @property
    def kernel(self):
        return self.weights[0] if self.weights else None

    @property
    def bias(self):
        return self.weights[1] if len(self.weights) > 1 else None

    def __repr__(self):
        shapes = ", ".join(str(None if w is None else w.shape) for w in self.weights)
        return f"<Gradients input {self.input.shape}, weights {shapes}>"


class Variable:
    """A weight: ``numpy()`` copies its value, ``assign`` replaces it."""

    def __init__(self, layer, index, name, path, trainable, value):
        self._layer, self._index = layer, index
        self.name, self.path, self.trainable, self._value = name, path, trainable, value

    @property
    def shape(self):
        return self._value.shape

    @property
    def dtype(self):
        return self._value.dtype.name

    def numpy(self):
        return self._value.copy()

    def __array__(self, dtype=None, copy=None):
        return self._value.astype(dtype or self._value.dtype, copy=True)

    def assign(self, value):
        weights = self._layer.get_weights()
        weights[self._index] = value
        self._layer.set_weights(weights)
        self._value = self._layer.get_weights()[self._index]

    def __repr__(self):
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def _wrap(core):
    """The Python layer around a layer of the core: always the same one while somebody holds it."""
    layer = _wrappers.get(id(core))
    if layer is None:
        cls = globals().get(core.class_name)
        cls = cls if isinstance(cls, type) and issubclass(cls, Layer) else Layer
        layer = cls.__new__(cls)
        layer._attach(core)
    return layer


def _config_of(core):
    config = json.loads(core.config_json())
    for key in _TUPLES:
        if isinstance(config.get(key), list):
            config[key] = tuple(config[key])
    return config


class Layer:
    """What all layers share."""

    _built_in = True                                 # as an activation, a layer is its configuration
    _functions = {}                                  # arguments that are Python functions
    _arguments = {}                                  # the configuration without them

    def _attach(self, core):
        self._core = core
        _wrappers[id(core)] = self

    def _settings(self):
        return self._arguments if self._functions else self._known()

    def _known(self):
        return _config_of(self._core)

    def _upconv_config(self):
        return json.loads(self._core.serialize_json())

    @property
    def name(self):
        """The layer's name: unique among those made without one."""
        return self._core.name

    @property
    def trainable(self):
        """Whether ``fit`` changes the weights."""
        return self._core.trainable

    @trainable.setter
    def trainable(self, value):
        self._core.trainable = bool(value)

    @property
    def built(self):
        return self._core.built

    @property
    def dtype(self):
        """The dtype of the weights."""
        return self._core.variable_dtype

    @property
    def compute_dtype(self):
        return self._core.compute_dtype

    @property
    def dtype_policy(self):
        """The name of Keras's dtype policy."""
        return self._core.dtype_policy

    def build(self, input_shape):
        """Creates the weights for inputs of this shape; None stands for sizes that may change."""
        self._core.build([None if d is None else int(d) for d in input_shape])

    def __call__(self, inputs, training=False, *, out=None, math="fast", algorithm="", threads=0):
        """The layer's output.

        Parameters
        ----------
        inputs : array_like
            Anything with ``__dlpack__``, the buffer protocol or ``__array__``.
        training : bool
            Has no effect on layers that behave alike.
        out : numpy.ndarray, optional
            C-contiguous memory of the output's shape and dtype to write into; returned then.
        math : {"fast", "exact"}
            "exact" never uses winograd.
        algorithm : str
            Forces an algorithm by name.
        threads : int
            Threads of this call; 0 takes ``upconv.set_threads``.

        Returns
        -------
        numpy.ndarray
            Shape ``compute_output_shape(inputs.shape)`` in the compute dtype.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> x = np.ones((4, 10, 8, 128), "float32")
        >>> upconv.layers.Conv2DTranspose(32, 2, 2, activation="relu")(x).shape
        (4, 20, 16, 32)
        """
        array, bfloat16 = _arrays.prepared(inputs)
        if out is None:
            return _arrays.from_core(_core.call(self._core, array, bfloat16, math, algorithm, threads))
        if not isinstance(out, np.ndarray) or not out.flags.c_contiguous or not out.flags.writeable:
            raise ValueError("`out` must be a writable C-contiguous NumPy array.")
        out_bfloat16 = _arrays.is_bfloat16(out)
        _core.call_into(self._core, array, bfloat16, out.view(np.uint16) if out_bfloat16 else out, out_bfloat16, math, algorithm, threads)
        return out

    call = __call__

    def forward(self, inputs):
        """``(output, tape)``: the tape holds what ``backward`` needs."""
        output, tape = _core.forward(self._core, *_arrays.prepared(inputs))
        return _arrays.from_core(output), tape

    def backward(self, output_gradient, tape):
        """Gradients of ``sum(output_gradient * output)`` with respect to input and weights.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> layer = upconv.layers.Conv2DTranspose(2, 3)
        >>> y, tape = layer.forward(np.ones((1, 4, 4, 3), "float32"))
        >>> g = layer.backward(np.ones_like(y), tape)
        >>> g.input.shape, g.kernel.shape, g.bias.shape
        ((1, 4, 4, 3), (3, 3, 2, 3), (2,))
        """
        dx, weights = _core.backward(self._core, *_arrays.prepared(output_gradient, "output_gradient"), tape)
        return Gradients(_arrays.from_core(dx), [None if w is None else _arrays.from_core(w) for w in weights])

    @property
    def weights(self):
        """The variables, trainable ones first: ``[kernel, bias]``."""
        return [Variable(self, i, name, path, trainable, _arrays.from_core(value)) for i, (name, path, trainable, value) in enumerate(self._core.variables())]

    variables = weights

    @property
    def trainable_weights(self):
        return [w for w in self.weights if w.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        return [w for w in self.weights if not (w.trainable and self.trainable)]

    trainable_variables, non_trainable_variables = trainable_weights, non_trainable_weights

    def get_weights(self):
        """The weights as NumPy arrays."""
        return [_arrays.from_core(value) for _, _, _, value in self._core.variables()]

    def set_weights(self, weights):
        """Replaces all weights; their number and shapes must be those of ``get_weights()``."""
        self._core.set_weights([_arrays.prepared(w, "weights") for w in weights])

    def count_params(self):
        return self._core.count_params()

    @property
    def losses(self):
        """Penalties of the weights' regularisers."""
        return self._core.losses()

    def compute_output_shape(self, input_shape):
        """The output's shape; None passes through.

        Examples
        --------
        >>> import upconv
        >>> upconv.layers.Conv2DTranspose(3, 4, strides=2, padding="same").compute_output_shape((None, 8, 8, 16))
        (None, 16, 16, 3)
        """
        return self._core.compute_output_shape([None if d is None else int(d) for d in input_shape])

    def get_config(self):
        """Keras's configuration of this layer."""
        return self._known()

    @classmethod
    def from_config(cls, config):
        """A layer from ``get_config()``'s dictionary, without weights."""
        if cls is Conv2DTranspose:
            return cls(**config)
        return _wrap(_core.make_layer(json.dumps({"class_name": config.get("class_name", cls.__name__), "config": config})))

    def __getstate__(self):
        config = dict(self._settings(), trainable=self.trainable)
        return {"class_name": self._core.class_name, "config": config, "functions": self._functions, "trainable": self.trainable,
                "input_shape": self._core.built_input_shape if self.built else None, "weights": self.get_weights() if self.built else []}

    def __setstate__(self, state):
        config = dict(state["config"], **state["functions"])
        if state["class_name"] == "Conv2DTranspose":
            self.__init__(**config)
        else:
            self._attach(_core.make_layer(json.dumps({"class_name": state["class_name"], "config": config})))
        if state["input_shape"]:
            self.build(state["input_shape"])
        if state["weights"]:
            self.set_weights(state["weights"])

    def __reduce__(self):
        return _revive, (type(self), self.__getstate__())

    def __repr__(self):
        return f"<{self._core.class_name} name={self.name}, built={self.built}>"


def _revive(cls, state):
    layer = cls.__new__(cls)
    layer.__setstate__(state)
    return layer


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
            self._arguments = {key: value for key, value in _config_of(core).items() if key not in functions}
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
        """``(algorithm, reason)`` of a call with this shape."""
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


def _stateless(class_name, doc, **defaults):
    its_signature = signature("self", **defaults)

    def __init__(self, *args, **kwargs):
        common = {key: kwargs.pop(key) for key in ("name", "trainable", "dtype") if key in kwargs}
        common = {key: value for key, value in common.items() if value is not None}
        unknown = {key: value for key, value in kwargs.items() if key not in defaults}
        if unknown:
            raise ValueError(f"Unrecognized keyword arguments passed to {class_name}: {unknown}")
        bound = its_signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        config = {**common, **{key: _plain(value) for key, value in bound.arguments.items() if key != "self"}}
        if "activation" in config:
            text, function = _serialize.identifier(config["activation"], "activation")
            if function:
                raise ValueError("The layer Activation takes Keras's activations only; Conv2DTranspose takes Python functions too.")
            config["activation"] = json.loads(text)
        if "dtype" in config:
            config["dtype"] = _dtype(config["dtype"])
        self._attach(_core.make_layer(json.dumps({"class_name": class_name, "config": config})))

    __init__.__signature__ = its_signature
    return type(class_name, (Layer,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


Activation = _stateless("Activation", "An activation as a layer.", activation=REQUIRED)
ReLU = _stateless("ReLU", "Keras's ReLU layer.", max_value=None, negative_slope=0.0, threshold=0.0)
LeakyReLU = _stateless("LeakyReLU", "Keras's LeakyReLU layer.", negative_slope=0.3)
ELU = _stateless("ELU", "Keras's ELU layer.", alpha=1.0)
Softmax = _stateless("Softmax", "Keras's Softmax layer.", axis=-1)
InputLayer = _stateless("InputLayer", "The shape of a model's input, with the batch (None where it varies).", batch_shape=REQUIRED)


def Input(shape, batch_size=None, dtype=None, name=None):
    """The first item of a Sequential's list: the shape of its input without the batch.

    Examples
    --------
    >>> import upconv
    >>> upconv.Sequential([upconv.Input((4, 4, 8)), upconv.layers.Conv2DTranspose(3, 2, 2)]).count_params()
    99
    """
    return InputLayer((batch_size, *shape), dtype=dtype, name=name)
