# SPDX-License-Identifier: Apache-2.0
"""Runs a Keras model without Keras: doubles the size of the bundled photographs' grey values.

    python examples/python/enlarge_photo.py
"""
import os

import numpy as np

import upconv

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")

model = upconv.load_model(os.path.join(MODELS, "superres.keras"))
model.summary()
small = np.load(os.path.join(MODELS, "superres_input.npy"))          # (2, 128, 128, 1): astronaut, coffee; grey / 255
large = model.predict(small)
expected = np.load(os.path.join(MODELS, "superres_expected.npy"))    # what Keras computed
print(f"{small.shape} -> {large.shape}, largest difference to Keras {np.abs(large - expected).max():.1e}")
