# SPDX-License-Identifier: Apache-2.0
"""The transposed convolution as XLA foreign functions, with its gradients, under jit, grad, vmap, checkpoint and sharding.

Three layers around each foreign function, from the inside: ``custom_partitioning`` says that the batch may be cut over devices
and that the gradients of kernel and bias are then summed over its pieces; ``custom_vmap`` folds a mapped axis of the input
into the batch, and maps over kernels one after another; ``custom_vjp`` ties forward and backward together.
"""
import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import NamedSharding, PartitionSpec

from .. import _core
from ._geometry import output_shape

for _name, _handler in _core.ffi_handlers().items():
    jax.ffi.register_ffi_target(_name, _handler, platform="cpu")


def _call(target, results, *arrays, geometry, **attributes):
    return jax.ffi.ffi_call(target, results)(*arrays, geometry=np.array(geometry, np.int64), **attributes)


def _forward(x, kernel, bias, geometry, relu):
    return _call("upconv_forward", jax.ShapeDtypeStruct(output_shape(x.shape, kernel.shape, geometry), x.dtype), x, kernel, bias, geometry=geometry,
                 relu=np.bool_(relu))


def _input_gradient(kernel, dy, geometry, x_shape):
    return _call("upconv_input_gradient", jax.ShapeDtypeStruct((dy.shape[0], *x_shape[1:]), dy.dtype), kernel, dy, geometry=geometry)


def _kernel_gradient(x, dy, geometry, kernel_shape, bias_shape):
    return tuple(_call("upconv_kernel_gradient", [jax.ShapeDtypeStruct(kernel_shape, dy.dtype), jax.ShapeDtypeStruct(bias_shape, dy.dtype)], x, dy,
                       geometry=geometry))


def _batch_axes(sharding):
    """The mesh axes over which a batch is cut."""
    spec = getattr(sharding, "spec", None)
    axis = spec[0] if spec else None
    return axis


def _partitioned(function, static, batched, results_batched, rule):
    """``function`` with its batch cut over devices. ``batched``: which arguments have a batch; ``results_batched``: which results;
    a result without one is summed over the pieces."""
    wrapped = custom_partitioning(function, static_argnums=static)

    def shardings(mesh, axis, flags, shapes):
        return tuple(NamedSharding(mesh, PartitionSpec(axis, *([None] * (len(s.shape) - 1))) if flag else PartitionSpec(*([None] * len(s.shape))))
                     for flag, s in zip(flags, shapes))

    def partition(*arguments):
        *statics, mesh, arg_shapes, result_shapes = arguments
        axis = next((_batch_axes(s.sharding) for flag, s in zip(batched, arg_shapes) if flag), None)
        several = isinstance(result_shapes, (tuple, list))
        results = result_shapes if several else (result_shapes,)
        out = shardings(mesh, axis, results_batched, results)

        def lower(*arrays):
            found = function(*arrays, *statics)
            found = found if several else (found,)
            found = tuple(f if flag or axis is None else jax.lax.psum(f, axis) for flag, f in zip(results_batched, found))
            return found if several else found[0]

        return mesh, lower, out if several else out[0], shardings(mesh, axis, batched, arg_shapes)

    def infer(*arguments):
        *_, mesh, arg_shapes, result_shapes = arguments
        axis = next((_batch_axes(s.sharding) for flag, s in zip(batched, arg_shapes) if flag), None)
        several = isinstance(result_shapes, (tuple, list))
        out = shardings(mesh, axis, results_batched, result_shapes if several else (result_shapes,))
        return out if several else out[0]

    factors = tuple(f for f in dict.fromkeys(rule.replace("->", " ").replace(",", " ").split()) if f != "n")
    wrapped.def_partition(partition=partition, infer_sharding_from_operands=infer, sharding_rule=rule, need_replication_factors=factors,
                          **({} if all(results_batched) else {"reduction_factors": ("n",)}))
    return wrapped


_forward_cut = _partitioned(_forward, (3, 4), (True, False, False), (True,), "n h w c, a b f c, g -> n i j k")
_input_gradient_cut = _partitioned(_input_gradient, (2, 3), (False, True), (True,), "a b f c, n i j k -> n h w d")
_kernel_gradient_cut = _partitioned(_kernel_gradient, (2, 3, 4), (True, True), (False, False), "n h w c, n i j k -> a b f d, g")


def _folding(function, batched, results_batched):
    """vmap: a mapped axis of the arguments with a batch is folded into it; where a kernel is mapped too, or a result has no batch,
    the calls follow one another."""
    mapped = jax.custom_batching.custom_vmap(function)

    @mapped.def_vmap
    def rule(size, in_batched, *arrays):
        folds = all(results_batched) and all(b == flag for b, flag in zip(in_batched, batched))
        if folds:
            flat = [a.reshape(-1, *a.shape[2:]) if flag else a for a, flag in zip(arrays, batched)]
            result = mapped(*flat)
            return result.reshape(size, -1, *result.shape[1:]), True
        whole = [a if b else jnp.broadcast_to(a, (size, *a.shape)) for a, b in zip(arrays, in_batched)]
        result = jax.lax.map(lambda arguments: mapped(*arguments), tuple(whole))
        return result, jax.tree.map(lambda _: True, result)

    return mapped


@functools.lru_cache(maxsize=None)
def _operation(geometry, relu):
    """The differentiable operation of one geometry, with relu behind it or not."""
    forward = _folding(lambda x, k, b: _forward_cut(x, k, b, geometry, relu), (True, False, False), (True,))

    @functools.lru_cache(maxsize=None)
    def input_gradient(x_shape):
        return _folding(lambda k, dy: _input_gradient_cut(k, dy, geometry, x_shape), (False, True), (True,))

    @functools.lru_cache(maxsize=None)
    def kernel_gradient(kernel_shape, bias_shape):
        return _folding(lambda x, dy: _kernel_gradient_cut(x, dy, geometry, kernel_shape, bias_shape), (True, True), (False, False))

    @jax.custom_vjp
    def operation(x, kernel, bias):
        return forward(x, kernel, bias)

    def fwd(x, kernel, bias):
        y = forward(x, kernel, bias)
        return y, (x, kernel, bias.shape, y if relu else None)

    def bwd(kept, dy):
        x, kernel, bias_shape, y = kept
        if relu:                                                           # whose slope its result tells
            dy = jnp.where(y > 0, dy, jnp.zeros_like(dy))
        dkernel, dbias = kernel_gradient(kernel.shape, bias_shape)(x, dy)
        return input_gradient((0, *x.shape[1:]))(kernel, dy), dkernel, dbias

    operation.defvjp(fwd, bwd)
    return operation


FUSES_RELU = COMPILES = True


def conv_transpose(x, kernel, bias, geometry, relu=False):
    """Keras's ``conv_transpose(x, kernel) + bias``, and relu of it where wanted; ``bias`` may be None."""
    x, kernel = jnp.asarray(x), jnp.asarray(kernel)
    bias = jnp.zeros((0,), x.dtype) if bias is None else jnp.asarray(bias, x.dtype)
    return _operation(tuple(geometry), relu)(x, kernel.astype(x.dtype), bias)


def supports(dtype):
    return dtype in ("float32", "float64", "float16", "bfloat16")


def on_cpu(x):
    return jax.default_backend() == "cpu"
