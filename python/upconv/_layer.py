# SPDX-License-Identifier: Apache-2.0
"""What all layers share: a layer of the core behind Keras's interface, its weights, its gradients."""
import json
import operator
import weakref

import numpy as np

from . import _arrays, _core

_TUPLES = ("kernel_size", "strides", "dilation_rate", "output_padding", "batch_shape")
_wrappers = weakref.WeakValueDictionary()            # id of a layer of the core -> the Python layer around it, which keeps it alive
_classes = {}                                        # Keras's class name -> the class here


class Gradients:
    """What ``backward`` returns: ``input``, ``kernel``, ``bias`` (None where there is none), and ``weights`` in order.

    Examples
    --------
    >>> import numpy as np, upconv
    >>> layer = upconv.layers.Conv2DTranspose(2, 3, use_bias=False)
    >>> y, tape = layer.forward(np.ones((1, 4, 4, 3), "float32"))
    >>> layer.backward(y, tape)
    <Gradients input (1, 4, 4, 3), weights (3, 3, 2, 3)>
    """

    def __init__(self, input, weights):
        self.input = input
        self.weights = weights

    @property
    def kernel(self):
        """The gradient of the kernel, of its shape; None where the layer has none."""
        return self.weights[0] if self.weights else None

    @property
    def bias(self):
        """The gradient of the bias, or None."""
        return self.weights[1] if len(self.weights) > 1 else None

    def __repr__(self):
        shapes = ", ".join(str(None if w is None else w.shape) for w in self.weights)
        return f"<Gradients input {self.input.shape}, weights {shapes}>"


class Variable:
    """A weight: ``numpy()`` copies its value, ``assign`` replaces it.

    Examples
    --------
    >>> import upconv
    >>> layer = upconv.layers.Conv2DTranspose(2, 1)
    >>> layer.build((None, 4, 4, 3))
    >>> layer.bias.assign([1.0, 2.0])
    >>> layer.bias.numpy()
    array([1., 2.], dtype=float32)
    """

    def __init__(self, layer, index, name, path, trainable, value):
        self._layer, self._index = layer, index
        self.name, self.path, self.trainable, self._value = name, path, trainable, value

    @property
    def shape(self):
        """The shape, a tuple."""
        return self._value.shape

    @property
    def dtype(self):
        """The name of the dtype."""
        return self._value.dtype.name

    def numpy(self):
        """A copy of the value."""
        return self._value.copy()

    def __array__(self, dtype=None, copy=None):
        return self._value.astype(dtype or self._value.dtype, copy=True)

    def assign(self, value):
        """Replaces the value; ValueError for another shape."""
        weights = self._layer.get_weights()
        weights[self._index] = value
        self._layer.set_weights(weights)
        self._value = self._layer.get_weights()[self._index]

    def __repr__(self):
        return f"<Variable path={self.path}, shape={self.shape}, dtype={self.dtype}>"


def wrap(core):
    """The Python layer around a layer of the core: always the same one while somebody holds it."""
    layer = _wrappers.get(id(core))
    if layer is None:
        cls = _classes.get(core.class_name, Layer)
        layer = cls.__new__(cls)
        layer._attach(core)
    return layer


def config_of(core):
    """Keras's configuration, with the tuples that Python has and JSON has not."""
    config = json.loads(core.config_json())
    for key in _TUPLES:
        if isinstance(config.get(key), list):
            config[key] = tuple(config[key])
    return config


def _dims(shape):
    """A shape as the core takes it: whole numbers, and None where a size may change."""
    dims = [None if d is None else operator.index(d) for d in shape]
    if any(d is not None and not 0 <= d < 1 << 62 for d in dims):
        raise ValueError(f"The sizes of a shape are whole numbers of at least 0, or None. Received: input_shape={tuple(shape)}")
    return dims


class Layer:
    """What all layers share.

    Examples
    --------
    >>> import upconv
    >>> isinstance(upconv.layers.ReLU(), upconv.layers.Layer)
    True
    """

    _built_in = True                                 # as an activation, a layer is its configuration
    _functions = {}                                  # arguments that are Python functions
    _arguments = {}                                  # the configuration without them

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if cls.__module__ == f"{__package__}.layers":
            _classes[cls.__name__] = cls

    def _attach(self, core):
        self._core = core
        _wrappers[id(core)] = self

    def _settings(self):
        return self._arguments if self._functions else self._known()

    def _known(self):
        return config_of(self._core)

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
        """Whether the weights are there."""
        return self._core.built

    @property
    def dtype(self):
        """The dtype of the weights."""
        return self._core.variable_dtype

    @property
    def compute_dtype(self):
        """The dtype that inputs are cast to and outputs have."""
        return self._core.compute_dtype

    @property
    def dtype_policy(self):
        """The name of Keras's dtype policy."""
        return self._core.dtype_policy

    def build(self, input_shape):
        """Creates the weights for inputs of this shape; None stands for sizes that may change.

        Raises
        ------
        ValueError
            For a shape that the layer cannot take.

        Examples
        --------
        >>> import upconv
        >>> layer = upconv.layers.Conv2DTranspose(2, 3)
        >>> layer.build((None, None, None, 5))
        >>> layer.kernel.shape, layer.bias.shape
        ((3, 3, 2, 5), (2,))
        """
        self._core.build(_dims(input_shape))

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
        """``(output, tape)``: the tape holds what ``backward`` needs.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> y, tape = upconv.layers.Conv2DTranspose(2, 3).forward(np.ones((1, 4, 4, 3), "float32"))
        >>> y.shape
        (1, 6, 6, 2)
        """
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
        """The variables that ``fit`` changes."""
        return [w for w in self.weights if w.trainable] if self.trainable else []

    @property
    def non_trainable_weights(self):
        """The variables that ``fit`` leaves."""
        return [w for w in self.weights if not (w.trainable and self.trainable)]

    trainable_variables, non_trainable_variables = trainable_weights, non_trainable_weights

    def get_weights(self):
        """The weights as NumPy arrays."""
        return [_arrays.from_core(value) for _, _, _, value in self._core.variables()]

    def set_weights(self, weights):
        """Replaces all weights; their number and shapes must be those of ``get_weights()``.

        Raises
        ------
        ValueError
            In Keras's words, for another number or shape; nothing changes then.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> layer = upconv.layers.Conv2DTranspose(1, 2)
        >>> layer.build((None, 4, 4, 1))
        >>> layer.set_weights([np.ones((2, 2, 1, 1)), np.zeros(1)])
        >>> [w.sum().item() for w in layer.get_weights()]
        [4.0, 0.0]
        """
        self._core.set_weights([_arrays.prepared(w, "weights") for w in weights])

    def count_params(self):
        """How many numbers the weights hold; ValueError before they are there."""
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
        return self._core.compute_output_shape(_dims(input_shape))

    def get_config(self):
        """Keras's configuration of this layer.

        Examples
        --------
        >>> import upconv
        >>> layer = upconv.layers.Conv2DTranspose(2, 3, name="up")
        >>> upconv.layers.Conv2DTranspose.from_config(layer.get_config()).name
        'up'
        """
        return self._known()

    @classmethod
    def from_config(cls, config):
        """A layer from ``get_config()``'s dictionary, without weights."""
        return cls(**config)

    def __getstate__(self):
        config = dict(self._settings(), trainable=self.trainable)
        return {"class_name": self._core.class_name, "config": config, "functions": self._functions, "trainable": self.trainable,
                "input_shape": self._core.built_input_shape if self.built else None, "weights": self.get_weights() if self.built else []}

    def __setstate__(self, state):
        config = dict(state["config"], **state["functions"])
        if type(self) is Layer:
            self._attach(_core.make_layer(json.dumps({"class_name": state["class_name"], "config": config})))
        else:
            self.__init__(**config)
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
