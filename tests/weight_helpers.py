"""What the tests of weights share: small models of every family, random in all."""

import contextlib
import dataclasses
from unittest import mock

import keras
import numpy as np

import efficientnet_tf as en

# A variant of each family and how far it is scaled down: width, depth.
SMALL = {
    "efficientnet-test": (1.0, 1.0),
    "efficientnet-lite0": (0.25, 0.25),
    "efficientnet-edgetpu-s": (0.25, 0.25),
    "efficientnet-condconv-b0-4e": (0.25, 0.25),
    "efficientnetv2-b0": (0.25, 0.2),
    "efficientnetv2-s": (0.25, 0.1),
    "mobilenet-v1": (0.25, 0.25),
    "mobilenet-v2": (0.25, 0.25),
    "resnet-50": (0.25, 0.25),
    "resnet-50-v1": (0.25, 0.25),
}


def small(name: str):
    """A variant scaled down, with a new name, as keras has no such network."""
    width, depth = SMALL[name]
    variant = en.get_variant(name)
    return dataclasses.replace(variant, name=f"{name}-0", width=width, depth=depth)


def build(variant, **kwargs):
    """A small model with weights of its own."""
    kwargs = {"input_shape": (32, 32, 3), "classes": 10} | kwargs
    return randomize(en.EfficientNet(variant, **kwargs))


def randomize(model, seed=None):
    """Draws every weight, batch norms' statistics too; no two tensors are alike.

    Without a seed each call draws other numbers, but a test always draws the same.
    """
    rng = np.random.default_rng(np.random.randint(2**31) if seed is None else seed)
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


def calibrate(model, x, *, least_variance=0.0):
    """Gives batch norms the statistics of `x`, so that no output saturates.

    Dropout and stochastic depth are off meanwhile. A channel with hardly any variance,
    and the rounding in it, would grow from layer to layer; `least_variance`, added to
    each variance, limits this.
    """
    norms = _layers(model, keras.layers.BatchNormalization)
    with contextlib.ExitStack() as stack:
        for layer in _layers(model, keras.layers.Dropout):
            stack.enter_context(mock.patch.object(layer, "rate", 0))
        for layer in norms:
            stack.enter_context(mock.patch.object(layer, "momentum", 0))
            epsilon = layer.epsilon + least_variance
            stack.enter_context(mock.patch.object(layer, "epsilon", epsilon))
        model(x, training=True)
    for layer in norms:
        variance = layer.moving_variance
        variance.assign_add(np.full(variance.shape, least_variance))
    return model


def _layers(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


def values(model) -> dict[str, np.ndarray]:
    """A copy of every weight by "layer/variable"."""
    return {path: np.array(variable) for path, variable in _variables(model, "")}


def _variables(model, outer):
    for layer in model.layers:
        path = f"{outer}{layer.name}/"
        if isinstance(layer, keras.Model):
            yield from _variables(layer, path)
        else:
            yield from (
                (f"{path}{variable.name}", variable) for variable in layer.weights
            )


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
    """The model's outputs in inference."""
    return keras.ops.convert_to_numpy(model(x, training=False))


def assert_same_outputs(ours, theirs):
    """Both models agree, in float64, and tell images apart.

    Deep random networks magnify rounding, 1e-16 of float64, ten thousandfold, to 1e-12
    of the largest output; one tensor in a wrong place changes more than 1e-3 of it.
    """
    assert ours.shape == theirs.shape
    assert ours.dtype == theirs.dtype == "float64"
    scale = np.abs(theirs).max()
    assert np.abs(theirs[0] - theirs[1]).max() > 0.03 * scale
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9 * scale)
