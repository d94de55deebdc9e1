# SPDX-License-Identifier: Apache-2.0
"""Writes metrics.json: what Keras's metrics say after two updates of small arrays, with and without sample weights.
PSNR and SSIM, which Keras lacks, are computed here in NumPy by the definitions of tf.image."""
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np

rng = np.random.default_rng(7)


def real(shape): return rng.normal(size=shape).astype("float32")
def unit(shape): return rng.uniform(0.05, 0.95, size=shape).astype("float32")
def labels(shape, n): return rng.integers(0, n, size=shape).astype("float32")


def one_hot(shape, n): return np.eye(n, dtype="float32")[rng.integers(0, n, size=shape)]
def distribution(shape): x = unit(shape); return x / x.sum(-1, keepdims=True)


def psnr(a, b, max_val):
    mse = np.mean((a.astype("float64") - b) ** 2, axis=(1, 2, 3))
    return float(np.mean(20 * np.log10(max_val) - 10 * np.log10(mse)))


def ssim(a, b, max_val, size=11, sigma=1.5, k1=0.01, k2=0.03):
    x = np.arange(size) - (size - 1) / 2
    w = np.exp(-x * x / (2 * sigma * sigma))
    w = np.outer(w, w) / w.sum() ** 2
    a, b = a.astype("float64"), b.astype("float64")

    def f(p):
        windows = np.lib.stride_tricks.sliding_window_view(p, (size, size), axis=(1, 2))
        return np.einsum("nhwcij,ij->nhwc", windows, w)

    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    ma, mb = f(a), f(b)
    means, squares = 2 * ma * mb, ma * ma + mb * mb
    lum = (means + c1) / (squares + c1)
    cs = (2 * f(a * b) - means + c2) / (f(a * a + b * b) - squares + c2)
    return float(np.mean((lum * cs).mean(axis=(1, 2, 3))))


cases = []


def case(class_name, config, updates):
    metric = getattr(keras.metrics, class_name)(**config)
    for weighted in (False, True):
        metric.reset_state()
        for t, p, w in updates:
            metric.update_state(t, p, sample_weight=w if weighted else None)
        cases.append({"class": class_name, "config": metric.get_config(), "weighted": weighted, "result": float(metric.result()),
                      "updates": [[array(t), array(p), array(w)] for t, p, w in updates]})


def array(a): return {"shape": list(a.shape), "values": [float(v) for v in a.ravel()]}


def updates(t, p, weight=lambda n: unit((n,)) * 3): return [(t(n), p(n), weight(n)) for n in (3, 2)]


image = lambda n: real((n, 2, 3, 2))
for name in ("MeanSquaredError", "MeanAbsoluteError", "MeanAbsolutePercentageError", "RootMeanSquaredError", "LogCoshError", "CosineSimilarity"):
    case(name, {}, updates(image, image))
positive = lambda n: unit((n, 2, 3, 2))
for name in ("MeanSquaredLogarithmicError", "Poisson"):
    case(name, {}, updates(positive, positive))
case("KLDivergence", {}, updates(lambda n: distribution((n, 4)), lambda n: distribution((n, 4))))
case("BinaryCrossentropy", {}, updates(lambda n: labels((n, 2, 3, 1), 2), lambda n: unit((n, 2, 3, 1))))
case("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, updates(lambda n: labels((n, 3), 2), lambda n: real((n, 3))))
case("CategoricalCrossentropy", {"from_logits": True}, updates(lambda n: one_hot((n, 2, 3), 4), lambda n: real((n, 2, 3, 4))))
case("SparseCategoricalCrossentropy", {}, updates(lambda n: labels((n, 2, 3), 4), lambda n: distribution((n, 2, 3, 4))))
for name in ("Hinge", "SquaredHinge"):
    case(name, {}, updates(lambda n: 2 * labels((n, 3), 2) - 1, lambda n: real((n, 3))))
case("CategoricalHinge", {}, updates(lambda n: one_hot((n,), 4), lambda n: real((n, 4))))
case("BinaryAccuracy", {"threshold": 0.4}, updates(lambda n: labels((n, 2, 3, 1), 2), lambda n: unit((n, 2, 3, 1))))
case("CategoricalAccuracy", {}, updates(lambda n: one_hot((n, 2, 3), 4), lambda n: distribution((n, 2, 3, 4))))
case("SparseCategoricalAccuracy", {}, updates(lambda n: labels((n, 2, 3), 4), lambda n: distribution((n, 2, 3, 4))))
whole = lambda n: np.ones((n, 2, 3), "float32") * rng.integers(1, 4, size=(n, 2, 3)).astype("float32")
case("IoU", {"num_classes": 4, "target_class_ids": [0, 2], "sparse_y_pred": False}, updates(lambda n: labels((n, 2, 3), 4), lambda n: unit((n, 2, 3, 4)), whole))
case("MeanIoU", {"num_classes": 4, "ignore_class": 1, "sparse_y_pred": False}, updates(lambda n: labels((n, 2, 3), 4), lambda n: unit((n, 2, 3, 4)), whole))
case("BinaryIoU", {"target_class_ids": [1], "threshold": 0.5}, updates(lambda n: labels((n, 2, 3), 2), lambda n: unit((n, 2, 3)), whole))
case("OneHotMeanIoU", {"num_classes": 4}, updates(lambda n: one_hot((n, 2, 3), 4), lambda n: unit((n, 2, 3, 4)), whole))
a, b = unit((2, 13, 14, 3)).round(3), unit((2, 13, 14, 3)).round(3)
b = (0.8 * a + 0.2 * b).round(3)
for name, value in (("PSNR", psnr(a, b, 1.0)), ("SSIM", ssim(a, b, 1.0))):
    cases.append({"class": name, "config": {"name": name.lower()}, "weighted": False, "result": value, "updates": [[array(a), array(b), array(unit((2,)))]]})

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "metrics.json"), "w") as f:
    json.dump({"keras": keras.__version__, "cases": cases}, f)
print(len(cases), "cases", file=sys.stderr)
