"""The fused forward pass against Keras's own layers: results, gradients, statistics."""

import dataclasses
import functools

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf
from slow_cases import slow

from efficientnet_tf import expansion, variants
from efficientnet_tf.models import efficientnet
from efficientnet_tf.training import fused, fused_ops

FAMILIES = (
    "efficientnet-b0",
    "efficientnet-lite0",
    "efficientnet-condconv-b0-4e",
    "efficientnet-edgetpu-s",
    "efficientnetv2-s",
    "mobilenet-v1",
    "mobilenet-v2",
    "resnet-50",
    "resnet-50-v1",
)
TINY = networks.own(*networks.TINY.split(","))
SEED = [3, 5]


def _model(variant, *, policy="float32", scaled=None, **kwargs):
    """A network whose batch norms, of 4 images each, do not magnify rounding much."""
    if isinstance(variant, str):
        variant = variants.get_variant(variant)
    variant = dataclasses.replace(variant, batch_norm_epsilon=0.1, **(scaled or {}))
    keras.utils.set_random_seed(1)
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return efficientnet.EfficientNet(
            variant,
            input_shape=(32, 32, 3),
            classes=7,
            classifier_activation=None,
            **kwargs,
        )
    finally:
        keras.config.set_dtype_policy(before)


def _network(model, **kwargs):
    return expansion.expand(model.passport.variant, **kwargs)


def _train(model, images, fused_call=None):
    """Logits, gradients and statistics of one call, with seeds and statistics reset.

    Without a fused call Keras's layers are called, eagerly: to trace them takes longer.
    """
    call = fused_call or functools.partial(model, training=True)
    saved = [variable.numpy() for variable in model.variables]
    for variable in model.variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign(SEED)

    def step(images):
        with tf.GradientTape() as tape:
            logits = call(images)
            loss = tf.reduce_sum(logits * tf.range(7, dtype=tf.float32))
        variables = [v.value for v in model.trainable_variables]
        return logits, tape.gradient(loss, variables)

    if fused_call:
        step = tf.function(step, autograph=False)
    logits, gradients = step(images)
    statistics = [
        v.numpy() for v in model.non_trainable_variables if "moving" in v.path
    ]
    for variable, value in zip(model.variables, saved, strict=True):
        variable.assign(value)
    return logits.numpy(), [g.numpy() for g in gradients], statistics


def _images(batch=4):
    pixels = np.random.default_rng(0).integers(0, 256, (batch, 32, 32, 3))
    return pixels.astype("uint8")


def _compare(model, *, recompute=()):
    """Compares results; rounding, 1e-7, grows to 1e-4 at most, mostly in gradients."""
    images = _images()
    plain = _train(model, images)
    call = fused.forward(model, _network(model), recompute=recompute)
    logits, gradients, statistics = _train(model, images, call)
    np.testing.assert_allclose(
        logits, plain[0], rtol=0, atol=1e-2 * np.abs(plain[0]).max()
    )
    paths = [v.path for v in model.trainable_variables]
    # Some are all rounding: a shift in front of a batch norm has no gradient.
    least = 1e-2 * max(np.abs(gradient).max() for gradient in plain[1])
    for path, ours, theirs in zip(paths, gradients, plain[1], strict=True):
        scale = max(np.abs(theirs).max(), least)
        np.testing.assert_allclose(
            ours / scale, theirs / scale, atol=1e-2, err_msg=path
        )
    for ours, theirs in zip(statistics, plain[2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("blocks", "style"),
    [
        (networks.KINDS, {}),
        *slow(
            (
                networks.FIRSTS,
                {"activation": "relu6", "padding": "symmetric", "stem_pool": True},
            )
        ),
    ],
    ids=["as in EfficientNet", "as elsewhere"],
)
def test_every_kind_of_block_trains_as_with_keras_layers(blocks, style):
    _compare(_model(networks.own(*blocks, **style)))


@pytest.mark.slow
@pytest.mark.parametrize("variant", FAMILIES)
def test_every_family_trains_as_with_keras_layers(variant):
    _compare(_model(variant, scaled={"width": 0.25, "depth": 0.35}))


@pytest.mark.parametrize("batch_norm", ["sync", "grouped", "frozen"])
def test_every_batch_norm_trains_as_with_keras_layers(batch_norm):
    _compare(_model(TINY, batch_norm=batch_norm))


def test_recomputed_expansions_change_nothing():
    model = _model(TINY)
    names = [block.name for block in _network(model).blocks]
    _compare(model, recompute=names)


def test_half_precision_errs_no_more_than_keras_layers():
    # Without chance: bfloat16 would draw other masks than float32.
    still = {"survival_prob": 1.0, "dropout_rate": 0.0}
    full = _model(TINY, **still)
    model = _model(TINY, policy="mixed_bfloat16", **still)
    images = _images(16)
    exact = _train(full, images)[0]
    half = _train(model, images)[0]
    call = fused.forward(model, _network(model, survival_prob=1.0))
    ours = _train(model, images, call)[0]
    assert ours.dtype == np.float32

    def error(logits):
        return np.sqrt(np.mean((logits - exact) ** 2)) / exact.std()

    # Bfloat16 rounds by 2**-9, 0.2%; over the layers this adds up to some percent,
    # similar in size but not in sign for two orders of computation.
    assert 0.002 < error(half) < 0.1
    assert error(ours) < 2 * error(half)


def _gradients(function, *inputs):
    tensors = [tf.constant(i) for i in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = tf.nest.flatten(function(*tensors))
        loss = tf.add_n([tf.reduce_sum(tf.sin(o * 3 + 1)) for o in outputs])
    return [*outputs, *tape.gradient(loss, tensors)]


def _draw(*shape):
    return np.random.default_rng(sum(shape)).normal(0.2, 0.5, shape).astype("float32")


def _plain(x, scale, shift):
    return tf.nn.silu(x * scale + shift)


@pytest.mark.parametrize(
    "ours, theirs, shapes",
    [
        (
            fused_ops.pointwise_moments,
            lambda x, kernel: tf.nn.moments(
                tf.nn.conv2d(x, kernel, 1, "VALID"), (0, 1, 2)
            ),
            [(3, 5, 4, 6), (1, 1, 6, 11)],
        ),
        (fused_ops.moments, lambda x: tf.nn.moments(x, (0, 1, 2)), [(3, 5, 4, 6)]),
        (
            lambda *x: fused_ops.activated_mean(*x, tf.nn.silu),
            lambda *x: tf.reduce_mean(_plain(*x), (1, 2)),
            [(3, 5, 4, 6), (6,), (6,)],
        ),
        (
            lambda *x: fused_ops.gated(*x, tf.nn.silu),
            lambda *x: _plain(*x[:3]) * x[3][:, None, None],
            [(3, 5, 4, 6), (6,), (6,), (3, 6)],
        ),
    ],
    ids=["pointwise_moments", "moments", "activated_mean", "gated"],
)
def test_operations_equal_their_plain_forms(ours, theirs, shapes):
    inputs = [_draw(*shape) for shape in shapes]
    for one, other in zip(
        _gradients(ours, *inputs), _gradients(theirs, *inputs), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)
