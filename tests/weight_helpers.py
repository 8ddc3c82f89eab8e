"""What the tests of weights share: small models of every family, random in all."""

import dataclasses
import functools
import itertools

import keras
import numpy as np

import efficientnet_tf as en

# A variant of each family and how far it is scaled down: width, depth.
SMALL = {
    "efficientnet-test": (1.0, 1.0),
    "efficientnet-lite0": (0.25, 0.5),
    "efficientnet-edgetpu-s": (0.25, 0.5),
    "efficientnet-condconv-b0-4e": (0.25, 0.5),
    "efficientnetv2-b0": (0.25, 0.5),
    "efficientnetv2-s": (0.25, 0.2),
    "mobilenet-v1": (0.25, 0.5),
    "mobilenet-v2": (0.25, 0.5),
    "resnet-50": (0.25, 0.5),
    "resnet-50-v1": (0.25, 0.5),
}
_SEEDS = itertools.count()


def small(name: str):
    """A variant scaled down, and named so, for it is no network of keras any more."""
    width, depth = SMALL[name]
    variant = en.get_variant(name)
    return dataclasses.replace(variant, name=f"{name}-0", width=width, depth=depth)


def build(variant, **kwargs):
    """A small model with weights of its own."""
    kwargs = {"input_shape": (32, 32, 3), "classes": 10} | kwargs
    return randomize(en.EfficientNet(variant, **kwargs))


@functools.cache
def models_of(name: str):
    """Two models of one small variant, for tests that change nothing else."""
    return build(small(name)), build(small(name))


def randomize(model, seed=None):
    """Draws every weight, batch norms' statistics too; no two tensors are alike."""
    rng = np.random.default_rng(next(_SEEDS) if seed is None else seed)
    for layer in model.layers:
        for variable in layer.weights:
            variable.assign(_draw(rng, variable))
    return model


def _draw(rng, variable):
    shape = tuple(variable.shape)
    if variable.name == "gamma":
        return rng.uniform(0.7, 1.4, shape)
    if variable.name in ("moving_variance", "variance"):
        return rng.uniform(0.3, 1.0, shape)
    if len(shape) > 1:
        # Dense layers get less: logits of some size turn rounding into probabilities.
        fan_in = shape[0] * 16 if len(shape) == 2 else np.prod(shape[-4:-1])
        fan_in = shape[0] * shape[1] if shape[-1] == 1 else fan_in
        return rng.normal(0, np.sqrt(1.5 / fan_in), shape)
    return rng.normal(0, 0.1, shape)


def calibrate(model, x):
    """Gives batch norms the statistics of `x`, nearly, so that no output saturates."""
    norms = [
        layer
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.1
    for _ in range(2):
        model(x, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum
    return model


def values(model) -> dict[str, np.ndarray]:
    """A copy of every weight by "layer/variable"."""
    return {
        f"{layer.name}/{variable.name}": np.array(variable)
        for layer in model.layers
        for variable in layer.weights
    }


def assert_same(model, expected: dict[str, np.ndarray]):
    """Every weight equals, bit for bit."""
    found = values(model)
    assert found.keys() == expected.keys()
    different = [p for p in found if not np.array_equal(found[p], expected[p])]
    assert not different


def images(size=32, channels=3, batch=2):
    """Pixels in [0, 255]."""
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (batch, size, size, channels)).astype("float32")


def outputs(model, x):
    """What the model says in inference."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_same_probabilities(ours, theirs, tolerance=1e-5):
    """Both classifiers agree, and tell images and classes apart."""
    assert ours.shape == theirs.shape
    assert np.abs(theirs[0] - theirs[1]).max() > 3e-3
    assert np.ptp(theirs) > 0.01
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=tolerance)
