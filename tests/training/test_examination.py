"""The checking mode names the first layer that is not finite, on any replica."""

import keras
import numpy as np
import pytest
import replicas
import tensorflow as tf

from efficientnet_tf.runs import checkpoints
from efficientnet_tf.training import examination, steps

ONE = "one"
NAN, HUGE = np.nan, 1e25  # HUGE squared is infinite in float32


@keras.saving.register_keras_serializable("tests")
class Root(keras.layers.Layer):
    """The square root of |x|: finite at 0, where its gradient is not."""

    def call(self, x):
        return keras.ops.sqrt(keras.ops.abs(x))


class CrossEntropy:
    def losses(self, logits, labels):
        loss = tf.nn.softmax_cross_entropy_with_logits(labels, logits)
        return {"cross_entropy": tf.reduce_mean(loss)}


@pytest.fixture(scope="module", params=[ONE, "two"])
def examined(request):
    """Names what is not finite, given images, weights and labels of a step."""
    one = tf.distribute.OneDeviceStrategy("/cpu:0")
    strategy = one if request.param == ONE else replicas.two()
    with strategy.scope():
        inputs = keras.Input((3,))
        x = keras.layers.Dense(4, name="first")(inputs)
        x = keras.layers.BatchNormalization(name="norm")(x)
        x = Root(name="root")(x)
        model = keras.Model(inputs, keras.layers.Dense(2, name="last")(x))
    found = examination.Examination(model, {}, strategy=strategy)
    step = found.of_step(CrossEntropy(), lambda batch: batch)
    served = found.of_evaluation()
    rng = np.random.default_rng(0)
    start = [rng.normal(size=w.shape).astype("float32") for w in model.get_weights()]

    def name(*, image=1.0, label=0.5, evaluates=False, **weights):
        for variable, value in zip(model.weights, start, strict=True):
            key = variable.path.replace("/", "_")
            variable.assign(np.abs(value) * weights.get(key, 1.0))
        images = rng.normal(size=(8, 3)).astype("float32")
        images[-1, 0] *= image  # the last image is the last replica's
        labels = np.full((8, 2), 0.5, "float32")
        labels[-1] = label
        batch = {"image": images, "label": labels}
        data = tf.data.Dataset.from_tensor_slices(batch).batch(8, drop_remainder=True)
        batches = iter(strategy.experimental_distribute_dataset(data))
        return (served if evaluates else step)(batches)

    return name


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"image": NAN}, "the output of first"),
        ({"first_kernel": np.inf}, "the output of first"),
        ({"norm_gamma": NAN}, "the output of norm"),
        ({"last_bias": NAN}, "the output of last"),
        ({"label": NAN}, "the loss (cross_entropy)"),
        # Its output is 0, whose root has an infinite slope.
        ({"norm_gamma": 0.0, "norm_beta": 0.0}, "the gradient of the output of norm"),
    ],
    ids=["none", "image", "inf", "norm", "bias", "label", "gradient"],
)
def test_the_first_value_of_a_step_that_is_not_finite_is_named(
    examined, changed, expected
):
    assert examined(**changed) == expected


def test_statistics_that_overflow_while_the_loss_is_finite_are_named(examined):
    # The variance is infinite, so the normalised values are 0 and beta is left.
    assert examined(image=HUGE) == "norm/moving_variance"


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, None),
        ({"image": NAN}, "the output of first"),
        ({"norm_moving_mean": np.inf}, "the output of norm"),
        ({"last_kernel": NAN}, "the output of last"),
    ],
    ids=["none", "image", "statistics", "kernel"],
)
def test_the_first_layer_of_an_evaluation_that_is_not_finite_is_named(
    examined, changed, expected
):
    assert examined(evaluates=True, **changed) == expected


def test_an_evaluator_finds_it_in_the_batch_that_has_it(monkeypatch):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(2, name="only")(inputs))
    images = np.array([[1.0], [2.0], [np.inf], [3.0]], "float32")
    data = tf.data.Dataset.from_tensor_slices({"image": images}).batch(1)
    weights = checkpoints.by_path(model.weights)
    strategy = tf.distribute.get_strategy()
    evaluator = steps.Evaluator(model, weights, data, strategy=strategy)
    assert evaluator.first_layer_not_finite(batches=2) is None
    assert evaluator.first_layer_not_finite(batches=4) == "the output of only"

    def examine(data):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(steps.Examination, "of_evaluation", lambda self: examine)
    assert evaluator.first_layer_not_finite(batches=4) is None
