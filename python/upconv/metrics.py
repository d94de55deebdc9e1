# SPDX-License-Identifier: Apache-2.0
"""Names of metrics for ``Model.compile``: those of Keras, and ``psnr`` and ``ssim``. A metric is a name or a dictionary."""
import json

from . import _core


def serialize(metric):
    """Keras's dictionary of a metric's name.

    Examples
    --------
    >>> import upconv
    >>> upconv.metrics.serialize("mae")["class_name"]
    'MeanAbsoluteError'
    """
    return json.loads(_core.metric_config(json.dumps(metric)))
