# SPDX-License-Identifier: Apache-2.0
"""A torch.nn.ConvTranspose2d's weights in a Keras layer, without torch: its operation is written out in NumPy.

    python examples/python/convert_torch.py
"""
import numpy as np

import upconv

rng = np.random.default_rng(0)
weight, bias = rng.normal(size=(8, 5, 4, 4)), rng.normal(size=5)      # torch: (in, out, kh, kw), stride 2, padding 1
x = rng.normal(size=(1, 8, 6, 7))                                     # torch: (n, channels, h, w)

full = np.zeros((1, 5, 2 * 6 + 2, 2 * 7 + 2))
for i in range(6):
    for j in range(7):
        full[:, :, 2 * i:2 * i + 4, 2 * j:2 * j + 4] += np.einsum("nc,coab->noab", x[:, :, i, j], weight)
torch_output = full[:, :, 1:-1, 1:-1] + bias[:, None, None]

padding, output_padding = upconv.convert.padding_from_torch(kernel_size=4, stride=2, padding=1)
layer = upconv.layers.Conv2DTranspose(5, 4, 2, padding, output_padding=output_padding, data_format="channels_first", dtype="float64")
layer.build((None, 8, None, None))
layer.set_weights([upconv.convert.kernel_from_torch(weight), bias])
print(f"padding={padding!r}, output_padding={output_padding}: largest difference {np.abs(layer(x) - torch_output).max():.1e}")
