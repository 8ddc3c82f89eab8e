"""What is drawn: the same for a seed for ever, with the original's probabilities."""

import collections
import functools

import augment_support as support
import numpy as np
import pytest
import tensorflow as tf
from augment_support import index, made_plan, split, uniform
from scipy import stats

from efficientnet_tf.data.augment import draws, plan, policies

DRAWS = 20_000


def _drawn(made: plan.Plan, count: int, start: int = 0) -> np.ndarray:
    """Draws of the seeds (5, start) and on, int [count, layers, 5]."""
    seeds = tf.stack([tf.fill([count], 5), tf.range(start, start + count)], 1)
    dataset = tf.data.Dataset.from_tensor_slices(tf.cast(seeds, tf.int64))

    @tf.autograph.experimental.do_not_convert
    def draw(seed):
        return draws.draw(seed, made)

    return next(dataset.map(draw).batch(count).as_numpy_iterator())


@functools.cache
def _many(augment: str, **chosen) -> tuple[plan.Plan, np.ndarray]:
    made = made_plan(augment, 224, **chosen)
    return made, _drawn(made, DRAWS)


def _assert_drawn(found: np.ndarray, probabilities: dict[int, float]) -> None:
    """Numbers follow probabilities: chi-square, and no number but those."""
    counts = collections.Counter(found.tolist())
    assert counts.keys() <= {n for n, p in probabilities.items() if p > 0}
    expected = {n: p * len(found) for n, p in probabilities.items() if p > 0}
    assert sum(expected.values()) == pytest.approx(len(found))
    observed = [counts[number] for number in expected]
    assert stats.chisquare(observed, list(expected.values())).pvalue > 1e-4


@pytest.mark.parametrize("seed", range(40))
def test_autoaugments_draws_are_those_of_the_seed(seed):
    made = made_plan("autoaugment", 224)
    choice_seed, *step_seeds = split((5, seed), 3)
    choice = index(choice_seed, 25)
    wanted = []
    for layer, step_seed in enumerate(step_seeds):
        coin_seed, operator_seed = split(step_seed, 2)
        probability = policies.AUTOAUGMENT["autoaugment"][choice][layer][1]
        happens = uniform(coin_seed)[0] < np.float32(probability)
        negative = int(uniform(operator_seed)[0] < 0.5)
        wanted.append(made.choices[choice, layer, negative] if happens else 0)
    found = draws.draw(tf.constant([5, seed], tf.int64), made)
    assert found[:, 0].numpy().tolist() == wanted


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("seed", range(15))
def test_randaugments_draws_are_those_of_the_seed(seed, layers):
    made = made_plan("randaugment", 224, randaugment_num_layers=layers)
    found = draws.draw(tf.constant([5, seed], tf.int64), made).numpy()
    for row, layer_seed in zip(found, split((5, seed), layers), strict=True):
        choice_seed, operator_seed = split(layer_seed, 2)
        drawn = uniform(operator_seed, 2)
        choice = made.choices[index(choice_seed, 16), 0]
        assert row[0] == choice[int(drawn[0] < 0.5)]
        if row[0] == made.choices[policies.RANDAUGMENT.index("Cutout"), 0, 0]:
            y, x = (drawn * np.float32(224)).astype(int)
            box = np.clip([y - 40, x - 40, y + 40, x + 40], 0, 224)
            assert row[1:].tolist() == box.tolist()


@pytest.mark.parametrize("name", policies.AUTOAUGMENT)
def test_autoaugment_draws_every_pair_with_its_probability(name):
    """Sub-policy, whether each operator happens, and signs, in one distribution."""
    made, found = _many(name)
    wanted = collections.Counter()
    for number, row in enumerate(policies.AUTOAUGMENT[name]):
        outcomes = [
            [(0, 1 - probability)]
            + [(made.choices[number, layer, s], probability / 2) for s in (0, 1)]
            for layer, (_, probability, _) in enumerate(row)
        ]
        for one, p in outcomes[0]:
            for other, q in outcomes[1]:
                wanted[int(one) * 1000 + int(other)] += p * q / 25
    _assert_drawn(found[:, 0, 0] * 1000 + found[:, 1, 0], dict(wanted))


@pytest.mark.parametrize("layers", [1, 2])
def test_randaugment_draws_all_operators_and_signs_alike(layers):
    made, found = _many("randaugment", randaugment_num_layers=layers)
    share = collections.Counter()
    for number in made.choices.ravel():
        share[int(number)] += 1 / 32
    assert len(policies.RANDAUGMENT) == 16
    for layer in range(layers):
        _assert_drawn(found[:, layer, 0], dict(share))
    if layers == 2:
        pairs = {a * 100 + b: share[a] * share[b] for a in share for b in share}
        _assert_drawn(found[:, 0, 0] * 100 + found[:, 1, 0], pairs)


def test_trivialaugment_draws_operators_levels_and_signs_alike():
    made, found = _many("trivialaugment")
    share = collections.Counter()
    for number in made.choices.ravel():
        share[int(number)] += 1 / (14 * 31 * 2)
    _assert_drawn(found[:, 0, 0], dict(share))


def test_cutouts_places_are_uniform():
    made, found = _many("randaugment", randaugment_num_layers=1)
    cutout = made.choices[policies.RANDAUGMENT.index("Cutout"), 0, 0]
    boxes = found[found[:, 0, 0] == cutout, 0, 1:]
    assert len(boxes) > 1000
    for first, last in ((0, 2), (1, 3)):
        # Away from the border the box shows its centre.
        centre = np.where(
            boxes[:, first] > 0, boxes[:, first] + 40, boxes[:, last] - 40
        )
        assert stats.kstest(centre / 224, "uniform").pvalue > 1e-4


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_random_erasing_has_the_papers_areas_and_places(share):
    made = made_plan("none", 224, random_erasing=share)
    found = _drawn(made, DRAWS // 4)[:, 0]
    happens = found[:, 0] == made.erasing
    assert happens.mean() == pytest.approx(share, abs=0.02)
    top, left, bottom, right = found[happens, 1:].T
    assert min(top.min(), left.min()) == 0
    assert max(bottom.max(), right.max()) == 224
    height, width = bottom - top, right - left
    area = height * width / 224**2
    assert area.min() > 0.019
    assert area.max() < 1 / 3 + 0.01
    # Boxes that do not fit are drawn again: long ones, which are large.
    assert area.mean() == pytest.approx((0.02 + 1 / 3) / 2, abs=0.008)
    ratio = np.log(height / width)
    assert np.abs(ratio).max() < np.log(1 / 0.3) + 0.05
    assert ratio.mean() == pytest.approx(0, abs=0.05)
    assert (top / (224 - height)).mean() == pytest.approx(0.5, abs=0.02)


def test_a_square_is_cut_out_of_every_image():
    made = made_plan("none", 64, cutout=16)
    found = _drawn(made, 500)[:, 0]
    assert (found[:, 0] == made.cutout).all()
    assert made.actions[made.cutout].values == (128, 128, 128)
    top, left, bottom, right = found[:, 1:].T
    assert (bottom - top).max() == (right - left).max() == 16
    assert (bottom - top).min() in (8, 9)  # half of it at the border
    assert (top == 0).mean() == pytest.approx(9 / 64, abs=0.06)


def test_further_changes_leave_the_policys_draws_alone():
    plain = _drawn(made_plan("autoaugment", 224), 50)
    more = made_plan("autoaugment", 224, cutout=16, random_erasing=0.5)
    found = _drawn(more, 50)
    assert found.shape == (50, 4, 5)
    np.testing.assert_array_equal(found[:, :2, 0], plain[:, :, 0])


def test_the_global_seed_changes_no_draw():
    made = made_plan("randaugment", 224, random_erasing=0.5)
    tf.random.set_seed(1)
    first = _drawn(made, 20)
    tf.random.set_seed(2)
    np.testing.assert_array_equal(first, _drawn(made, 20))
    assert len({row.tobytes() for row in first}) == 20


def test_our_philox_is_tensorflows():
    seed = tf.constant([7, 2**40 + 3], tf.int64)
    found = tf.random.stateless_uniform([9], seed)
    np.testing.assert_array_equal(found, support.uniform(seed.numpy(), 9))
    np.testing.assert_array_equal(
        tf.random.split(seed, 3), np.uint64(split(seed.numpy(), 3)).astype(np.int64)
    )
