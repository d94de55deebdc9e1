# SPDX-License-Identifier: Apache-2.0
"""Under TensorFlow: numpy_function with a custom gradient. XLA cannot compile it, so such models run with jit_compile=False."""
import tensorflow as tf

from . import _eager
from ._geometry import output_shape

FUSES_RELU = COMPILES = False


def conv_transpose(x, kernel, bias, geometry):
    """Keras's ``conv_transpose(x, kernel) + bias``; ``bias`` may be None."""
    x = tf.convert_to_tensor(x)
    kernel = tf.cast(tf.convert_to_tensor(kernel), x.dtype)
    bias = None if bias is None else tf.cast(tf.convert_to_tensor(bias), x.dtype)

    @tf.custom_gradient
    def operation(x, kernel, *rest):
        y = tf.numpy_function(lambda a, k, *b: _eager.forward(a, k, b[0] if b else None, geometry), [x, kernel, *rest], x.dtype)
        known = x.shape.as_list()
        sizes = [1 if d is None else d for d in known]
        shape = output_shape(sizes, kernel.shape, geometry)
        depends = [known[0] is None] + ([False, known[2] is None, known[3] is None] if geometry[7] else [known[1] is None, known[2] is None, False])
        y.set_shape([None if unknown else d for unknown, d in zip(depends, shape)])

        def gradient(dy):
            dx, dk, db = tf.numpy_function(lambda a, k, d: _eager.backward(a, k, d, geometry), [x, kernel, dy], [x.dtype] * 3)
            dx.set_shape(x.shape), dk.set_shape(kernel.shape)
            if not rest:
                return dx, dk
            db.set_shape(rest[0].shape)
            return dx, dk, db

        return y, gradient

    return operation(x, kernel) if bias is None else operation(x, kernel, bias)


def supports(dtype):
    return dtype in ("float32", "float64", "float16")


def on_cpu(x):
    return not tf.config.list_logical_devices("GPU")
