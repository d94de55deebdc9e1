# SPDX-License-Identifier: Apache-2.0
"""Writes loss_edges.json: what Keras's losses say, value and gradient, where shapes are squeezed, axes are not the last, weights
broadcast, classes are ignored, labels are odd, and predictions lie on kinks. A number that JSON lacks is null."""
import json
import math
import os
import warnings

os.environ.setdefault("KERAS_BACKEND", "jax")
import jax
import keras
import numpy as np

warnings.simplefilter("ignore")
rng = np.random.default_rng(5)
cases = []
normal = rng.standard_normal


def unit(shape): return rng.uniform(0.02, 0.98, shape)
def one_hot(shape, n): return np.eye(n)[rng.integers(0, n, shape)]
def distribution(shape): x = unit(shape); return x / x.sum(-1, keepdims=True)


def array(a):
    a = np.asarray(a, np.float32)
    return {"shape": list(a.shape), "values": [float(str(x)) if math.isfinite(x) else None for x in a.ravel()]}


def case(note, class_name, args, y_true, y_pred, weight=None, reduction="sum_over_batch_size"):
    y_true, y_pred = np.asarray(y_true, np.float32), np.asarray(y_pred, np.float32)
    weight = None if weight is None else np.asarray(weight, np.float32)
    c = {"note": note, "class": class_name, "args": {**args, "reduction": reduction}, "y_true": array(y_true), "y_pred": array(y_pred),
         "sample_weight": None if weight is None else array(weight)}
    try:
        loss = getattr(keras.losses, class_name)(**{k: tuple(v) if isinstance(v, list) else v for k, v in c["args"].items()})
        value, gradient = jax.value_and_grad(lambda p: jax.numpy.sum(loss(y_true, p, sample_weight=weight)))(y_pred)
        c["value"], c["gradient"] = array(value)["values"][0], array(gradient)
    except (TypeError, ValueError) as e:
        c["error"] = str(e).splitlines()[0]
    cases.append(c)


for logits in (False, True):
    for smoothing in (0.0, 0.2):
        for axis in (-1, 1):
            for name in ("CategoricalCrossentropy", "CategoricalFocalCrossentropy", "BinaryCrossentropy", "BinaryFocalCrossentropy"):
                case("axis, smoothing", name, {"from_logits": logits, "label_smoothing": smoothing, "axis": axis}, one_hot((2, 3), 4),
                     normal((2, 3, 4)) if logits else distribution((2, 3, 4)))
for gamma in (0.0, 0.5, 1.0, 2.5):
    case("gamma", "BinaryFocalCrossentropy", {"gamma": gamma}, [[0, 1, 1, 0]], [[0.1, 0.9, 0.3, 0.8]])
    case("gamma, sure", "BinaryFocalCrossentropy", {"gamma": gamma}, [[0, 1, 1, 0]], [[0, 1, 0.3, 0.8]])
    case("gamma", "CategoricalFocalCrossentropy", {"gamma": gamma}, one_hot((3,), 4), distribution((3, 4)))
    case("gamma, sure", "BinaryFocalCrossentropy", {"gamma": gamma, "from_logits": True}, [[0, 1, 1, 0]], [[30, -30, 0.3, 0.8]])
case("zero y_true", "CosineSimilarity", {}, [[1, 2, 3], [0, 0, 0]], [[1, -2, 3], [1, 2, 3]])
case("zero y_pred", "CosineSimilarity", {}, [[1, 2, 3], [1, 1, 0]], [[1, -2, 3], [0, 0, 0]])
for name in ("MeanSquaredError", "KLDivergence", "CosineSimilarity", "BinaryCrossentropy"):
    for t, p in (((2, 4), (2, 4, 1)), ((4,), (4, 1)), ((4, 1), (4,)), ((2, 4, 1), (2, 4)), ((4,), (4,)), ((2, 3, 1), (2, 3, 1))):
        case("squeezed", name, {}, unit(t), unit(p))
    case("broadcast", name, {}, unit((2, 1)), unit((2, 3)))
for shape in ((4,), (4, 1)):
    for logits in (False, True):
        case("sparse", "SparseCategoricalCrossentropy", {"from_logits": logits}, rng.integers(0, 3, shape), normal((4, 3)) if logits else distribution((4, 3)))
case("odd labels", "SparseCategoricalCrossentropy", {"from_logits": True}, [0, 1.9, -1, 3], normal((4, 3)))
case("sparse along an axis", "SparseCategoricalCrossentropy", {"from_logits": True, "axis": 1}, rng.integers(0, 3, (2, 3)), normal((2, 3, 3)))
for reduction in ("sum_over_batch_size", "sum", "mean_with_sample_weight", "none"):
    for shape in ((4,), (4, 1), (1,), ()):
        case("weights", "MeanSquaredError", {}, normal((4, 3)), normal((4, 3)), unit(shape), reduction)
        case("weights", "MeanSquaredError", {}, normal((4, 1, 3)), normal((4, 1, 3)), unit(shape), reduction)
        case("weights", "Dice", {}, unit((4, 3)), unit((4, 3)), unit(shape), reduction)
    for weight in (None, unit((4,)), unit((4, 1))):
        case("ignored", "SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 0}, [0, 1, 2, 0], normal((4, 3)), weight, reduction)
    for weight in (unit((2, 1)), unit((2, 3)), unit((2, 1, 1)), unit((1, 3))):
        case("ignored", "SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, rng.integers(0, 3, (2, 3)), normal((2, 3, 3)), weight, reduction)
    case("no weight", "MeanSquaredError", {}, normal((4, 3)), normal((4, 3)), np.zeros(4), reduction)
    case("all ignored", "SparseCategoricalCrossentropy", {"ignore_class": 0}, [0, 0], distribution((2, 3)), None, reduction)
for name in ("Hinge", "SquaredHinge"):
    case("kink", name, {}, [[1, -1, 1]], [[1, -1, 0.5]])
    case("mixed labels", name, {}, [[1, -1, 0]], [[1, -1, 0.5]])
case("kink", "CategoricalHinge", {}, [[0, 1, 0, 0]], [[0.5, 0.2, 0.5, 0.1]])
case("kink", "CategoricalHinge", {}, [[0, 1]], [[0, 1]])
low = np.float32(1e-7)
high = np.float32(1) - low
for name in ("BinaryCrossentropy", "KLDivergence", "CategoricalCrossentropy", "MeanSquaredLogarithmicError", "Poisson"):
    case("clip", name, {}, [[1, 0, 0.5, 0.3]], [[low, high, 1, 0]])
    case("clip", name, {}, [[0, 1, 1, 0]], [[0, 1, high, low]])
case("big", "BinaryCrossentropy", {"from_logits": True}, [[0, 1, 1, 0]], [[100, -100, 100, -100]])
case("big", "CategoricalCrossentropy", {"from_logits": True}, [[0, 1, 0]], [[1000, -1000, 0]])
case("big", "LogCosh", {}, [[0, 0, 0, 0]], [[50, -50, 1e-4, -3]])
case("kink", "Huber", {"delta": 0.0}, [[0, 0]], [[1, 0]])
for axis in ([-1], [1], [0, 1], [1, 2], -1, [-2, -1]):
    case("axes", "Dice", {"axis": axis}, unit((2, 3, 4)), unit((2, 3, 4)))
    case("axes", "Tversky", {"axis": axis, "alpha": 0.2}, unit((2, 3, 4)), unit((2, 3, 4)))
for name in ("MeanSquaredError", "Dice", "CategoricalCrossentropy"):
    case("empty", name, {}, np.zeros((0, 3)), np.zeros((0, 3)))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "loss_edges.json"), "w") as f:
    json.dump({"keras": keras.__version__, "cases": cases}, f, separators=(",", ":"))
print(len(cases), "cases,", sum("error" in c for c in cases), "refused")
