# SPDX-License-Identifier: Apache-2.0
"""Callbacks of ``Model.fit``, as ``keras.callbacks``: derive from :class:`Callback`, or take a ready one."""
import csv
import math
import sys
import time


class Callback:
    """What watches a fit. Each method gets the numbers so far; ``self.model`` is the model."""

    model = None
    params = None

    def set_model(self, model):
        self.model = model

    def set_params(self, params):
        self.params = params

    def on_train_begin(self, logs=None): ...
    def on_epoch_begin(self, epoch, logs=None): ...
    def on_train_batch_end(self, batch, logs=None): ...
    def on_epoch_end(self, epoch, logs=None): ...
    def on_train_end(self, logs=None): ...


class LambdaCallback(Callback):
    """A callback made of functions."""

    def __init__(self, **functions):
        for name, function in functions.items():
            setattr(self, name, function)


class History(Callback):
    """The numbers of each epoch; what ``fit`` returns."""

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
    def __init__(self, monitor, mode, min_delta=0):
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"`mode` must be 'auto', 'min' or 'max'. Received: {mode!r}")
        self.monitor = monitor
        larger = mode == "max" or (mode == "auto" and any(part in monitor for part in ("acc", "auc", "iou", "psnr", "ssim")))
        self.sign = 1 if larger else -1
        self.min_delta = abs(min_delta)
        self.best = -math.inf

    def improved(self, logs):
        if self.monitor not in logs:
            raise ValueError(f"The callback watches {self.monitor!r}, which is not among the logs: {', '.join(logs)}.")
        value = self.sign * logs[self.monitor]
        if value - self.min_delta > self.best:
            self.best = value
            return True
        return False


class EarlyStopping(_Monitor):
    """Stops when the watched number has not improved for ``patience`` epochs."""

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, mode="auto", restore_best_weights=False, start_from_epoch=0):
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore, self.start = patience, restore_best_weights, start_from_epoch
        self.wait, self.weights = 0, None

    def on_epoch_end(self, epoch, logs=None):
        if epoch < self.start:
            return
        self.wait += 1
        if self.improved(logs):
            self.wait = 0
            self.weights = self.model.get_weights() if self.restore else None
        elif self.wait >= self.patience and epoch > 0:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.weights is not None:
            self.model.set_weights(self.weights)


class ReduceLROnPlateau(_Monitor):
    """Multiplies the learning rate by ``factor`` when the watched number has not improved for ``patience`` epochs."""

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, mode="auto", min_delta=1e-4, cooldown=0, min_lr=0.0):
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau does not support a factor >= 1.0. Received factor={factor}")
        super().__init__(monitor, mode, min_delta)
        self.factor, self.patience, self.cooldown, self.min_lr = factor, patience, cooldown, min_lr
        self.wait = self.cooling = 0

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
                self.cooling, self.wait = self.cooldown, 0


class TerminateOnNaN(Callback):
    """Stops at a loss that is not finite."""

    def on_train_batch_end(self, batch, logs=None):
        if not math.isfinite(logs.get("loss", 0.0)):
            self.model.stop_training = True


class ModelCheckpoint(_Monitor):
    """Saves the model, or its weights, after each epoch; the path may hold ``{epoch:02d}`` and logs."""

    def __init__(self, filepath, monitor="val_loss", save_best_only=False, save_weights_only=False, mode="auto"):
        super().__init__(monitor, mode)
        self.filepath, self.best_only, self.weights_only = str(filepath), save_best_only, save_weights_only

    def on_epoch_end(self, epoch, logs=None):
        if self.best_only and not self.improved(logs):
            return
        path = self.filepath.format(epoch=epoch + 1, **logs)
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
