"""Optimizers and schedules by name, and the rates of a network's stages."""

import math

import keras
import networks
import numpy as np
import pytest
import tensorflow as tf

import efficientnet_tf as en
from efficientnet_tf.models import stages
from efficientnet_tf.recipes import paper
from efficientnet_tf.training import optimizer, schedules
from efficientnet_tf.training.settings import Optimisation, Schedule

VALUES = paper.recipe("efficientnet-b0", "imagenet", None)


def section(kind, **chosen):
    names = kind.__dataclass_fields__
    given = {name: VALUES[name] for name in names if name in VALUES}
    return kind(**given | chosen)


def schedule(**chosen):
    plain = {"train_batch_size": 64, "train_epochs": 3.0, "learning_rate": 0.4}
    made = section(Schedule, **plain | chosen)
    return schedules.create(made, train_images=640)  # 10 steps an epoch


def test_cosine_rises_in_a_line_and_falls_to_zero():
    rates = schedule(lr_schedule="cosine", warmup_epochs=0.5)
    peak = 0.4 * 64 / 256
    for step in range(5):
        assert float(rates(step)) == pytest.approx(peak * step / 5)
    for step in range(5, 31):
        share = (step - 5) / 25
        exact = peak * (1 + math.cos(math.pi * share)) / 2
        assert float(rates(step)) == pytest.approx(exact, abs=1e-8)


def test_cosine_without_warm_up_begins_at_its_peak():
    rates = schedule(lr_schedule="cosine", warmup_epochs=0.0)
    assert float(rates(0)) == pytest.approx(0.1)
    assert float(rates(15)) == pytest.approx(0.05)


def test_a_constant_rate_warms_up_and_stays():
    rates = schedule(lr_schedule="constant", warmup_epochs=1.0)
    got = [float(rates(step)) for step in (0, 5, 10, 30, 1000)]
    assert got == pytest.approx([0, 0.05, 0.1, 0.1, 0.1])


def test_the_papers_schedule_is_the_default():
    rates = schedule(warmup_epochs=0.0)
    exact = en.LearningRate(
        batch_size=64, train_images=640, base=0.4, warmup_epochs=0.0
    )
    for step in (0, 24, 25, 100):
        assert float(rates(step)) == float(exact(step))


def steps_of(made, values, gradients):
    """Returns the variables after a step for each list of gradients."""
    variables = [keras.Variable(v, name=n) for n, v in values.items()]
    made.build(variables)
    for arrays in gradients:
        pairs = zip(map(tf.constant, arrays), variables, strict=True)
        made.apply_gradients(list(pairs))
    return [v.numpy() for v in variables]


RNG = np.random.default_rng(0)
START = {name: RNG.normal(size=(3, 4)).astype("float32") for name in ("kernel", "beta")}
GRADIENTS = RNG.normal(size=(5, 2, 3, 4)).astype("float32")


def test_adamw_equals_its_paper():
    """Loshchilov and Hutter, arXiv 1711.05101, algorithm 2; kernels alone decay."""
    chosen = section(Optimisation, optimizer="adamw", weight_decay=0.3)
    made = optimizer.create(chosen, 0.01, rates=[1.0, 0.5])
    got = steps_of(made, START, GRADIENTS)
    pairs = zip(START.items(), (1.0, 0.5), (0.3, 0.0), strict=True)
    for i, ((_, value), rate, decay) in enumerate(pairs):
        x, m, v = value.astype(np.float64), 0.0, 0.0
        for t, gradient in enumerate(GRADIENTS[:, i].astype(np.float64), start=1):
            m = 0.9 * m + 0.1 * gradient
            v = 0.999 * v + 0.001 * gradient**2
            corrected = (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
            x = x - 0.01 * decay * x - 0.01 * rate * corrected
        np.testing.assert_allclose(got[i], x, rtol=1e-5, atol=1e-6)


def test_sgd_takes_nesterovs_steps():
    chosen = section(Optimisation, optimizer="sgd", momentum=0.8)
    got = steps_of(optimizer.create(chosen, 0.1, rates=[1, 1]), START, GRADIENTS)
    for i, value in enumerate(START.values()):
        x, velocity = value.astype(np.float64), 0.0
        for gradient in GRADIENTS[:, i].astype(np.float64):
            velocity = 0.8 * velocity - 0.1 * gradient
            x = x + 0.8 * velocity - 0.1 * gradient
        np.testing.assert_allclose(got[i], x, rtol=1e-5, atol=1e-6)


def test_rmsprop_is_the_default_and_takes_rates():
    plain = steps_of(en.RMSprop(0.1), START, GRADIENTS)
    made = optimizer.create(section(Optimisation), 0.1, rates=[1.0, 1.0])
    assert type(made) is en.RMSprop
    for got, wanted in zip(steps_of(made, START, GRADIENTS), plain, strict=True):
        np.testing.assert_array_equal(got, wanted)
    halved = optimizer.create(section(Optimisation), 0.1, rates=[1.0, 0.5])
    kernel, beta = steps_of(halved, START, GRADIENTS)
    np.testing.assert_array_equal(kernel, plain[0])
    moved = plain[1] - START["beta"]
    np.testing.assert_allclose(beta - START["beta"], moved / 2, rtol=1e-4, atol=1e-6)


@pytest.fixture(scope="module")
def model():
    return en.EfficientNet(networks.own(*networks.KINDS[:3]), classes=5)


def test_rates_fall_from_the_classifier_to_the_stem(model):
    rates = stages.rates(model, decay=0.5)
    found = {
        stages.stage_of(v.path): rate
        for v, rate in zip(model.trainable_variables, rates, strict=True)
    }
    names = ["predictions", "top", "block3", "block2", "block1", "stem"]
    assert found == {name: 0.5**i for i, name in enumerate(names)}
    assert set(stages.rates(model, decay=1.0)) == {1.0}
