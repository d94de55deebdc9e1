# SPDX-License-Identifier: Apache-2.0
"""Keras's layers: ``Conv2DTranspose``, and the layers without weights that stand beside it."""
import json

import numpy as np

from . import _arrays, _core, _serialize

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
    """The Python layer around a layer of the core."""
    cls = Conv2DTranspose if core.class_name == "Conv2DTranspose" else Layer
    layer = cls.__new__(cls)
    layer._core = core
    layer._functions = {}
    return layer


class Layer:
    """What all layers share."""

    def _known(self):
        return json.loads(self._core.config_json())

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
        is_bfloat16 = out.dtype.name == "bfloat16"
        _core.call_into(self._core, array, bfloat16, out.view(np.uint16) if is_bfloat16 else out, is_bfloat16, math, algorithm, threads)
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

    trainable_variables = trainable_weights

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
        config = dict(self._arguments, name=self.name, trainable=self.trainable) if self._functions else self._known()
        return {"class_name": self._core.class_name, "config": config, "functions": self._functions, "trainable": self.trainable,
                "input_shape": self._core.built_input_shape if self.built else None, "weights": self.get_weights() if self.built else []}

    def __setstate__(self, state):
        config = dict(state["config"], **state["functions"])
        if state["class_name"] == "Conv2DTranspose":
            self.__init__(**config)
        else:
            self._core, self._functions = _core.make_layer(json.dumps({"class_name": state["class_name"], "config": config})), {}
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
        self._functions = {key: values[key] for key in functions}
        self._arguments = config
        config = {k: v for k, v in config.items() if v is not None or k in ("output_padding", "kernel_initializer", "bias_initializer")}
        try:
            text = json.dumps(config)
        except TypeError as error:
            raise ValueError(f"An argument of Conv2DTranspose is of a type it cannot be: {error}") from None
        self._core = _core.make_conv(text, functions)

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

    @property
    def filters(self):
        return self._known()["filters"]

    @property
    def kernel_size(self):
        return tuple(self._known()["kernel_size"])

    @property
    def strides(self):
        return tuple(self._known()["strides"])

    @property
    def padding(self):
        return self._known()["padding"]

    @property
    def data_format(self):
        return self._known()["data_format"]

    def plan(self, input_shape, math="fast"):
        """``(algorithm, reason)`` of a call with this shape."""
        return self._core.plan(list(input_shape), math)


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
    def __init__(self, **kwargs):
        unknown = set(kwargs) - set(defaults) - {"name", "trainable", "dtype"}
        if unknown:
            raise ValueError(f"Unrecognized keyword arguments passed to {class_name}: { {k: kwargs[k] for k in unknown} }")
        config = {**defaults, **{k: _plain(v) for k, v in kwargs.items()}}
        if "activation" in config:
            config["activation"] = json.loads(_serialize.identifier(config["activation"], "activation")[0])
        self._functions = {}
        self._core = _core.make_layer(json.dumps({"class_name": class_name, "config": config}))

    return type(class_name, (Layer,), {"__init__": __init__, "__doc__": doc, "__module__": __name__})


Activation = _stateless("Activation", "An activation as a layer.", activation="linear")
ReLU = _stateless("ReLU", "Keras's ReLU layer.", max_value=None, negative_slope=0.0, threshold=0.0)
LeakyReLU = _stateless("LeakyReLU", "Keras's LeakyReLU layer.", negative_slope=0.3)
ELU = _stateless("ELU", "Keras's ELU layer.", alpha=1.0)
Softmax = _stateless("Softmax", "Keras's Softmax layer.", axis=-1)
