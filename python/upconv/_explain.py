# SPDX-License-Identifier: Apache-2.0
import json

from . import _core


class Explanation:
    """A picture of how a layer makes its output; a notebook shows it, ``save`` writes it."""

    def __init__(self, svg, text):
        self.svg, self.text = svg, text

    def _repr_svg_(self):
        return self.svg

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.svg)

    def __repr__(self):
        return self.text


def explain(layer, input_shape):
    """Draws input cells, kernel windows and output cells of ``layer`` for a whole ``input_shape``.

    Examples
    --------
    >>> import upconv
    >>> upconv.explain(upconv.layers.Conv2DTranspose(1, 3, 2), (1, 4, 4, 1))
    (1, 4, 4, 1) -> (1, 9, 9, 1): kernel 3 x 3, strides 2 x 2, valid
    """
    shape = [1 if d is None else int(d) for d in input_shape]
    config = layer.get_config()
    text = (f"{tuple(shape)} -> {layer.compute_output_shape(shape)}: kernel {config['kernel_size'][0]} x {config['kernel_size'][1]}, "
            f"strides {config['strides'][0]} x {config['strides'][1]}, {config['padding']}")
    return Explanation(_core.explain_svg(json.dumps(config), shape), text)
