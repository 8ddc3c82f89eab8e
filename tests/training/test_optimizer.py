"""Optimizers, schedules and averages against TF1 and exact formulas."""

import fractions

import keras
import numpy as np
import pytest
import tensorflow as tf

import efficientnet_tf as en

SHAPES = [(3, 3, 4, 8), (8,), (8, 10)]
STEPS = 20


def random_arrays(seed, count):
    rng = np.random.default_rng(seed)
    return [
        [rng.normal(0, 1, shape).astype("float32") for shape in SHAPES]
        for _ in range(count)
    ]


def test_rmsprop_equals_tf1_over_20_steps():
    (initial,), gradients = random_arrays(0, 1), random_arrays(1, STEPS)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variables = [tf.compat.v1.Variable(value) for value in initial]
        feeds = [tf.compat.v1.placeholder(tf.float32, shape) for shape in SHAPES]
        optimizer = tf.compat.v1.train.RMSPropOptimizer(
            0.016, decay=0.9, momentum=0.9, epsilon=1e-3
        )
        step = optimizer.apply_gradients(zip(feeds, variables, strict=True))
        session.run(tf.compat.v1.global_variables_initializer())
        expected = []
        for values in gradients:
            session.run(step, dict(zip(feeds, values, strict=True)))
            expected.append(session.run(variables))

    variables = [keras.Variable(value) for value in initial]
    optimizer = en.RMSprop(0.016, rho=0.9, momentum=0.9, epsilon=1e-3)
    for values, wanted in zip(gradients, expected, strict=True):
        optimizer.apply_gradients(
            [(tf.constant(g), v) for g, v in zip(values, variables, strict=True)]
        )
        for variable, value in zip(variables, wanted, strict=True):
            # 20 steps of 8 operations, each rounding by 2**-24: 1e-5 at most.
            np.testing.assert_allclose(variable.numpy(), value, atol=1e-4, rtol=1e-4)


def test_rmsprop_differs_from_keras_in_the_first_step():
    def first_step(optimizer):
        variable = keras.Variable([0.0])
        optimizer.apply_gradients([(tf.constant([1e-3]), variable)])
        return variable.numpy()[0]

    kwargs = {"rho": 0.9, "momentum": 0.9, "epsilon": 1e-3}
    keras_step = first_step(keras.optimizers.RMSprop(1.0, **kwargs))
    assert keras_step / first_step(en.RMSprop(1.0, **kwargs)) == pytest.approx(
        np.sqrt((0.9 + 1e-7 + 1e-3) / (1e-7 + 1e-3)), rel=1e-3
    )


def test_rmsprop_survives_saving():
    optimizer = en.RMSprop(0.1, rho=0.8)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, en.RMSprop)
    assert again.rho == 0.8


def test_averages_equal_tf1_with_num_updates():
    (initial,), values = random_arrays(2, 1), random_arrays(3, 50)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        step = tf.compat.v1.Variable(0)
        variables = [tf.compat.v1.Variable(value) for value in initial]
        average = tf.compat.v1.train.ExponentialMovingAverage(0.9, num_updates=step)
        update = average.apply(variables)
        shadows = [average.average(v) for v in variables]
        session.run(tf.compat.v1.global_variables_initializer())
        expected = []
        for number, arrays in enumerate(values, start=1):
            step.load(number, session)
            for variable, array in zip(variables, arrays, strict=True):
                variable.load(array, session)
            session.run(update)
            expected.append(session.run(shadows))

    variables = [keras.Variable(value, name=f"v{i}") for i, value in enumerate(initial)]
    average = en.ExponentialMovingAverage(variables, decay=0.9)
    for number, (arrays, wanted) in enumerate(
        zip(values, expected, strict=True), start=1
    ):
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)
        average.update(number)
        for shadow, value in zip(average.averages, wanted, strict=True):
            np.testing.assert_allclose(shadow.numpy(), value, atol=1e-6, rtol=1e-5)


# Relative: one step of the warm-up is 6e-4 and float32 errs by 1e-7; one stair is 3e-2,
# and powers of float32 err by 5e-6.
STEP, STAIR = 1e-5, 1e-3
IMAGENET = {"batch_size": 4096, "train_images": 1_281_167}


def rate(step, **kwargs):
    return float(en.learning_rate(step, **(IMAGENET | kwargs)))


def test_rate_starts_at_zero_and_peaks_at_a_hundredth_per_256():
    steps_per_epoch = 1_281_167 / 4096
    warmup_end = int(5 * steps_per_epoch)
    assert rate(0) == 0
    assert rate(warmup_end // 2) == pytest.approx(
        0.256 * (warmup_end // 2) / warmup_end, rel=STEP
    )
    # Counted from step 0: two stairs (2.4 and 4.8 epochs) lie inside the warm-up.
    assert rate(warmup_end) == pytest.approx(0.256 * 0.97**2, rel=STEP)
    assert rate(warmup_end - 1) == pytest.approx(
        0.256 * (warmup_end - 1) / warmup_end, rel=STEP
    )


@pytest.mark.parametrize(
    "setting",
    [
        IMAGENET,
        {"batch_size": 2048, "train_images": 1_281_167},
        {"batch_size": 64, "train_images": 1347},
        {"batch_size": 50, "train_images": 1000},  # edges at whole steps
    ],
)
def test_rate_falls_exactly_at_every_stair_of_350_epochs(setting):
    stair = fractions.Fraction(12, 5) * setting["train_images"] / setting["batch_size"]
    peak = 0.016 * setting["batch_size"] / 256
    warmup = 5 * setting["train_images"] / setting["batch_size"]
    edges = [(k, -(-k * stair.numerator // stair.denominator)) for k in range(3, 146)]
    steps = np.array([edge + offset for _, edge in edges for offset in (-1, 0)])
    assert steps.min() > warmup
    got = en.learning_rate(tf.constant(steps), **setting).numpy()
    wanted = [peak * 0.97**k for stairs, _ in edges for k in (stairs - 1, stairs)]
    np.testing.assert_allclose(got, wanted, rtol=STAIR)


def test_rate_after_350_epochs_is_the_papers():
    last = int(350 * 1_281_167 / 4096)
    assert rate(last) == pytest.approx(0.256 * 0.97 ** int(350 / 2.4), rel=STAIR)


def test_rate_equals_tf1_exponential_decay():
    decay_steps = 2.4 * 1_281_167 / 2048
    steps = [4000, 20_000, 123_456, 218_949]
    for step in steps:
        expected = tf.compat.v1.train.exponential_decay(
            0.128, step, decay_steps, 0.97, staircase=True
        )
        value = expected() if callable(expected) else expected
        # TF1 raises a float32 0.97 to the power, which costs it 4e-6 at the end.
        assert rate(step, batch_size=2048) == pytest.approx(float(value), rel=STAIR)


def test_schedule_drives_a_keras_optimizer():
    schedule = en.LearningRate(**IMAGENET, warmup_epochs=0.0)
    optimizer = en.RMSprop(schedule)
    assert float(optimizer.learning_rate) == pytest.approx(0.256, rel=STEP)
    assert schedule.get_config() == {**IMAGENET, "warmup_epochs": 0.0}
