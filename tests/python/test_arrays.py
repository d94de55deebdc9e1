# SPDX-License-Identifier: Apache-2.0
"""Arrays at the border: what is shared and what is copied, what is refused, and what happens when somebody else writes, calls or interrupts."""
import concurrent.futures
import gc
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import upconv
from upconv import _arrays
from upconv.layers import Conv2DTranspose


class DLPackOnly:
    """An array that knows DLPack and nothing else."""

    def __init__(self, array, device=None):
        self.array, self.device = array, device

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.device or self.array.__dlpack_device__()


def shares(x):
    """Whether the core would see the memory of `x` itself."""
    return np.shares_memory(_arrays.prepared(x)[0], np.from_dlpack(x) if isinstance(x, DLPackOnly) else np.asarray(x))


def test_no_copy_where_layout_and_dtype_allow():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")
    frozen = x.copy()
    frozen.flags.writeable = False
    for same in (x, x.astype("float64"), x.astype("float16"), frozen, memoryview(x), DLPackOnly(x), x[1:]):
        assert shares(same)
    for copied in (x[:, ::2], x.transpose(0, 3, 1, 2), x[::-1], x.astype("int32"), x.astype(">f4")):
        assert not shares(copied)
    ml_dtypes = pytest.importorskip("ml_dtypes")
    half = x.astype(ml_dtypes.bfloat16)
    bits, is_bfloat16 = _arrays.prepared(half)
    assert is_bfloat16 and np.shares_memory(bits, half)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_any_layout_gives_the_same_bits(dtype):
    x = np.random.default_rng(1).normal(size=(2, 5, 4, 6)).astype(dtype)
    layer = Conv2DTranspose(3, 3, 2, "same", dtype=dtype)
    expected = layer(x)
    twice = np.repeat(np.repeat(x, 2, 1), 2, 3)
    for view in (np.asfortranarray(x), twice[:, ::2, :, ::2], x[:, ::-1][:, ::-1], np.ascontiguousarray(x[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1],
                 np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 3, 0)), 0, 3), memoryview(x), DLPackOnly(x), DLPackOnly(x[::-1].copy()[::-1])):
        np.testing.assert_array_equal(layer(view), expected)
        np.testing.assert_array_equal(layer.forward(view)[0], expected)
    broadcast = np.broadcast_to(x[:1, :1], (2, 5, 4, 6))
    np.testing.assert_array_equal(layer(broadcast), layer(broadcast.copy()))


def test_inputs_are_never_written_to_and_outputs_are_their_own():
    x = np.random.default_rng(2).normal(size=(1, 4, 4, 2)).astype("float32")
    before = x.copy()
    layer = Conv2DTranspose(2, 2, activation="relu")
    y, tape = layer.forward(x)
    x[:] = 0                                           # the tape holds a copy
    g = layer.backward(np.ones_like(y), tape)
    np.testing.assert_array_equal(g.kernel, layer.backward(np.ones_like(y), layer.forward(before)[1]).kernel)
    assert y.flags.writeable and y.flags.owndata or y.base is not None
    kept = y.copy()
    del layer, tape
    gc.collect()
    np.testing.assert_array_equal(y, kept)
    weights = Conv2DTranspose(1, 2, kernel_initializer="ones")
    weights.build((1, 2, 2, 1))
    weights.get_weights()[0][:] = 7                    # a copy
    assert np.all(weights.kernel.numpy() == 1)


@pytest.mark.parametrize("wrong", [np.array([[[[object()]]]]), np.array([[[["a"]]]]), np.ones((1, 2, 2, 3), "complex64"), np.ones((1, 2, 2, 3), "M8[s]"),
                                   np.zeros((1, 2, 2, 3), [("a", "f4")]), np.ones((1, 2, 2, 3), np.longdouble), [[1, 2], [3]], {"a": 1}, "text", b"bytes"],
                         ids=lambda w: f"{type(w).__name__} {getattr(w, 'dtype', '')}")
def test_wrong_kinds_of_arrays(wrong):
    layer = Conv2DTranspose(1, 2)
    for use in (layer, layer.forward, upconv.activations.relu, lambda v: upconv.Sequential([Conv2DTranspose(1, 2)]).predict(v)):
        with pytest.raises((TypeError, ValueError)):
            use(wrong)
    layer.build((1, 2, 2, 3))
    with pytest.raises((TypeError, ValueError)):
        layer.set_weights([wrong, np.ones(1)])


def test_wrong_ranks_and_sizes():
    layer = Conv2DTranspose(2, 2)
    layer.build((None, 2, 2, 3))
    for shape in ((), (3,), (2, 2, 3), (1, 2, 2, 3, 1), (1, 2, 2, 4), (1,) * 9, (1,) * 20):
        with pytest.raises(ValueError):
            layer(np.ones(shape, "float32"))
    assert layer(np.ones((0, 2, 2, 3), "float32")).shape == (0, 3, 3, 2)
    huge = np.broadcast_to(np.float32(0), (1 << 18, 1 << 20, 1 << 20, 3))          # of no memory, and its copy of more than there is
    for use in (layer, layer.forward):
        with pytest.raises((MemoryError, ValueError)):
            use(huge)
    for shape in ((None, None), (None, -1, 2, 3), (None, 2, 2, "3x"), (None, 2, 2, 1 << 70), (None, 2, 2.5, 3)):
        for use in (Conv2DTranspose(2, 2).build, Conv2DTranspose(2, 2).compute_output_shape):
            with pytest.raises((ValueError, TypeError)):
                use(shape)
    with pytest.raises((ValueError, OverflowError, MemoryError)):
        Conv2DTranspose(1 << 40, 1 << 20).build((1, 2, 2, 1 << 40))
    with pytest.raises((ValueError, OverflowError)):
        layer.compute_output_shape((1 << 62, 1 << 62, 1 << 62, 3))


def test_wrong_device_and_released_memory():
    layer = Conv2DTranspose(1, 2)
    x = np.ones((1, 2, 2, 3), "float32")
    with pytest.raises(ValueError, match="memory of the CPU"):
        layer(DLPackOnly(x, device=(2, 0)))             # CUDA
    released = memoryview(x)
    released.release()
    with pytest.raises(ValueError):
        layer(released)
    buffer = bytearray(48)
    held = memoryview(buffer).cast("f", (1, 2, 2, 3))
    assert layer(held).shape == (1, 3, 3, 1)
    held.release()
    buffer.clear()                                     # nothing kept the buffer
    _, tape = layer.forward(x)
    for wrong in (np.ones((1, 2, 2, 3)), np.ones((1, 3, 3, 2)), np.ones((2, 3, 3, 1))):
        with pytest.raises(ValueError):
            layer.backward(wrong, tape)
    with pytest.raises(TypeError):
        layer.backward(np.ones((1, 3, 3, 1)), "no tape")
    with pytest.raises((ValueError, RuntimeError)):
        Conv2DTranspose(1, 3).backward(np.ones((1, 3, 3, 1)), tape)


def test_weights_of_wrong_counts_and_shapes_change_nothing():
    layer = Conv2DTranspose(2, 3)
    model = upconv.Sequential([layer, Conv2DTranspose(1, 2)], input_shape=(3, 3, 4))
    for thing in (layer, model):
        before = thing.get_weights()
        for wrong in ([], before[:-1], before + [np.ones(1)], [before[0].T, *before[1:]], [None, *before[1:]], [np.ones(1)] * len(before), 3,
                      [before[0], *[np.ones(7)] * (len(before) - 1)]):
            with pytest.raises((ValueError, TypeError)):
                thing.set_weights(wrong)
        for a, b in zip(thing.get_weights(), before):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError):
        layer.kernel.assign(np.ones((1, 1)))
    with pytest.raises(ValueError):
        Conv2DTranspose(2, 3).set_weights([np.ones((3, 3, 2, 4)), np.ones(2)])


def test_out_of_wrong_kinds():
    layer, x = Conv2DTranspose(2, 2), np.ones((1, 3, 3, 2), "float32")
    y = layer(x)
    frozen = y.copy()
    frozen.flags.writeable = False
    for wrong in (frozen, y[:, ::2], y.astype("float64"), y[:0], y.tolist(), np.asfortranarray(y), y[..., None], np.empty(y.shape, object)):
        with pytest.raises((ValueError, TypeError)):
            layer(x, out=wrong)


def test_arrays_that_change_during_calls():
    """Numbers may be any mixture then; nothing crashes, and the next call is right again."""
    layer, x = Conv2DTranspose(16, 4, 2, "same"), np.random.default_rng(3).normal(size=(2, 32, 32, 16)).astype("float32")
    kept, expected = x.copy(), layer(x)
    weights, done = layer.get_weights(), threading.Event()

    def disturb():
        while not done.is_set():
            x[:] = -x
            layer.set_weights(weights)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(30):
            assert layer(x).shape == expected.shape
            y, tape = layer.forward(x)
            layer.backward(y, tape)
    finally:
        done.set()
        thread.join()
    np.testing.assert_array_equal(layer(kept), expected)


def test_threads_scale_and_agree():
    layer = Conv2DTranspose(32, 4, 2, padding="same")
    x = np.random.default_rng(3).normal(size=(1, 48, 48, 64)).astype("float32")
    expected, _ = layer(x), upconv.set_threads(1)

    def seconds(workers, calls=24):
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            started = time.perf_counter()
            for y in list(pool.map(lambda _: layer(x, threads=1), range(calls))):
                np.testing.assert_array_equal(y, expected)
            return time.perf_counter() - started

    try:
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        alone, together = min(seconds(1) for _ in range(3)), min(seconds(2) for _ in range(3))
        print(f"24 calls: one thread {alone * 1e3:.0f} ms, two threads {together * 1e3:.0f} ms")
        if processors >= 2 and os.getloadavg()[0] < processors / 2:      # a busy machine cannot show it
            assert together < 0.8 * alone
    finally:
        upconv.set_threads(0)


class Interrupted:
    """A run that a SIGINT ends, 0.3 s after it started ``timer``: how long after the signal, and how many batches ended after it."""

    def __init__(self, run):
        self.sent, self.batches = None, []
        self.timer = threading.Timer(0.3, self.interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(self)
        self.delay = time.monotonic() - self.sent
        self.timer.join()
        self.later = sum(b > self.sent for b in self.batches)

    def interrupt(self):
        self.sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("what", ["fit", "evaluate", "predict"])
def test_an_interrupt_is_seen_within_a_batch_and_200_ms(what):
    """The data are 500 batches of some milliseconds: an interrupt that only their end shows comes too late."""
    model = upconv.Sequential([Conv2DTranspose(16, 5, 2, "same"), Conv2DTranspose(16, 5, padding="same"), Conv2DTranspose(4, 3, padding="same")],
                              input_shape=(16, 16, 4))
    model.compile("sgd", "mse")
    x, y = np.zeros((4000, 16, 16, 4), "float32"), np.zeros((4000, 32, 32, 4), "float32")

    class Clock(upconv.callbacks.Callback):
        def __init__(self, run):
            self.run = run

        def on_train_batch_end(self, batch, logs=None):
            if not self.run.batches:
                self.run.timer.start()
            self.run.batches.append(time.monotonic())

    def work(run):
        if what == "fit":
            model.fit(x, y, 8, epochs=1000, verbose=0, callbacks=[Clock(run)])
        run.timer.start()
        for _ in range(1000):
            model.evaluate(x, y, 8) if what == "evaluate" else model.predict(x, 8)

    def seconds_of_a_batch():
        started = time.monotonic()
        one = {"fit": model.train_on_batch, "evaluate": model.evaluate, "predict": lambda x, y: model.predict(x)}[what]
        one(x[:8], y[:8])
        return time.monotonic() - started

    before = model.get_weights() if what != "fit" else []
    for attempt in range(5):                           # on a busy machine any batch may wait that long for a processor
        run, batch = Interrupted(work), max(seconds_of_a_batch() for _ in range(3))
        assert run.later <= 1, "the batch in which it came is the last"
        if run.delay < batch + 0.2:
            break
    assert run.delay < batch + 0.2
    if what == "fit":
        assert model.train_on_batch(x[:4], y[:4])["loss"] >= 0          # it goes on after that
    else:
        for a, b in zip(model.get_weights(), before):
            np.testing.assert_array_equal(a, b)
