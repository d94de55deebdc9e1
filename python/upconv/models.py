# SPDX-License-Identifier: Apache-2.0
"""Models: graphs of layers that are loaded from Keras files, or Sequentials made here; summary, predict, fit, save."""
import copy
import json
import os
import tempfile

import numpy as np

from . import _arrays, _core, _serialize, _layer, callbacks as _callbacks, layers as _layers, losses as _losses, optimizers as _optimizers


def _list(x):
    return list(x) if isinstance(x, (list, tuple)) else [x]


def _prepared(x, what):
    return [] if x is None else [_arrays.prepared(a, what) for a in _list(x)]


def _bytes(count):
    """A size as Keras prints it."""
    for unit in ("B", "KB", "MB", "GB", "TB"):
        if count < 1024 or unit == "TB":
            return f"{count:.2f} {unit}"
        count /= 1024


class Model:
    """A model. Made by :func:`load_model`, or by :class:`Sequential`.

    Examples
    --------
    >>> import upconv
    >>> model = upconv.Sequential([upconv.layers.Conv2DTranspose(3, 2, 2, name="up")], input_shape=(4, 4, 8))
    >>> model.get_layer("up").count_params(), [w.shape for w in model.get_weights()]
    (99, [(2, 2, 3, 8), (3,)])
    """

    stop_training = False
    _held = None                                     # the Python layers, so that they are the same at every look

    def __init__(self, core, trainer=None):
        self._core = core
        self._trainer = trainer

    # ---- what it is

    @property
    def name(self):
        """The model's name."""
        return self._core.name

    @property
    def layers(self):
        """The layers in order, without the inputs."""
        return [layer for layer in self._wrapped() if not isinstance(layer, _layers.InputLayer)]

    def _wrapped(self):
        if self._held is None:
            self._held = [_layer.wrap(layer) for layer in self._core.layers()]
        return self._held

    def get_layer(self, name):
        """The layer of this name; ValueError with all names where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"No such layer: {name}. Existing layers are: {[layer.name for layer in self.layers]}.")

    @property
    def built(self):
        """Whether the weights are there."""
        return self._core.built

    def build(self, input_shape):
        """Creates the weights of all layers for inputs of this shape, the batch included."""
        self._core.build(list(input_shape))

    def count_params(self):
        """How many numbers the weights hold."""
        return self._core.count_params()

    @property
    def losses(self):
        """Penalties of the weights' regularisers, layer by layer."""
        return self._core.losses()

    @property
    def weights(self):
        """The variables of all layers."""
        return [w for layer in self.layers for w in layer.weights]

    def get_weights(self):
        """The weights of all layers as NumPy arrays."""
        return [w for layer in self.layers for w in layer.get_weights()]

    def set_weights(self, weights):
        """Replaces all weights; nothing changes when their number or a shape is wrong."""
        weights = list(weights)
        current = self.get_weights()
        if len(weights) != len(current):
            raise ValueError(f"You called `set_weights(weights)` on model '{self.name}' with a weight list of length {len(weights)}, but the model "
                             f"was expecting {len(current)} weights.")
        for i, (new, old) in enumerate(zip(weights, current)):
            if tuple(np.shape(new)) != old.shape:
                raise ValueError(f"Weight {i} of model '{self.name}' has shape {old.shape}. Received: {tuple(np.shape(new))}.")
        for layer in self.layers:
            count = len(layer.get_weights())
            if count:
                layer.set_weights(weights[:count])
                weights = weights[count:]

    def get_config(self):
        """Keras's configuration of the model."""
        return json.loads(self._core.config_json())

    # ---- computing

    def __call__(self, inputs, training=False):
        """The outputs for whole arrays: one array, or a list for several outputs."""
        outputs = [_arrays.from_core(o) for o in self._core.call(_prepared(inputs, "inputs"), training)]
        return outputs[0] if len(outputs) == 1 else outputs

    def predict(self, x, batch_size=32, verbose=0):
        """The outputs, computed batch by batch; Ctrl-C stops between batches.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> model = upconv.Sequential([upconv.layers.Conv2DTranspose(3, 2, 2)], input_shape=(4, 4, 8))
        >>> model.predict(np.zeros((70, 4, 4, 8), "float32")).shape
        (70, 8, 8, 3)
        """
        xs = [_arrays.as_numpy(a) for a in _list(x)]
        n = len(xs[0])
        parts = [_list(self([a[i:i + batch_size] for a in xs])) for i in range(0, max(n, 1), batch_size)]
        outputs = [np.concatenate(p) if len(p) > 1 else p[0] for p in zip(*parts)]
        return outputs[0] if len(outputs) == 1 else outputs

    # ---- training

    def compile(self, optimizer="rmsprop", loss=None, loss_weights=None, metrics=None, weighted_metrics=None, auto_scale_loss=True):
        """Sets how :meth:`fit` learns, as ``keras.Model.compile``.

        Parameters
        ----------
        optimizer : str, dict or Optimizer
        loss : str, dict, Loss or function of ``upconv.losses``, or a list of one an output
        loss_weights : list of float, optional
        metrics, weighted_metrics : list of str or dict, optional

        Raises
        ------
        ValueError
            For a name that is not known, with the nearest one.
        """
        text = lambda v: json.dumps(v._upconv_config() if hasattr(v, "_upconv_config") else v)
        losses = list(loss.values()) if isinstance(loss, dict) else _list(loss)
        if loss is None:
            raise ValueError("`compile` needs a loss.")
        self._trainer = _core.Trainer(self._core, text(_optimizers.get(optimizer)), [text(_losses.get(item)) for item in losses], list(loss_weights or []),
                                      [text(m) for m in _list(metrics or [])], [text(m) for m in _list(weighted_metrics or [])], auto_scale_loss)

    @property
    def _compiled(self):
        if self._trainer is None:
            raise ValueError("You must call `compile()` before calling `fit()`, `evaluate()` or `train_on_batch()`.")
        return self._trainer

    @property
    def learning_rate(self):
        """The optimiser's rate at this step."""
        return self._compiled.learning_rate()

    @learning_rate.setter
    def learning_rate(self, value):
        self._compiled.set_learning_rate(float(value))

    def fit(self, x, y, batch_size=32, epochs=1, verbose="auto", callbacks=None, validation_data=None, shuffle=True, sample_weight=None, initial_epoch=0,
            steps_per_epoch=None, seed=0):
        """Trains for ``epochs`` epochs and returns a History, as ``keras.Model.fit``. Ctrl-C stops after the current batch.

        Parameters
        ----------
        x, y : array_like or list of array_like
            Inputs and targets; the first axis counts samples.
        validation_data : tuple of (x, y) or (x, y, sample_weight), optional
        seed : int
            Of the shuffling: equal seeds give equal bits.

        Raises
        ------
        ValueError
            Before ``compile``, and for arrays that do not fit.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> model = upconv.Sequential([upconv.layers.Conv2DTranspose(1, 2, 2)], input_shape=(2, 2, 1))
        >>> model.compile("adam", "mse", metrics=["mae"])
        >>> history = model.fit(np.ones((8, 2, 2, 1)), np.ones((8, 4, 4, 1)), epochs=2, verbose=0)
        >>> history.epoch, list(history.history)
        ([0, 1], ['loss', 'mae'])
        """
        if not self.built:
            self._core.build(list(np.shape(_list(x)[0])))
        history = _callbacks.History()
        watchers = list(callbacks or []) + ([_callbacks.ProgbarLogger()] if verbose in ("auto", 1, 2, True) else []) + [history]
        params = {}
        self.stop_training = False
        for watcher in watchers:
            watcher.set_model(self)
            watcher.set_params(params)

        def tell(method, *arguments):
            for watcher in watchers:
                getattr(watcher, method)(*arguments)

        def on_event(event, epoch, step, epochs, steps, logs, rate):
            params.update(epoch=epoch, epochs=epochs, steps=steps)
            tell("on_" + event.replace("batch", "train_batch"), *{"epoch_begin": (epoch,), "batch_end": (step, logs), "epoch_end": (epoch, logs)}.get(event, ()))
            following = 0 if event == "epoch_begin" else step + 1 if event == "batch_end" else steps
            if following < steps and not self.stop_training:
                tell("on_train_batch_begin", following)
            return True if self.stop_training else None

        vx, vy, vw = (list(validation_data) + [None])[:3] if validation_data is not None else (None, None, None)
        self._compiled.fit(_prepared(x, "x"), _prepared(y, "y"), _prepared(sample_weight, "sample_weight"), _prepared(vx, "x"), _prepared(vy, "y"),
                           _prepared(vw, "sample_weight"), epochs, initial_epoch, batch_size, steps_per_epoch, shuffle, seed, on_event)
        return history

    def evaluate(self, x, y, batch_size=32, sample_weight=None, return_dict=False, verbose=0):
        """Loss and metrics on these samples: a number, a list, or a dictionary.

        Examples
        --------
        >>> import numpy as np, upconv
        >>> model = upconv.Sequential([upconv.layers.Conv2DTranspose(1, 1, kernel_initializer="zeros")], input_shape=(2, 2, 1))
        >>> model.compile("sgd", "mse", metrics=["mae"])
        >>> model.evaluate(np.ones((8, 2, 2, 1)), np.full((8, 2, 2, 1), 2.0))
        [4.0, 2.0]
        """
        logs = self._compiled.evaluate(_prepared(x, "x"), _prepared(y, "y"), _prepared(sample_weight, "sample_weight"), batch_size)
        values = list(logs.values())
        return logs if return_dict else values[0] if len(values) == 1 else values

    def train_on_batch(self, x, y, sample_weight=None):
        """One step; the loss and metrics of this batch."""
        return self._compiled.train_on_batch(_prepared(x, "x"), _prepared(y, "y"), _prepared(sample_weight, "sample_weight"))

    # ---- files

    def save(self, path, overwrite=True):
        """Writes a ``.keras`` file (compiled, with the optimiser's state, if :meth:`compile` was called) or a legacy ``.h5``.

        Python functions and classes are written by their names; ``load_model`` needs them registered, or as ``custom_objects``."""
        path = os.fspath(path)
        own = _serialize.own_objects([function for layer in self.layers for function in layer._functions.values()])
        with _serialize.custom_object_scope(own):
            if self._trainer is not None and path.endswith(".keras"):
                self._trainer.save(path, overwrite)
            else:
                self._core.save(path, overwrite)

    def save_weights(self, path, overwrite=True, max_shard_size=0):
        """Writes ``.weights.h5``, ``.weights.json`` (shards of at most ``max_shard_size`` bytes), ``.h5`` or ``.npz``."""
        self._core.save_weights(os.fspath(path), overwrite, int(max_shard_size))

    def load_weights(self, path, *, limits=None, isolation="automatic"):
        """Replaces the weights from any of those files, or from a whole model's. All or nothing. The rest as in :func:`load_model`."""
        self._core.load_weights(os.fspath(path), _core.load_options("", None, limits or {}, isolation))

    def _copied(self):
        """The layers of a chain, to be copied one by one: Python functions in them have no form in a file."""
        names = [shape for _, shape in self._core.input_shapes()]
        return self.layers, self.name, names[0][1:] if names else None

    def __reduce__(self):
        if self._trainer is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "model.keras")
                self.save(path)
                with open(path, "rb") as file:
                    return _revive_compiled, (file.read(),)
        if self._core.kind == "Sequential":
            return Sequential, self._copied()
        return _from_bytes, (self._core.save_bytes(),)

    def __deepcopy__(self, memo):
        make, arguments = self.__reduce__()
        return make(*copy.deepcopy(arguments, memo))

    # ---- pictures

    def _rows(self):
        rows = []
        for core, shape, inputs in self._core.layer_table():
            shape = tuple(None if i == 0 else d for i, d in enumerate(shape))
            params = core.count_params() if core.built else 0
            rows.append((f"{core.name} ({core.class_name})", str(shape) if shape else "?", f"{params:,}", ", ".join(inputs) or "-"))
        return rows if self._core.kind == "Functional" else [row for row in rows if not row[0].endswith("(InputLayer)")]

    def summary(self, print_fn=print):
        """Prints Keras's table of layers, output shapes and parameters.

        Examples
        --------
        >>> import upconv
        >>> upconv.Sequential([upconv.layers.Conv2DTranspose(3, 2, 2, name="up")], input_shape=(4, 4, 8)).summary()   # doctest: +ELLIPSIS
        Model: ...
         Total params: 99 (396.00 B)
         Trainable params: 99 (396.00 B)
         Non-trainable params: 0 (0.00 B)
        """
        functional = self._core.kind == "Functional"
        header = ("Layer (type)", "Output Shape", "Param #") + (("Connected to",) if functional else ())
        rows = [row[:len(header)] for row in self._rows()]
        widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
        bar = lambda a, b, c, d: a + c.join(d * (w + 2) for w in widths) + b
        cells = lambda row: "│" + "│".join(f" {v:>{w}} " if i == 2 else f" {v:<{w}} " for i, (v, w) in enumerate(zip(row, widths))) + "│"
        lines = [f'Model: "{self.name}"', bar("┏", "┓", "┳", "━"), cells(header).replace("│", "┃"), bar("┡", "┩", "╇", "━")]
        for i, row in enumerate(rows):
            lines += ([bar("├", "┤", "┼", "─")] if i else []) + [cells(row)]
        total = self.count_params() if self.built else 0
        trainable = sum(int(np.prod(w.shape)) for layer in self.layers if layer.trainable for w in layer.weights if w.trainable)
        size = sum(w.numpy().nbytes for w in self.weights)
        trained = sum(w.numpy().nbytes for layer in self.layers for w in layer.trainable_weights)
        counts = [("Total", total, size), ("Trainable", trainable, trained), ("Non-trainable", total - trainable, size - trained)]
        lines += [bar("└", "┘", "┴", "─"), *(f" {what} params: {count:,} ({_bytes(nbytes)})" for what, count, nbytes in counts)]
        print_fn("\n".join(lines))

    def _repr_html_(self):
        from html import escape
        body = "".join("<tr>" + "".join(f"<td>{escape(str(v))}</td>" for v in row) + "</tr>" for row in self._rows())
        total = f"{self.count_params():,}" if self.built else "not built"
        return (f"<b>Model: {escape(self.name)}</b><table><tr><th>Layer (type)</th><th>Output Shape</th><th>Param #</th><th>Connected to</th></tr>{body}</table>"
                f"Total params: {total}")

    def __repr__(self):
        return f"<Model {self.name}, {len(self.layers)} layers, built={self.built}>"


class Sequential(Model):
    """A chain of layers.

    Parameters
    ----------
    layers : list of Layer
        The first may be ``upconv.Input``.
    name : str, optional
    input_shape : tuple, optional
        Without the batch; without it the first call builds the model.

    Examples
    --------
    >>> import upconv
    >>> model = upconv.Sequential([upconv.Input((4, 4, 8))])
    >>> model.add(upconv.layers.Conv2DTranspose(3, 2, 2, name="up"))
    >>> [layer.name for layer in model.layers]
    ['up']
    """

    def __init__(self, layers=None, name=None, input_shape=None):
        layers = list(layers or [])
        if layers and isinstance(layers[0], _layers.InputLayer):
            input_shape = layers.pop(0)._known()["batch_shape"][1:]
        for layer in layers:
            if not isinstance(layer, _layers.Layer):
                raise ValueError(f"Only instances of upconv's layers can be added to a Sequential model. Received: {layer} (of type {type(layer)})")
        self._input_shape = input_shape
        super().__init__(_core.make_sequential([layer._core for layer in layers], name or "", None if input_shape is None else list(input_shape)))
        self._held = layers

    def add(self, layer):
        """Puts a layer at the end. The model is to be compiled after that."""
        first = [] if self._input_shape is not None or not isinstance(layer, _layers.InputLayer) else [layer]
        Sequential.__init__(self, first or [*self.layers, layer], self.name, self._input_shape)


def _from_bytes(data):
    return Model(_core.load_model_bytes(data, _core.load_options("", None, {}, "none")))


def _revive_compiled(data):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.keras")
        with open(path, "wb") as file:
            file.write(data)
        return load_model(path, isolation="none")


def load_model(path, custom_objects=None, compile=True, *, weights="", on_note=None, limits=None, isolation="automatic"):
    """A model from a Keras file: ``.keras``, legacy ``.h5`` of Keras 2 and 3, an architecture's JSON with ``weights``, or bytes.

    Parameters
    ----------
    path : str, os.PathLike or bytes
    custom_objects : dict, optional
        Functions and classes by the names that the file may call them by.
    compile : bool
        Whether a compiled file's optimiser, losses and state are taken along.
    weights : str, optional
        A second file with the weights.
    on_note : callable, optional
        Told about everything the file could not say.
    limits : dict, optional
        Limits other than the defaults, summed over the whole file: ``tensor_bytes`` (2 GiB), ``json_bytes`` (16 MiB), ``nesting``
        (64), ``layers`` (10,000), ``hdf5_objects`` (100,000), ``zip_members`` (1,024), ``inflate_ratio`` (100) and ``seconds``
        that a decoding process may be silent (60).
    isolation : str, optional
        Where the file is decoded: ``"process"``, a sandboxed one; ``"none"``, here; ``"automatic"``, here where no sandbox can
        be had, with a note.

    Raises
    ------
    upconv.FileError
        Both an OSError and a ValueError, with path, place and reason.

    Examples
    --------
    >>> import upconv
    >>> model = upconv.load_model("models/superres.keras")
    >>> model.count_params()
    13777
    """
    if custom_objects:
        with _serialize.custom_object_scope(custom_objects):
            return load_model(path, None, compile, weights=weights, on_note=on_note, limits=limits, isolation=isolation)
    options = _core.load_options(os.fspath(weights), on_note, limits or {}, isolation)
    if isinstance(path, (bytes, bytearray, memoryview)):
        return Model(_core.load_model_bytes(bytes(path), options))
    path = os.fspath(path)
    if compile and not weights and not os.path.isdir(path) and path.endswith((".keras", ".h5")):
        try:
            loaded = _core.load_compiled(path, options)
            return Model(loaded.model(), loaded) if isinstance(loaded, _core.Trainer) else Model(loaded)
        except ValueError as error:
            if on_note is not None:
                on_note(f"the file's compilation is left out: {error}")
    return Model(_core.load_model(path, options))


def save_model(model, path, overwrite=True):
    """``model.save(path)``.

    Examples
    --------
    >>> import os, tempfile, upconv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     upconv.save_model(upconv.load_model("models/superres.keras"), os.path.join(folder, "again.keras"))
    """
    model.save(path, overwrite)


def load_layer(path, name, on_note=None, *, limits=None, isolation="automatic"):
    """One Conv2DTranspose out of any Keras model by its name, whatever the other layers are. The rest as in :func:`load_model`.

    Examples
    --------
    >>> import upconv
    >>> upconv.load_layer("models/digits_decoder.keras", "up_8x8").kernel.shape
    (4, 4, 16, 32)
    """
    return _layer.wrap(_core.load_layer(os.fspath(path), name, _core.load_options("", on_note, limits or {}, isolation)))
