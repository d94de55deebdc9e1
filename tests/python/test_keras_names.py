# SPDX-License-Identifier: Apache-2.0
"""Everything that upconv shares with Keras by name has Keras's arguments with Keras's defaults."""
import inspect

import pytest

keras = pytest.importorskip("keras")

import upconv

MODULES = ["layers", "activations", "initializers", "regularizers", "constraints", "losses", "optimizers", "callbacks"]
# Keras's base classes, abstract here; the fifth position is refused as a matter of form (upconv/layers.py); only Keras has custom_objects there.
OTHERWISE = {"Layer", "Loss", "Optimizer", "Conv2DTranspose", "Convolution2DTranspose", "deserialize"}


def arguments(thing):
    return [(p.name, p.default) for p in inspect.signature(thing).parameters.values() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


@pytest.mark.parametrize("module", MODULES)
def test_arguments(module):
    ours, theirs = getattr(upconv, module), getattr(keras, module)
    shared = [n for n in dir(ours) if not n.startswith("_") and hasattr(theirs, n) and callable(getattr(ours, n)) and callable(getattr(theirs, n))]
    assert len(shared) >= (5 if module == "constraints" else 6)
    for name in set(shared) - OTHERWISE:
        assert arguments(getattr(ours, name)) == arguments(getattr(theirs, name)), f"{module}.{name}"


def test_the_layers_arguments():
    assert arguments(upconv.layers.Conv2DTranspose) == arguments(keras.layers.Conv2DTranspose)
    kinds = {p.name: p.kind for p in inspect.signature(upconv.layers.Conv2DTranspose).parameters.values()}
    assert all(kind is inspect.Parameter.KEYWORD_ONLY for name, kind in kinds.items() if name in ("output_padding", "data_format", "bias_constraint"))


def test_nothing_small_is_missing():
    """Whole modules, but for what upconv does not have (docs/python.md says so)."""
    absent = {"activations": set(), "regularizers": set(), "constraints": set(), "initializers": {"STFT", "STFTInitializer", "stft"},
              "losses": {"CTC", "ctc", "Circle", "circle", "CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"},
              "optimizers": {"LossScaleOptimizer", "MultiOptimizer", "Muon", "OptimizerMap", "ScheduleFreeAdamW", "legacy"},
              "callbacks": {"BackupAndRestore", "CallbackList", "OrbaxCheckpoint", "RemoteMonitor", "SwapEMAWeights", "TensorBoard"}}
    for module, known in absent.items():
        missing = {n for n in dir(getattr(keras, module)) if not n.startswith("_")} - set(dir(getattr(upconv, module)))
        assert missing <= known, (module, missing - known)


@pytest.mark.parametrize("name", ["MeanSquaredError", "MeanAbsoluteError", "Huber", "LogCosh", "BinaryCrossentropy", "CategoricalCrossentropy", "KLDivergence",
                                  "CosineSimilarity", "Poisson", "Hinge", "BinaryFocalCrossentropy"])
def test_losses_as_functions_and_with_weights(name):
    import numpy as np
    rng = np.random.default_rng(0)
    t, p = rng.uniform(0.1, 0.9, size=(2, 3, 4)).astype("float32"), rng.uniform(0.1, 0.9, size=(2, 3, 4)).astype("float32")
    w = rng.uniform(size=(2, 3)).astype("float32")
    ours, theirs = getattr(upconv.losses, name), getattr(keras.losses, name)
    np.testing.assert_allclose(ours()(t, p, sample_weight=w), float(theirs()(t, p, sample_weight=w)), rtol=2e-6)
    np.testing.assert_allclose(ours(reduction="none")(t, p), np.asarray(theirs(reduction="none")(t, p)), rtol=5e-6, atol=1e-7)
    function = {"KLDivergence": "kl_divergence", "LogCosh": "log_cosh"}.get(name) or "".join("_" + c.lower() if c.isupper() else c for c in name)[1:]
    np.testing.assert_allclose(getattr(upconv.losses, function)(t, p), np.asarray(getattr(keras.losses, function)(t, p)), rtol=5e-6, atol=1e-7)
