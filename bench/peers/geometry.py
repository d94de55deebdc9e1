# SPDX-License-Identifier: Apache-2.0
"""A layer of a shapes file, its data, and the specification that every engine's output is held to."""
import csv
import math

import numpy as np

INTS = "n h w c f kh kw sh sw".split()


def axis(n, k, s, padding):
    """(output size, crop before, crop after); a negative crop after means bias-only cells."""
    natural = (n - 1) * s + k
    if padding == "same":
        out, lo = n * s, max(natural - n * s, 0) // 2
    else:
        out, lo = (n - 1) * s + max(k, s), 0
    return out, lo, natural - out - lo


class Shape:
    def __init__(self, row):
        self.name, self.padding, self.activation = row["name"], row["padding"], row["activation"]
        for key in INTS:
            setattr(self, key, int(row[key]))
        self.oh, self.top, self.bottom = axis(self.h, self.kh, self.sh, self.padding)
        self.ow, self.left, self.right = axis(self.w, self.kw, self.sw, self.padding)
        self.relu = self.activation == "relu"
        if self.activation not in ("relu", "linear"):
            raise ValueError(f"{self.name}: activation must be relu or linear")

    @property
    def flop(self):
        return 2 * self.n * self.h * self.w * self.kh * self.kw * self.c * self.f

    @property
    def bytes(self):
        return 4 * (self.n * self.h * self.w * self.c + self.kh * self.kw * self.c * self.f + self.f
                    + self.n * self.oh * self.ow * self.f)

    def row(self):
        keys = ["name", *INTS, "padding", "activation"]
        return {k: getattr(self, k) for k in keys}


def make_data(s, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((s.n, s.h, s.w, s.c), np.float32)
    k = rng.standard_normal((s.kh, s.kw, s.f, s.c), np.float32)
    k *= 1 / math.sqrt(s.c * max(1, s.kh // s.sh) * max(1, s.kw // s.sw))
    b = rng.standard_normal(s.f, np.float32)
    return x, k, b


def reference(s, x, k, b):
    """GEMM per kernel tap, scattered into the uncropped output, then cropped."""
    full = np.zeros((s.n, (s.h - 1) * s.sh + max(s.kh, s.sh), (s.w - 1) * s.sw + max(s.kw, s.sw), s.f),
                    np.float32)
    flat = x.reshape(-1, s.c)
    for i in range(s.kh):
        for j0 in range(0, s.kw, 16):
            taps = k[i, j0:j0 + 16].reshape(-1, s.c)
            part = (flat @ taps.T).reshape(s.n, s.h, s.w, -1, s.f)
            for j in range(part.shape[3]):
                full[:, i:i + (s.h - 1) * s.sh + 1:s.sh,
                     j0 + j:j0 + j + (s.w - 1) * s.sw + 1:s.sw] += part[:, :, :, j]
    y = full[:, s.top:s.top + s.oh, s.left:s.left + s.ow] + b
    return np.maximum(y, 0) if s.relu else y


def load_shapes(path, only=""):
    """The layers of a CSV file with the columns of `upconv bench --shapes`; `only`: names, comma between them."""
    with open(path, newline="") as file:
        shapes = [Shape(row) for row in csv.DictReader(line for line in file if not line.startswith("#"))]
    chosen = [s for s in shapes if not only or s.name in only.split(",")]
    if not chosen:
        raise SystemExit(f"{path}: no layer is named {only}; it has {', '.join(s.name for s in shapes)}")
    return chosen
