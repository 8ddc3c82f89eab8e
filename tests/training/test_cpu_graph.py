"""The graph for a CPU computes what Keras's layers compute, from the same variables."""

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
import weight_helpers
from slow_cases import slow

import efficientnet_tf as en
from efficientnet_tf.models import stages
from efficientnet_tf.training import cpu_graph

SIZE = 16  # strides then pad more pixels after than before
BLOCKS = ("r1_k3_s11_e1_i8_o8_se0.25", "r2_k5_s22_e2_i8_o16", "r1_k3_s22_e2_i16_o16_f1")


def built(policy="float32", *, blocks=BLOCKS, size=SIZE, freeze="none", **kwargs):
    """A network whose random layers draw nothing, in a dtype."""
    keras.config.set_dtype_policy(policy)
    variant = networks.own(*blocks, padding=kwargs.pop("padding", "same"))
    shape = (size, size, 3)
    model = en.EfficientNet(
        variant, classes=5, input_shape=shape, classifier_activation=None, **kwargs
    )
    stages.freeze(model, freeze)
    for layer in model.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    return weight_helpers.randomize(model, seed=0)


def pixels(batch=6, size=SIZE):
    rng = np.random.default_rng(1)
    return rng.integers(0, 256, (batch, size, size, 3)).astype("uint8")


def stepped(model, graph, images):
    """Outputs, gradients and statistics of one training step, in float64."""
    outputs = np.random.default_rng(2).normal(size=(len(images), 5))

    @tf.function(autograph=False)
    def step():
        variables = [v.value for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = graph(images, training=True)
            loss = tf.reduce_sum(logits * tf.constant(outputs, logits.dtype))
        return logits, tape.gradient(loss, variables)

    logits, gradients = step()
    moving = [v for v in model.non_trainable_variables if "/moving_" in v.path]
    arrays = [logits, *gradients, *(v.numpy() for v in moving)]
    return [np.asarray(array, "float64") for array in arrays]


def distance(arrays, truth):
    """The root of summed squares of the differences, as a share of the truth's."""
    differences = [a - b for a, b in zip(arrays, truth, strict=True)]
    squares = [sum((x**2).sum() for x in each) for each in (differences, truth)]
    return np.sqrt(squares[0] / squares[1])


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"batch_norm": "frozen", "freeze": "block1"},
        *slow(
            {"blocks": networks.KINDS},
            {"blocks": networks.KINDS, "batch_norm": "frozen", "freeze": "block3"},
            {"padding": "symmetric"},
            {"padding": "symmetric", "size": 17, "batch_norm": "frozen"},
            {"freeze": "block2"},
        ),
    ],
    ids=str,
)
def test_a_training_step_is_as_near_to_64_bits_as_that_of_keras(kwargs):
    images = pixels(size=kwargs.get("size", SIZE))
    model, twin, exact = (built(p, **kwargs) for p in ("float32", "float32", "float64"))
    truth = stepped(exact, exact, images)
    ours = distance(stepped(model, cpu_graph.for_training(model), images), truth)
    theirs = distance(stepped(twin, twin, images), truth)
    assert ours < max(3 * theirs, 1e-6) and theirs < 1e-4


def test_statistics_of_one_value_and_of_several():
    """Of one image of one place there is no variance; Keras then takes 0."""
    for batch in (1, 5):
        blocks = networks.STRIDED.split(",")
        model, twin = (built(blocks=blocks, size=8) for _ in range(2))
        images = pixels(batch, size=8)
        ours = stepped(model, cpu_graph.for_training(model), images)
        theirs = stepped(twin, twin, images)
        moving = sum("/moving_" in v.path for v in model.non_trainable_variables)
        for found, wanted in zip(ours[-moving:], theirs[-moving:], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-6)


def test_a_prediction_follows_the_variables():
    model = built()
    graph = cpu_graph.for_prediction(model)
    images = pixels()
    before = model(images, training=False)
    np.testing.assert_allclose(graph(images, training=False), before, atol=1e-4)
    weight_helpers.randomize(model, seed=3)
    after = model(images, training=False)
    np.testing.assert_allclose(graph(images, training=False), after, atol=1e-4)
    assert np.abs(after - before).max() > 1e-2


def test_batch_norms_of_moving_statistics_become_part_of_convolutions():
    model = built(blocks=networks.FIRSTS)
    graph = cpu_graph.for_prediction(model)
    layers = {layer.name for layer in graph.layers}
    # Conditional convolutions have other kernels for each image.
    kind = keras.layers.BatchNormalization
    left = [layer.name for layer in graph.layers if isinstance(layer, kind)]
    assert left and all("block9" in name for name in left)
    assert not {"stem_conv", "stem_bn"} & layers and "stem_bn_on_cpu" in layers


def test_kernels_are_those_that_were_measured_to_be_fast():
    model = built(blocks=networks.TINY.split(","))
    graph = cpu_graph.for_training(model)

    @tf.function(autograph=False)
    def step(images):
        variables = [v.value for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(graph(images, training=True))
        return tape.gradient(loss, variables)

    found = step.get_concrete_function(tf.zeros([2, SIZE, SIZE, 3])).graph
    operations = found.get_operations()
    depthwise = [
        op for op in operations if op.type == "DepthwiseConv2dNativeBackpropFilter"
    ]
    assert len(depthwise) == 2
    assert {op.get_attr("padding") for op in depthwise} == {b"EXPLICIT"}
    norms = [layer for layer in model.layers if "bn" in layer.name]
    fused = [op for op in operations if op.type == "FusedBatchNormV3"]
    assert len(fused) == len(norms)
    kernels = [op for op in operations if op.type == "Conv2DBackpropFilter"]
    assert len(kernels) == 1  # the stem's alone has more than one place


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
def test_other_dtypes_keep_the_layers_of_keras(policy):
    model = built(policy, blocks=networks.TINY.split(","))
    graph = cpu_graph.for_training(model)
    assert graph.layers[1:] == model.layers[1:]


def test_a_batch_norm_of_a_smaller_epsilon_is_kept():
    x = inputs = keras.Input((4, 4, 3))
    x = keras.layers.BatchNormalization(epsilon=1e-6)(x)
    model = keras.Model(inputs, x)
    images = np.full((2, 4, 4, 3), 0.5) + np.random.default_rng(0).normal(
        0, 1e-3, (2, 4, 4, 3)
    )
    wanted = model(images, training=True)
    graph = cpu_graph.for_training(model)
    np.testing.assert_allclose(graph(images, training=True), wanted, rtol=1e-6)
    assert graph.layers[1:] == model.layers[1:]


def test_a_layer_of_two_calls_and_one_with_an_argument_are_kept():
    x = inputs = keras.Input((8, 8, 3))
    shared = keras.layers.Conv2D(3, 1)
    norm = keras.layers.BatchNormalization()
    x = shared(shared(x))
    x = norm(x, training=False)
    model = weight_helpers.randomize(keras.Model(inputs, x), seed=0)
    images = pixels(2, 8) / 255
    for graph in (cpu_graph.for_training(model), cpu_graph.for_prediction(model)):
        for training in (True, False):
            wanted = model(images, training=training)
            np.testing.assert_allclose(graph(images, training=training), wanted, 1e-5)
    assert norm in graph.layers and shared in graph.layers


def test_biases_and_activations_before_a_batch_norm():
    x = inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3)(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Conv2D(4, 1, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    model = weight_helpers.randomize(keras.Model(inputs, x), seed=0)
    images = pixels(2, 8) / 255
    wanted = model(images, training=False)
    graph = cpu_graph.for_prediction(model)
    np.testing.assert_allclose(graph(images, training=False), wanted, atol=1e-5)
    kept = [layer for layer in graph.layers if layer in model.layers[1:]]
    assert kept == model.layers[-1:]  # behind the activation
