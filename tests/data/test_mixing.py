"""MixUp and CutMix."""

import math

import numpy as np
import pipelines
import pytest
import tensorflow as tf
from builds import needs_xla

from efficientnet_tf.data.augment import mixing

COUNT, SIZE = 64, 24


def _chosen(mixup=0.0, cutmix=0.0):
    return pipelines.augmentation(mixup_alpha=mixup, cutmix_alpha=cutmix)


def _draw(seed=(1, 2), count=COUNT, size=SIZE, **alphas) -> dict[str, np.ndarray]:
    drawn = mixing.draw(tf.constant(seed, tf.int64), count, size, _chosen(**alphas))
    return {name: value.numpy() for name, value in drawn.items()}


def _images(count=COUNT) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def _mixed(images, drawn, **alphas) -> np.ndarray:
    return mixing.mix_images(tf.constant(images), drawn, _chosen(**alphas)).numpy()


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0])
def test_mixup_blends_image_and_label_alike(alpha):
    images, labels = _images(), np.eye(COUNT, dtype=np.float32)
    drawn = _draw(mixup=alpha)
    weight = drawn["weight"].astype(float)
    assert weight.min() >= 0.5
    assert weight.max() <= 1
    found = mixing.mix_labels(tf.constant(labels), drawn)
    rows = weight[:, np.newaxis]
    np.testing.assert_allclose(
        found, rows * labels + (1 - rows) * labels[::-1], atol=1e-6
    )
    rows = weight.reshape(-1, 1, 1, 1)
    # Exact in float64 too: weights are multiples of 2**-16.
    wanted = np.rint(rows * images + (1 - rows) * images[::-1].astype(float))
    np.testing.assert_array_equal(_mixed(images, drawn, mixup=alpha), wanted)


def test_mixup_of_an_odd_batch_leaves_the_middle_as_it_is():
    images, drawn = _images(3), _draw(count=3, mixup=1.0)
    mixed = _mixed(images, drawn, mixup=1.0)
    np.testing.assert_array_equal(mixed[1], images[1])
    np.testing.assert_allclose(mixing.mix_labels(tf.eye(3), drawn)[1], [0, 1, 0])
    assert (mixed[0] != images[0]).any()


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 2.0, 8.0])
def test_mixup_weights_are_the_larger_of_beta_draws(alpha):
    weight = _draw((0, 0), 20_000, mixup=alpha)["weight"]
    # E max(w, 1 - w) of Beta(a, a) is 1/2 + 1 / (a 4^a B(a, a)).
    log_beta = 2 * math.lgamma(alpha) - math.lgamma(2 * alpha)
    mean = 0.5 + 1 / (alpha * 4**alpha * math.exp(log_beta))
    assert weight.mean() == pytest.approx(mean, abs=0.005)
    # E (w - 1/2)^2 is the variance, 1 / (4 (2 a + 1)).
    assert ((weight - 0.5) ** 2).mean() == pytest.approx(
        1 / (4 * (2 * alpha + 1)), abs=0.004
    )


def test_cutmix_shows_the_counterpart_in_a_box_of_its_weight():
    images, drawn = _images(), _draw(cutmix=1.0)
    wanted = images.copy()
    for number, (top, left, bottom, right) in enumerate(drawn["box"]):
        box = np.s_[top:bottom, left:right]
        wanted[number][box] = images[COUNT - 1 - number][box]
        share = 1 - (bottom - top) * (right - left) / SIZE**2
        assert drawn["label_weight"][number] == pytest.approx(share, abs=1e-6)
    np.testing.assert_array_equal(_mixed(images, drawn, cutmix=1.0), wanted)
    labels = mixing.mix_labels(tf.eye(COUNT), drawn).numpy()
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
    np.testing.assert_allclose(np.diagonal(labels), drawn["label_weight"], atol=1e-6)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
def test_cutmix_boxes_have_beta_areas_around_uniform_places(alpha):
    size = 512
    boxes = _draw((0, 1), 20_000, size, cutmix=alpha)["box"]
    top, left, bottom, right = boxes.T
    whole = (top > 0) & (left > 0) & (bottom < size) & (right < size)
    sides = (bottom - top)[whole]
    assert (sides == (right - left)[whole]).all()
    # A centre lies everywhere alike; the box is cut off at the border.
    assert (top == 0).mean() == pytest.approx((bottom == size).mean(), abs=0.015)
    rng = np.random.default_rng(0)
    half = (np.sqrt(rng.beta(alpha, alpha, 200_000)) * size).astype(int) // 2
    centre = rng.integers(0, size, (2, 200_000))
    low, high = np.clip(centre - half, 0, size), np.clip(centre + half, 0, size)
    wanted = np.prod(high - low, 0) / size**2
    found = (bottom - top) * (right - left) / size**2
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert np.quantile(found, quantile) == pytest.approx(
            np.quantile(wanted, quantile), abs=0.012
        )


def test_a_batch_gets_one_of_the_two():
    cut = []
    for number in range(200):
        drawn = _draw((3, number), 4, mixup=0.4, cutmix=1.0)
        is_cut = (drawn["weight"] == 1).all()
        assert is_cut or not drawn["box"].any()
        cut.append(is_cut)
        alone = {"cutmix": 1.0} if is_cut else {"mixup": 0.4}
        for name, value in _draw((3, number), 4, **alone).items():
            np.testing.assert_array_equal(drawn[name], value)
    assert np.mean(cut) == pytest.approx(0.5, abs=0.12)


@needs_xla
def test_a_compiled_step_mixes_to_the_same_pixels():
    alphas = {"mixup": 0.4, "cutmix": 1.0}
    images = _images()
    for seed in ((0, 1), (0, 2), (0, 3)):
        drawn = _draw(seed, **alphas)
        compiled = tf.function(
            lambda i, d: mixing.mix_images(i, d, _chosen(**alphas)), jit_compile=True
        )
        values = {name: tf.constant(value) for name, value in drawn.items()}
        np.testing.assert_array_equal(
            compiled(tf.constant(images), values), _mixed(images, drawn, **alphas)
        )


def test_mixing_is_decided_by_the_seed():
    found = []
    for seed in ((1, 1), (1, 1), (1, 2)):
        tf.random.set_seed(len(found))
        found.append(_draw(seed, mixup=0.5)["weight"])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()
    assert len(set(found[0].tolist())) > COUNT / 2
