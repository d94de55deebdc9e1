# SPDX-License-Identifier: Apache-2.0
"""Process-wide settings, as ``keras.config``."""
from . import _core

epsilon = _core.epsilon
set_epsilon = _core.set_epsilon
image_data_format = _core.image_data_format
set_image_data_format = _core.set_image_data_format
dtype_policy = _core.floatx
set_dtype_policy = _core.set_dtype_policy
available_isas = _core.available_isas
isa = _core.default_isa
set_isa = _core.set_isa
