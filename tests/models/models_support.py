"""Models of this package and keras.applications with the same weights."""

import dataclasses

import keras
import networks
import numpy as np
import weight_helpers
from applications import (
    normalised,
    prepared,
)

import efficientnet_tf as en
from efficientnet_tf.weights import keras_names, model_layout

LETTERS = [f"b{i}" for i in range(8)]


V2_LETTERS = ["b0", "b1", "b2", "b3", "s"]


IMAGENET_MEAN = np.array([0.485, 0.456, 0.406])


IMAGENET_STDDEV = np.array([0.229, 0.224, 0.225])


APPLICATIONS = {
    **{f"efficientnet-{x}": f"EfficientNet{x.upper()}" for x in LETTERS},
    **{f"efficientnetv2-{x}": f"EfficientNetV2{x.upper()}" for x in V2_LETTERS},
    "mobilenet-v1": "MobileNet",
    "mobilenet-v2": "MobileNetV2",
    "resnet-50-v1": "ResNet50",
    "resnet-152-v1": "ResNet152",
}


SMALL = networks.own(*networks.TINY.split(","))


def images(*size, batch=2, channels=3):
    shape = (batch, *(size * 2)[:2], channels)
    return np.random.default_rng(1).integers(0, 256, shape).astype("float32")


def randomize(model, x, *, least_variance=0.1):
    """Random weights, and the statistics of `x`: with others activations grow."""
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.gamma.assign(rng.uniform(0.8, 1.2, layer.gamma.shape))
            layer.beta.assign(rng.normal(0, 0.1, layer.beta.shape))
        elif layer.name == "predictions":
            layer.kernel.assign(layer.kernel * 10)  # else all classes are alike
            layer.bias.assign(rng.normal(0, 1, layer.bias.shape))
        elif getattr(layer, "use_bias", False):
            layer.bias.assign(rng.normal(0, 0.1, layer.bias.shape))
    return weight_helpers.calibrate(model, x, least_variance=least_variance)


def without_chance(name, **kwargs):
    return en.EfficientNet(name, survival_prob=1.0, dropout_rate=0.0, **kwargs)


def copy_weights(source, target):
    """By layer name; every layer with weights must have a counterpart."""
    for layer in target.layers:
        if layer.weights:
            layer.set_weights(source.get_layer(layer.name).get_weights())


def build_theirs(name, **kwargs):
    """keras.applications with ImageNet's statistics, as its released weights have."""
    theirs = getattr(keras.applications, APPLICATIONS[name])(weights=None, **kwargs)
    for layer in theirs.layers:
        if isinstance(layer, keras.layers.Normalization) and layer.weights:
            layer.set_weights([IMAGENET_MEAN, IMAGENET_STDDEV**2, np.array(0)])
            layer.finalize_state()
    return theirs


def give_weights(ours, theirs):
    """Makes theirs as ours; returns what it calls our layers."""
    variables = model_layout.variables(theirs)
    family = keras_names.detect(variables)
    plan, values = model_layout.layout(ours), model_layout.values(ours)
    names = keras_names.names(plan, family, variables)
    for tensor in plan.tensors:
        value = keras_names.encode(tensor, values[tensor.path], family)
        variables.pop(names[tensor.path]).assign(value)
    for path, variable in variables.items():
        if not path.startswith("normalization"):
            # Biases that ResNets have in front of batch norms; zero when new.
            assert family == "resnet" and path.endswith("/bias"), path
            assert not np.any(variable)
    return {a.split("/")[0]: b.split("/")[0] for a, b in names.items()}


def pair(name, *size, **kwargs):
    """Ours and theirs with the same weights, and input that both take."""
    x = images(*size).astype("float64")
    if "input_shape" not in kwargs:
        kwargs["input_shape"] = x.shape[1:]
    ours = without_chance(name, include_preprocessing=False, **kwargs)
    theirs = build_theirs(name, **kwargs)
    ready = normalised(name, theirs, x)
    randomize(ours, ready)
    return Pair(ours, theirs, give_weights(ours, theirs), ready, prepared(name, x))


@dataclasses.dataclass
class Pair:
    ours: keras.Model
    theirs: keras.Model
    names: dict  # of their layers, by ours
    our_input: np.ndarray
    their_input: np.ndarray

    def assert_same_output(self):
        got, expected = self.ours(self.our_input), self.theirs(self.their_input)
        weight_helpers.assert_same_outputs(np.asarray(got), np.asarray(expected))


def outputs_by_name(model, names, x):
    outputs = {name: model.get_layer(name).output for name in names}
    values = keras.Model(model.input, outputs)(x, training=False)
    return {name: np.asarray(value) for name, value in values.items()}


def macs_of(model):
    """Multiply-accumulates, off the built layers."""
    total = 0
    for layer in model.layers:
        if not hasattr(layer, "kernel"):
            continue
        kernel = np.prod(layer.kernel.shape)
        pixels = np.prod(layer.output.shape[1:-1], initial=1)
        experts = getattr(layer, "experts", 0)
        total += kernel // max(1, experts) * pixels + (kernel if experts else 0)
    return total


def assert_counts(model, variant, **kwargs):
    counted = en.count(variant, image_size=model.input_shape[1:3], **kwargs)
    trainable = sum(np.prod(v.shape) for v in model.trainable_variables)
    assert counted.params == model.count_params()
    assert counted.trainable_params == trainable
    assert counted.macs == macs_of(model)
