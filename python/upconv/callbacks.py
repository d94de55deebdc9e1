# SPDX-License-Identifier: Apache-2.0
"""Callbacks of ``Model.fit``, as ``keras.callbacks``: derive from :class:`Callback`, or take a ready one."""
import csv
import math
import sys
import time


class Callback:
    """What watches a fit. Each method gets the numbers so far; ``self.model`` is the model. An exception ends the fit.

    Examples
    --------
    >>> import numpy as np, upconv
    >>> class Names(upconv.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         print(epoch, sorted(logs))
    >>> model = upconv.Sequential([upconv.layers.Conv2DTranspose(1, 2)], input_shape=(2, 2, 1))
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((4, 2, 2, 1)), np.ones((4, 3, 3, 1)), verbose=0, callbacks=[Names()])
    0 ['loss']
    """

    model = None
    params = None

    def set_model(self, model):
        """Called by ``fit`` with its model."""
        self.model = model

    def set_params(self, params):
        """Called by ``fit`` with a dictionary of epoch, epochs and steps."""
        self.params = params

    def on_train_begin(self, logs=None): ...
    def on_epoch_begin(self, epoch, logs=None): ...
    def on_train_batch_begin(self, batch, logs=None): ...
    def on_train_batch_end(self, batch, logs=None): ...
    def on_epoch_end(self, epoch, logs=None): ...
    def on_train_end(self, logs=None): ...


class LambdaCallback(Callback):
    """A callback made of functions.

    Examples
    --------
    >>> import upconv
    >>> upconv.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs)).on_epoch_end(0, {"loss": 1.0})
    0 {'loss': 1.0}
    """

    def __init__(self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None, on_train_batch_begin=None, on_train_batch_end=None):
        given = dict(on_epoch_begin=on_epoch_begin, on_epoch_end=on_epoch_end, on_train_begin=on_train_begin, on_train_end=on_train_end,
                     on_train_batch_begin=on_train_batch_begin, on_train_batch_end=on_train_batch_end)
        for name, function in given.items():
            if function is not None:
                setattr(self, name, function)


class History(Callback):
    """The numbers of each epoch, ``history`` and ``epoch``; what ``fit`` returns (see there)."""

    def on_train_begin(self, logs=None):
        self.epoch, self.history = [], {}

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class ProgbarLogger(Callback):
    """A progress line with loss and time left."""

    def on_train_begin(self, logs=None):
        self.started = self.drawn = time.monotonic()
        self.first = None

    def on_train_batch_end(self, batch, logs=None):
        now = time.monotonic()
        p = self.params
        at = p["epoch"] * p["steps"] + batch
        self.first = at if self.first is None else self.first
        if now - self.drawn < 0.2 or not sys.stderr.isatty():
            return
        self.drawn = now
        left = (now - self.started) / (at - self.first + 1) * (p["epochs"] * p["steps"] - at - 1)
        numbers = "  ".join(f"{k} {v:.4g}" for k, v in logs.items())
        sys.stderr.write(f"\r\x1b[Kepoch {p['epoch'] + 1}/{p['epochs']}  step {batch + 1}/{p['steps']}  {numbers}  {left:.0f} s left")
        sys.stderr.flush()

    def on_epoch_end(self, epoch, logs=None):
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        print(f"epoch {epoch + 1}/{self.params['epochs']}  " + "  ".join(f"{k} {v:.4g}" for k, v in logs.items()))


class _Monitor(Callback):
    def __init__(self, monitor, mode, min_delta=0, verbose=0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"`mode` must be 'auto', 'min' or 'max'. Received: {mode!r}")
        self.monitor = monitor
        larger = mode == "max" or (mode == "auto" and any(part in monitor for part in ("acc", "auc", "iou", "psnr", "ssim")))
        self.sign = 1 if larger else -1
        self.min_delta = abs(min_delta)
        self.verbose = verbose
        self.best = -math.inf

    def say(self, line):
        if self.verbose:
            print(line)

    def improved(self, logs):
        if self.monitor not in logs:
            raise ValueError(f"The callback watches {self.monitor!r}, which is not among the logs: {', '.join(logs)}.")
        value = self.sign * logs[self.monitor]
        if value - self.min_delta > self.best:
            self.best = value
            return True
        return False


class EarlyStopping(_Monitor):
    """Stops when the watched number has not improved for ``patience`` epochs, or has not passed ``baseline`` by then."""

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None, restore_best_weights=False, start_from_epoch=0):
        super().__init__(monitor, mode, min_delta, verbose)
        self.patience, self.baseline, self.restore, self.start = patience, baseline, restore_best_weights, start_from_epoch

    def on_train_begin(self, logs=None):
        self.best, self.wait, self.weights, self.stopped_epoch, self.best_epoch = -math.inf, 0, None, 0, 0

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start:
            return
        if self.restore and self.weights is None:
            self.weights, self.best_epoch = self.model.get_weights(), epoch
        self.wait += 1
        if self.improved(logs):
            self.best_epoch = epoch
            self.weights = self.model.get_weights() if self.restore else None
            if self.baseline is None or self.sign * logs[self.monitor] - self.min_delta > self.sign * self.baseline:
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch, self.model.stop_training = epoch, True
            self.say(f"Epoch {epoch + 1}: early stopping")

    def on_train_end(self, logs=None):
        if self.weights is not None:
            self.say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.weights)


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by ``factor`` when the watched number has not improved for ``patience`` epochs."""

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0):
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        super().__init__(monitor, mode, min_delta, verbose)
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr

    def on_train_begin(self, logs=None):
        self.best, self.wait, self.cooling = -math.inf, 0, 0

    def on_epoch_end(self, epoch, logs=None):
        rate = self.model.learning_rate
        logs["learning_rate"] = rate
        if self.cooling > 0:
            self.cooling, self.wait = self.cooling - 1, 0
        if self.improved(logs):
            self.wait = 0
        elif self.cooling == 0:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                self.model.learning_rate = max(rate * self.factor, self.min_lr)
                self.say(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {self.model.learning_rate}.")
                self.cooling, self.wait = self.cooldown, 0


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch to ``schedule(epoch, learning_rate)`` (or ``schedule(epoch)``).

    Examples
    --------
    >>> import numpy as np, upconv
    >>> model = upconv.Sequential([upconv.layers.Conv2DTranspose(1, 2)], input_shape=(2, 2, 1))
    >>> model.compile(upconv.optimizers.SGD(1.0), "mse")
    >>> halved = upconv.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    >>> history = model.fit(np.ones((4, 2, 2, 1)), np.ones((4, 3, 3, 1)), epochs=3, verbose=0, callbacks=[halved])
    >>> model.learning_rate, history.history["learning_rate"]
    (0.125, [0.5, 0.25, 0.125])
    """

    def __init__(self, schedule, verbose=0):
        self.schedule, self.verbose = schedule, verbose

    def on_epoch_begin(self, epoch, logs=None):
        try:
            rate = self.schedule(epoch, self.model.learning_rate)
        except TypeError:                                # the older form
            rate = self.schedule(epoch)
        if not isinstance(rate, (int, float)) and not hasattr(rate, "__float__"):
            raise ValueError(f"The output of the `schedule` function should be a float. Got: {rate}")
        self.model.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {float(rate)}.")

    def on_epoch_end(self, epoch, logs=None):
        logs["learning_rate"] = self.model.learning_rate


class TerminateOnNaN(Callback):
    """Stops at a loss that is not finite, or raises with ``raise_error``."""

    def __init__(self, raise_error=False):
        self.raise_error = raise_error

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs.get("loss", 0.0)):
            if self.raise_error:
                raise RuntimeError(f"NaN or Inf loss encountered at batch {batch}.")
            self.model.stop_training = True


class ModelCheckpoint(_Monitor):
    """Saves the model, or its weights, after each epoch (``save_freq="epoch"``) or every ``save_freq`` batches; the path may hold
    ``{epoch:02d}``, ``{batch}`` and logs."""

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False, mode="auto", save_freq="epoch",
                 initial_value_threshold=None):
        super().__init__(monitor, mode, verbose=verbose)
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or integer values")
        self.filepath, self.best_only, self.weights_only, self.save_freq = str(filepath), save_best_only, save_weights_only, save_freq
        if initial_value_threshold is not None:
            self.best = self.sign * initial_value_threshold
        self.batches = 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        if self.save_freq != "epoch" and self.batches % self.save_freq == 0:
            self.save(self.params["epoch"], logs, batch=batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        if self.save_freq == "epoch":
            self.save(epoch, logs)

    def save(self, epoch, logs, **names):
        """Writes the file of this epoch, if it is to be written."""
        if self.best_only and not self.improved(logs):
            return
        path = self.filepath.format(epoch=epoch + 1, **names, **logs)
        self.say(f"Epoch {epoch + 1}: saving model to {path}")
        (self.model.save_weights if self.weights_only else self.model.save)(path)


class CSVLogger(Callback):
    """One line an epoch: the epoch, then the logs by name."""

    def __init__(self, filename, separator=",", append=False):
        self.filename, self.separator, self.append = filename, separator, append

    def on_train_begin(self, logs=None):
        self.file, self.keys = open(self.filename, "a" if self.append else "w", newline=""), None

    def on_epoch_end(self, epoch, logs=None):
        writer = csv.writer(self.file, delimiter=self.separator)
        if self.keys is None:
            self.keys = sorted(logs)
            writer.writerow(["epoch", *self.keys])
        writer.writerow([epoch, *(logs.get(k, "NA") for k in self.keys)])
        self.file.flush()

    def on_train_end(self, logs=None):
        self.file.close()
