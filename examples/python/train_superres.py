# SPDX-License-Identifier: Apache-2.0
"""Trains the super-resolution model further on the photograph of the astronaut, halved by averaging, and saves it for Keras.

    python examples/python/train_superres.py [--epochs 3] [--out trained.keras]
"""
import argparse
import os

import numpy as np

import upconv

MODELS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "models")
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--out", default="trained.keras")
arguments = parser.parse_args()

photo = np.load(os.path.join(MODELS, "superres_expected.npy"))[0, :, :, 0]          # 256 x 256
rng = np.random.default_rng(0)
corners = rng.integers(0, (256 - 64) // 2, size=(128, 2)) * 2
y = np.stack([photo[r:r + 64, c:c + 64] for r, c in corners])[..., None]
x = y.reshape(len(y), 32, 2, 32, 2, 1).mean(axis=(2, 4))

model = upconv.load_model(os.path.join(MODELS, "superres.keras"))
model.compile(upconv.optimizers.Adam(upconv.optimizers.schedules.CosineDecay(2e-4, 100)), "mse", metrics=["psnr"])
before = model.evaluate(x, y, return_dict=True)
model.fit(x, y, batch_size=16, epochs=arguments.epochs, validation_data=(x[:16], y[:16]))
after = model.evaluate(x, y, return_dict=True)
print(f"PSNR {before['psnr']:.2f} -> {after['psnr']:.2f} dB")
model.save(arguments.out)
print(f"{arguments.out}: open it with keras.saving.load_model")
