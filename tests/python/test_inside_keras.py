# SPDX-License-Identifier: Apache-2.0
"""upconv inside real Keras on JAX: files, accelerate and restore, fit, jit, vmap, checkpoint, sharding over two devices."""
import json
import os
import zipfile

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=2"

import numpy as np
import pytest

import backends

keras = pytest.importorskip("keras")
jax = pytest.importorskip("jax")
if keras.backend.backend() != "jax":
    pytest.skip("needs the JAX backend", allow_module_level=True)
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import upconv.keras
from upconv.keras._jax import conv_transpose

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
@pytest.fixture(autouse=True)
def upconv_computes():
    """A test in which Keras computed after all has shown nothing."""
    upconv.keras._noticed.clear()
    yield
    assert not upconv.keras._noticed


GEOMETRY = (2, 2, 1, 1, -1, -1, 1, 0, 0)                  # strides 2, 'same', channels last
rng = np.random.default_rng(11)
X, K, B = (rng.normal(size=s).astype("float32") for s in ((4, 5, 6, 3), (3, 3, 7, 3), (7,)))


def close(a, b, tolerance=2e-5):
    for p, q in zip(jax.tree.leaves(a), jax.tree.leaves(b)):
        scale = max(1.0, float(jnp.max(jnp.abs(q))))
        np.testing.assert_allclose(np.asarray(p), np.asarray(q), atol=tolerance * scale, rtol=0)


def truth(x, k, b):
    """Keras's own operation."""
    return keras.ops.conv_transpose(x, k, strides=(2, 2), padding="same") + b


def ours(x, k, b):
    return conv_transpose(x, k, b, GEOMETRY)


def loss(f):
    return lambda x, k, b: jnp.sum(jnp.sin(f(x, k, b)))


def test_values_and_gradients_under_jit():
    close(jax.jit(ours)(X, K, B), truth(X, K, B))
    close(jax.jit(jax.grad(loss(ours), argnums=(0, 1, 2)))(X, K, B), jax.grad(loss(truth), argnums=(0, 1, 2))(X, K, B))


def test_relu_is_computed_inside_the_foreign_function():
    def with_relu(x, k, b):
        return conv_transpose(x, k, b, GEOMETRY, relu=True)

    def relu_of_truth(x, k, b):
        return jax.nn.relu(truth(x, k, b))

    close(jax.jit(with_relu)(X, K, B), relu_of_truth(X, K, B))
    close(jax.jit(jax.grad(loss(with_relu), argnums=(0, 1, 2)))(X, K, B), jax.grad(loss(relu_of_truth), argnums=(0, 1, 2))(X, K, B))
    xs = np.stack([X, 2 * X])
    close(jax.vmap(with_relu, (0, None, None))(xs, K, B), jax.vmap(relu_of_truth, (0, None, None))(xs, K, B))
    layer = upconv.keras.Conv2DTranspose(7, 3, 2, "same", activation="relu")
    layer.build(X.shape)
    compiled = jax.jit(lambda v, x: layer.stateless_call(v, [], x)[0]).lower([v.value for v in layer.trainable_variables], X).compile().as_text()
    assert "upconv_forward" in compiled and "maximum" not in compiled


def test_vmap_over_every_argument():
    xs, ks, bs = np.stack([X, 2 * X]), np.stack([K, K + 1, K - 1])[:2], np.stack([B, B + 1])
    for axes, arguments in (((0, None, None), (xs, K, B)), ((None, 0, None), (X, ks, B)), ((0, 0, 0), (xs, ks, bs)), ((None, None, 0), (X, K, bs))):
        close(jax.vmap(ours, axes)(*arguments), jax.vmap(truth, axes)(*arguments))
        close(jax.vmap(jax.grad(loss(ours), argnums=(0, 1, 2)), axes)(*arguments), jax.vmap(jax.grad(loss(truth), argnums=(0, 1, 2)), axes)(*arguments))


def test_checkpoint():
    close(jax.grad(jax.checkpoint(loss(ours)), argnums=1)(X, K, B), jax.grad(loss(truth), argnums=1)(X, K, B))


def test_the_batch_is_cut_over_devices_and_nothing_is_gathered():
    mesh = Mesh(np.array(jax.devices()[:2]), ("batch",))
    x = jax.device_put(X, NamedSharding(mesh, PartitionSpec("batch")))
    k, b = (jax.device_put(v, NamedSharding(mesh, PartitionSpec())) for v in (K, B))
    step = jax.jit(jax.value_and_grad(loss(ours), argnums=(0, 1, 2)))
    program = step.lower(x, k, b).compile().as_text()
    assert "all-gather" not in program and "all-reduce" in program and program.count("upconv_") >= 3
    assert "f32[2,5,6,3]" in program, "each device works on half of the batch"
    value, gradients = step(x, k, b)
    close((value, gradients), jax.value_and_grad(loss(truth), argnums=(0, 1, 2))(X, K, B))
    assert gradients[0].sharding.spec[0] == "batch"


def model():
    return keras.Sequential([keras.layers.Input((4, 4, 8)), keras.layers.Conv2DTranspose(6, 4, 2, "same", activation="relu", kernel_initializer=keras.initializers.HeNormal(1)),
                             keras.layers.Conv2DTranspose(2, 3, padding="same", kernel_initializer=keras.initializers.HeNormal(2))])


def test_files_are_ordinary_keras_files(tmp_path):
    accelerated = model()
    assert upconv.keras.accelerate(accelerated) == 2
    accelerated.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        config = json.loads(archive.read("config.json"))
    layers = [layer for layer in config["config"]["layers"] if layer["class_name"] != "InputLayer"]
    assert [(layer["module"], layer["class_name"], layer["registered_name"]) for layer in layers] == [("keras.layers", "Conv2DTranspose", None)] * 2
    assert "upconv" not in json.dumps(config)
    assert type(keras.saving.load_model(tmp_path / "m.keras").layers[0]) is keras.layers.Conv2DTranspose
    own = keras.Sequential([keras.layers.Input((4, 4, 8)), upconv.keras.Conv2DTranspose(3, 2)])
    own.save(tmp_path / "own.keras")
    assert type(keras.saving.load_model(tmp_path / "own.keras").layers[0]) is keras.layers.Conv2DTranspose


def test_accelerate_keeps_objects_and_restore_undoes_it():
    m = model()
    layer, kernel = m.layers[0], m.layers[0].kernel
    x = rng.normal(size=(3, 4, 4, 8)).astype("float32")
    before = np.asarray(m(x))
    upconv.keras.accelerate(m)
    assert m.layers[0] is layer and layer.kernel is kernel and isinstance(layer, upconv.keras.Conv2DTranspose)
    np.testing.assert_allclose(np.asarray(m(x)), before, atol=1e-5)
    assert upconv.keras.restore(m) == 2 and type(layer) is keras.layers.Conv2DTranspose
    np.testing.assert_array_equal(np.asarray(m(x)), before)


@pytest.mark.parametrize("jit", [True, False])
def test_fit_learns_as_without(jit):
    x = rng.normal(size=(32, 4, 4, 8)).astype("float32")
    y = rng.normal(size=(32, 8, 8, 2)).astype("float32")
    losses = []
    for accelerated in (False, True):
        m = model()
        m.compile("adam", "mse", jit_compile=jit)
        if accelerated:
            upconv.keras.accelerate(m)
        losses.append(m.fit(x, y, epochs=3, batch_size=8, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_the_bundled_decoder_and_superres_train_to_the_same_losses():
    for name, x, y in (("superres_training.keras", rng.uniform(size=(8, 16, 16, 1)), rng.uniform(size=(8, 32, 32, 1))),
                       ("digits_decoder.keras", rng.normal(size=(16, 8)), rng.uniform(size=(16, 8, 8, 1)))):
        losses = []
        for accelerated in (False, True):
            m = keras.saving.load_model(os.path.join(ROOT, "models", name), compile=False)
            m.compile(keras.optimizers.Adam(1e-3), "mse")
            if accelerated:
                assert upconv.keras.accelerate(m) >= 3
            losses.append(m.fit(x.astype("float32"), y.astype("float32"), epochs=3, batch_size=8, shuffle=False, verbose=0).history["loss"])
        np.testing.assert_allclose(losses[0], losses[1], rtol=2e-4)


def test_data_parallel_fit_of_keras():
    distribution = keras.distribution.DataParallel(devices=[f"cpu:{i}" for i in range(2)])
    keras.distribution.set_distribution(distribution)
    try:
        x = rng.normal(size=(16, 4, 4, 8)).astype("float32")
        y = rng.normal(size=(16, 8, 8, 2)).astype("float32")
        losses = []
        for accelerated in (False, True):
            m = model()
            m.compile("adam", "mse")
            if accelerated:
                upconv.keras.accelerate(m)
            losses.append(m.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0).history["loss"])
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    finally:
        keras.distribution.set_distribution(None)


def test_what_upconv_cannot_compute_keras_does_with_one_notice(monkeypatch):
    backends.check_what_keras_computes(monkeypatch)
