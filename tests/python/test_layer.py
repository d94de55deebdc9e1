# SPDX-License-Identifier: Apache-2.0
"""The layer from Python: signature, arrays, functions, configuration, errors."""
import concurrent.futures
import copy
import pickle
import threading

import numpy as np
import pytest

import upconv
from upconv.layers import Conv2DTranspose


def reference(x, kernel, bias, s):
    """'valid' by its definition, in float64."""
    n, h, w, _ = x.shape
    kh, kw, f, _ = kernel.shape
    out = np.zeros((n, (h - 1) * s + max(kh, s), (w - 1) * s + max(kw, s), f))
    for i in range(h):
        for j in range(w):
            out[:, i * s:i * s + kh, j * s:j * s + kw] += np.einsum("nc,abfc->nabf", x[:, i, j].astype("float64"), kernel.astype("float64"))
    return out + bias


def test_the_documentation_page_unchanged():
    import upconv as keras
    x = np.random.rand(4, 10, 8, 128)
    y = keras.layers.Conv2DTranspose(32, 2, 2, activation='relu')(x)
    assert y.shape == (4, 20, 16, 32)


@pytest.mark.parametrize("k,s", [(2, 2), (3, 2), (4, 2), (3, 1), (2, 3), (5, 3)])
def test_numbers(k, s):
    rng = np.random.default_rng(k * 10 + s)
    x = rng.normal(size=(2, 4, 5, 3)).astype("float32")
    layer = Conv2DTranspose(6, k, s, bias_initializer="ones")
    np.testing.assert_allclose(layer(x), reference(x, layer.kernel.numpy(), layer.bias.numpy(), s), rtol=1e-5, atol=1e-6)


def test_fifth_position_and_unknown_keywords():
    with pytest.raises(TypeError, match="Keras 3.11 moved.*output_padding=.*data_format="):
        Conv2DTranspose(1, 2, 2, "same", None)
    with pytest.raises(ValueError, match=r"Unrecognized keyword arguments passed to Conv2DTranspose: \{'foo': 1\}"):
        Conv2DTranspose(1, 2, foo=1)
    with pytest.raises(ValueError, match="strides > 1"):
        Conv2DTranspose(1, 2, strides=2, dilation_rate=2)


def test_arrays_of_all_kinds_give_the_same_numbers():
    x = np.random.default_rng(0).normal(size=(2, 6, 5, 4)).astype("float32")
    layer = Conv2DTranspose(3, 3, 2)
    y = layer(x)
    frozen = x.copy()
    frozen.flags.writeable = False
    wide = np.zeros((2, 6, 5, 8), "float32")
    wide[..., ::2] = x
    for same in (frozen, np.asfortranarray(x), wide[..., ::2], x[::-1][::-1], x.tolist(), memoryview(x), x.astype(">f4")):
        np.testing.assert_array_equal(layer(same), y)
    np.testing.assert_allclose(layer(x.astype("float64")), y, rtol=1e-6, atol=1e-6)
    assert layer(np.ones((1, 6, 5, 4), "int32")).dtype == np.float32
    ml_dtypes = pytest.importorskip("ml_dtypes")
    half = Conv2DTranspose(3, 3, 2, dtype="bfloat16")
    out = half(x.astype(ml_dtypes.bfloat16))
    assert out.dtype == ml_dtypes.bfloat16 and half.get_weights()[0].dtype == ml_dtypes.bfloat16
    assert Conv2DTranspose(3, 3, dtype="float16")(x).dtype == np.float16


def test_jax_arrays():
    jnp = pytest.importorskip("jax.numpy")
    x = np.random.default_rng(0).normal(size=(1, 3, 3, 2)).astype("float32")
    layer = Conv2DTranspose(2, 2)
    np.testing.assert_array_equal(layer(jnp.asarray(x)), layer(x))


def test_wrong_arrays_are_python_errors():
    layer = Conv2DTranspose(1, 2)
    layer(np.ones((1, 2, 2, 3), "float32"))
    for wrong in (np.array([object()]), np.array(["a"]), np.ones((1, 2, 2, 3), complex), np.ones((2, 2, 3)), np.ones((1, 2, 2, 4)), np.ones((1, 2, 2, 3, 1))):
        with pytest.raises((ValueError, TypeError)):
            layer(wrong)
    with pytest.raises(ValueError):
        layer.set_weights([np.ones((2, 2, 1, 3))])
    with pytest.raises(ValueError):
        layer.set_weights([np.ones((2, 2, 3, 1)), np.ones(1)])
    with pytest.raises(ValueError):
        layer(np.ones((1, 2, 2, 3)), algorithm="no_such")
    released = memoryview(bytearray(96))
    released.release()
    with pytest.raises(ValueError):
        layer(released)
    with pytest.raises(ValueError):
        Conv2DTranspose(1, 2).count_params()


def test_out_is_filled_in_place():
    layer = Conv2DTranspose(2, 2, 2)
    x = np.random.rand(1, 3, 3, 4).astype("float32")
    y = layer(x)
    out = np.empty_like(y)
    assert layer(x, out=out) is out
    np.testing.assert_array_equal(out, y)
    with pytest.raises(ValueError):
        layer(x, out=np.empty((1, 2, 2, 2), "float32"))
    with pytest.raises(ValueError):
        layer(x, out=np.asfortranarray(out))


def test_results_own_their_memory():
    layer = Conv2DTranspose(2, 2)
    y = layer(np.ones((1, 3, 3, 1), "float32"))
    kept = y.copy()
    del layer
    y2 = Conv2DTranspose(2, 2)(np.ones((1, 30, 30, 1), "float32"))
    np.testing.assert_array_equal(y, kept)
    y2[:] = 0


def test_gradients_are_difference_quotients():
    rng = np.random.default_rng(1)
    layer = Conv2DTranspose(2, 3, 2, padding="same", activation="tanh", dtype="float64")
    x, dy = rng.normal(size=(1, 3, 2, 2)), rng.normal(size=(1, 6, 4, 2))
    y, tape = layer.forward(x)
    g = layer.backward(dy, tape)
    h = 1e-6
    for array, gradient in ((x, g.input), (None, g.kernel), (None, g.bias)):
        index = 0 if array is not None else (0 if gradient is g.kernel else 1)
        values = x if array is not None else layer.get_weights()[index]
        for i in range(0, values.size, 3):
            def shifted(d):
                v = values.copy()
                v.flat[i] += d
                if array is not None:
                    return (layer(v) * dy).sum()
                weights = layer.get_weights()
                weights[index] = v
                other = copy.deepcopy(layer)
                other.set_weights(weights)
                return (other(x) * dy).sum()
            assert abs((shifted(h) - shifted(-h)) / (2 * h) - gradient.flat[i]) < 1e-6


def test_configuration_and_copies():
    layer = Conv2DTranspose(3, (2, 3), 2, "SAME", output_padding=1, activation="relu", kernel_regularizer=upconv.regularizers.L2(0.1),
                            kernel_constraint="max_norm", kernel_initializer=upconv.initializers.HeNormal(seed=3), name="up")
    config = layer.get_config()
    assert (config["filters"], config["kernel_size"], config["padding"], config["output_padding"]) == (3, (2, 3), "same", (1, 1))
    assert Conv2DTranspose.from_config(config).get_config() == config
    layer.build((None, None, None, 4))
    for twin in (pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert twin.get_config() == config and twin.name == "up"
        for a, b in zip(layer.get_weights(), twin.get_weights()):
            np.testing.assert_array_equal(a, b)
    assert layer.compute_output_shape((None, 4, 4, 4)) == (None, 7, 8, 3)
    assert layer.count_params() == 2 * 3 * 3 * 4 + 3 and len(layer.losses) == 1


class Doubled:
    def __call__(self, x):
        return 2 * x

    def gradient(self, x, y, dy):
        return 2 * dy


def test_python_functions():
    x = np.random.default_rng(2).normal(size=(1, 3, 3, 2)).astype("float32")
    plain = Conv2DTranspose(2, 2, kernel_initializer="ones")
    doubled = Conv2DTranspose(2, 2, kernel_initializer=lambda shape, dtype: np.ones(shape, dtype), activation=Doubled())
    np.testing.assert_allclose(doubled(x), 2 * plain(x), rtol=1e-6)
    y, tape = doubled.forward(x)
    np.testing.assert_allclose(doubled.backward(np.ones_like(y), tape).input, 2 * plain.backward(np.ones_like(y), plain.forward(x)[1]).input, rtol=1e-6)
    inference = Conv2DTranspose(2, 2, activation=lambda v: v + 1)
    y, tape = inference.forward(x)
    with pytest.raises(RuntimeError, match="gradient"):
        inference.backward(y, tape)
    penalised = Conv2DTranspose(2, 2, kernel_regularizer=lambda w: float((w ** 2).sum()))
    penalised.build((None, 3, 3, 2))
    np.testing.assert_allclose(penalised.losses[0], (penalised.kernel.numpy() ** 2).sum(), rtol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        Conv2DTranspose(2, 2, activation=lambda v: v[:, :1])(x)

    def broken(v):
        raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        Conv2DTranspose(2, 2, activation=broken)(x)
    assert inference.get_config()["activation"]["class_name"] == "function"
    with pytest.raises(ValueError, match="activation"):
        upconv.Sequential([inference]).save("never.keras")


def test_registered_functions_are_saved_by_name():
    @upconv.saving.register_keras_serializable(package="tests")
    def shifted(v):
        return v + 1

    layer = Conv2DTranspose(1, 1, activation=shifted)
    config = layer.get_config()
    assert config["activation"]["registered_name"] == "tests>shifted"
    x = np.zeros((1, 1, 1, 1), "float32")
    assert Conv2DTranspose.from_config(config)(x) == 1
    assert pickle.loads(pickle.dumps(Conv2DTranspose(1, 1, activation=Doubled()))) is not None


@upconv.saving.register_keras_serializable(package="tests")
class Scaled:
    """A value of one's own, in any of the four roles."""

    def __init__(self, by):
        self.by = by

    def __call__(self, x, dtype=None):
        return np.full(x, self.by, dtype) if dtype else x * self.by

    def get_config(self):
        return {"by": self.by}


class Count(upconv.regularizers.Regularizer):
    def __call__(self, w):
        return float(w.size)

    def gradient(self, w):
        return np.zeros_like(w)


def plus_one(x):
    return x + 1


def test_files_name_registered_classes_and_own_functions(tmp_path):
    x = np.random.default_rng(4).normal(size=(1, 2, 2, 2)).astype("float32")
    layer = Conv2DTranspose(2, 1, activation=Scaled(3.0), kernel_initializer=Scaled(0.5), kernel_constraint=Scaled(1.0), name="own")
    model = upconv.Sequential([layer, Conv2DTranspose(1, 1, activation=plus_one, kernel_regularizer=Count())], input_shape=(2, 2, 2))
    np.testing.assert_allclose(layer(x), np.repeat(x.sum(-1, keepdims=True) * 1.5, 2, -1), rtol=1e-6)
    model.save(tmp_path / "own.keras")
    with pytest.raises(upconv.FileError, match="function"):
        upconv.load_model(tmp_path / "own.keras")
    again = upconv.load_model(tmp_path / "own.keras", custom_objects={"plus_one": plus_one, "Count": Count})
    np.testing.assert_array_equal(again(x), model(x))
    assert again.layers[0].activation.by == 3.0 and again.losses == model.losses == [2.0]
    assert again.layers[0] is again.layers[0]
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        np.testing.assert_array_equal(twin(x), model(x))
        assert twin.layers[1].activation is plus_one


def test_what_a_layer_was_made_of():
    layer = Conv2DTranspose(3, 2, activation=upconv.layers.LeakyReLU(0.5), kernel_initializer="he_normal", kernel_regularizer="l2", kernel_constraint=plus_one)
    assert (layer.filters, layer.kernel_size, layer.strides, layer.use_bias, layer.output_padding) == (3, (2, 2), (1, 1), True, None)
    assert type(layer.kernel_initializer) is upconv.initializers.HeNormal and layer.kernel_constraint is plus_one and layer.bias_constraint is None
    assert layer.kernel_regularizer.get_config() == {"l2": 0.01}
    np.testing.assert_array_equal(layer.activation(np.float32([-2, 2])), [-1, 2])
    assert layer.get_config()["activation"]["class_name"] == "LeakyReLU"


@pytest.mark.parametrize("layer", [upconv.layers.ReLU(6.0), upconv.layers.LeakyReLU(0.1), upconv.layers.ELU(), upconv.layers.Softmax(), upconv.layers.Activation("tanh"),
                                   upconv.layers.Identity(), upconv.layers.Dropout(0.5, name="d"), upconv.layers.SpatialDropout2D(0.5),
                                   upconv.layers.GaussianNoise(0.1), upconv.layers.GaussianDropout(0.1), upconv.layers.AlphaDropout(0.1, dtype="float16"),
                                   upconv.layers.ActivityRegularization(0.1)], ids=lambda layer: type(layer).__name__)
def test_layers_without_weights(layer):
    x = np.linspace(-1, 1, 8, dtype="float32").reshape(1, 2, 2, 2)
    config = layer.get_config()
    assert config["name"] == layer.name
    for twin in (type(layer).from_config(config), pickle.loads(pickle.dumps(layer)), copy.deepcopy(layer)):
        assert type(twin) is type(layer) and twin.get_config() == config
        np.testing.assert_array_equal(twin(x), layer(x))


def test_inputs():
    assert upconv.Input((4, None, 3), batch_size=2).get_config()["batch_shape"] == (2, 4, None, 3)
    assert pickle.loads(pickle.dumps(upconv.layers.InputLayer(batch_shape=(None, 2, 2, 1), name="in"))).name == "in"
    for wrong in (dict(), dict(shape=(1,), batch_shape=(1, 1)), dict(shape=(2, 2, 1), sparse=True), dict(batch_shape=(1, 1), batch_size=1)):
        with pytest.raises(ValueError):
            upconv.Input(**wrong)
    with pytest.raises(ValueError, match="Unrecognized keyword arguments passed to InputLayer"):
        upconv.layers.InputLayer((1,), foo=1)


def test_threads_agree_and_the_gil_is_free():
    layer = Conv2DTranspose(32, 4, 2, padding="same")
    x = np.random.default_rng(3).normal(size=(1, 24, 24, 64)).astype("float32")
    expected = layer(x)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for y in pool.map(layer, [x] * 16):
            np.testing.assert_array_equal(y, expected)


def test_weights_set_while_other_threads_call():
    layer = Conv2DTranspose(32, 3, 2, padding="same")
    x = np.random.default_rng(4).normal(size=(1, 12, 12, 32)).astype("float32")
    dy, tape = layer.forward(x)
    first = layer.get_weights()
    second = [2 * w + 1 for w in first]
    layer.set_weights(second)
    expected = [dy, layer(x)]
    stop = threading.Event()

    def calls():
        count = 0
        while not stop.is_set() or count < 20:
            y = layer(x)
            assert any(np.array_equal(y, e) for e in expected)
            assert np.isfinite(layer.backward(dy, tape).input).all()
            count += 1

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        running = [pool.submit(calls) for _ in range(3)]
        for i in range(200):
            layer.set_weights([first, second][i % 2])
        layer.kernel.assign(second[0])
        stop.set()
        for future in running:
            future.result()


def test_threads_that_build_a_layer_together():
    for _ in range(20):
        layer = Conv2DTranspose(8, 3, kernel_initializer=lambda shape, dtype=None: np.ones(shape, dtype))
        barrier = threading.Barrier(4)

        def call(_):
            barrier.wait()
            return layer(np.ones((1, 4, 4, 8), "float32"))

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for y in pool.map(call, range(4)):
                np.testing.assert_array_equal(y, layer(np.ones((1, 4, 4, 8), "float32")))


def test_a_long_build_holds_up_nobody_else():
    built, other, model = Conv2DTranspose(2, 2), Conv2DTranspose(2, 2), upconv.Sequential([Conv2DTranspose(2, 2)])
    x = np.ones((1, 3, 3, 2), "float32")
    built(x)
    begun, done = threading.Event(), threading.Event()

    def slowly(shape, dtype=None):
        begun.set()
        assert done.wait(60)
        return np.ones(shape, dtype)

    slow = Conv2DTranspose(2, 2, kernel_initializer=slowly)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        building, waiting = pool.submit(slow, x), pool.submit(lambda: begun.wait(60) and slow(x))
        try:
            assert begun.wait(60)
            assert built(x).shape == other(x).shape == model(x).shape == (1, 4, 4, 2)      # while another layer is being built
            assert not slow.built and slow.weights == []
        finally:
            done.set()
        np.testing.assert_array_equal(building.result(), waiting.result())


def test_threads_that_build_a_model_together():
    for _ in range(20):
        model = upconv.Sequential([Conv2DTranspose(8, 3, kernel_initializer=lambda shape, dtype=None: np.ones(shape, dtype)), Conv2DTranspose(2, 2)])
        x, barrier = np.ones((1, 4, 4, 8), "float32"), threading.Barrier(4)

        def call(_):
            barrier.wait()
            return model(x)

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for y in pool.map(call, range(4)):
                np.testing.assert_array_equal(y, model(x))


def test_values_by_themselves():
    np.testing.assert_array_equal(upconv.activations.relu(np.array([-1.0, 2.0])), [0, 2])
    assert upconv.activations.get("silu") is upconv.activations.silu
    x = np.array([[-2.0, 1.0, 7.0]])
    np.testing.assert_array_equal(upconv.activations.relu(x, negative_slope=0.5, max_value=6.0), [[-1, 1, 6]])
    np.testing.assert_array_equal(upconv.activations.threshold(x, 2.0, 9.0), [[9, 9, 7]])
    np.testing.assert_allclose(upconv.activations.softmax(x, axis=0), [[1, 1, 1]])
    np.testing.assert_allclose(upconv.activations.elu(x, 2.0)[0, 0], 2 * np.expm1(-2.0))
    with pytest.raises(TypeError):
        upconv.activations.tanh(x, 1.0)
    np.testing.assert_array_equal(upconv.initializers.Constant(2)((2, 2)), np.full((2, 2), 2, "float32"))
    a = upconv.initializers.GlorotUniform(seed=1)
    np.testing.assert_array_equal(a((3, 3, 2, 4)), a((3, 3, 2, 4)))
    assert upconv.regularizers.L1L2(0.5, 0.25)(np.array([1.0, -2.0])) == pytest.approx(2.75)
    np.testing.assert_array_equal(upconv.constraints.NonNeg()(np.array([-1.0, 1.0], "float32")), [0, 1])
    assert upconv.losses.MeanSquaredError()(np.zeros((2, 2)), np.ones((2, 2))) == 1
    assert upconv.optimizers.Adam(1e-3).get_config()["learning_rate"] == pytest.approx(1e-3)
    for wrong in (lambda: upconv.activations.get("rellu"), lambda: upconv.initializers.get("glorot"), lambda: upconv.optimizers.get("adm"), lambda: upconv.losses.get("mes")):
        with pytest.raises(ValueError):
            wrong()
