import collections
import math

import numpy as np
import pipelines
import pytest
import tensorflow as tf
from official.vision.ops import augment as official

from efficientnet_tf.data import augment

POLICY = official.AutoAugment.policy_v0()
OPERATORS = official.RandAugment().available_ops
# Cutout has a place instead of a sign.
GEOMETRIC = sorted(official.REPLACE_FUNCS & {*OPERATORS} - {"Cutout"})
FILL = [128, 128, 128]


def _image(height=29, width=37, seed=0) -> tf.Tensor:
    """Noise over a slope, so that every operator changes it."""
    rng = np.random.default_rng(seed)
    slope = np.linspace(10, 200, width)[:, np.newaxis]
    pixels = slope + rng.integers(0, 50, (height, width, 3))
    return tf.constant(pixels.astype(np.uint8))


def _seed(number: int) -> tf.Tensor:
    return tf.constant([5, number], tf.int64)


@pytest.mark.parametrize("level", [0, 1, 4.0, 7, 10, 17.0, 28.0])
@pytest.mark.parametrize(
    ("name", "translate"),
    [(name, 100) for name in OPERATORS if name != "Cutout"]
    + [(name, 250) for name in OPERATORS if name.startswith("Translate")],
)
def test_operators_are_those_of_tf_models(name, translate, level):
    argument = official.level_to_arg(40, translate)[name](level)
    operator = official.NAME_TO_FUNC[name]
    if name in GEOMETRIC:  # with a random sign
        wanted = [operator(_image(), s * abs(argument[0]), FILL) for s in (1, -1)]
    else:
        wanted = [operator(_image(), *argument)]
    wanted = {image.numpy().tobytes() for image in wanted}
    found = {
        augment.apply_operator(
            name, level, _image(), _seed(number), cutout=40, translate=translate
        )
        .numpy()
        .tobytes()
        for number in range(10 if len(wanted) > 1 else 1)
    }
    assert found == wanted


@pytest.mark.parametrize("name", GEOMETRIC)
def test_geometric_operators_take_either_sign_as_often(name):
    images = collections.Counter(
        augment.apply_operator(name, 5, _image(), _seed(n), cutout=40, translate=20)
        .numpy()
        .tobytes()
        for n in range(100)
    )
    assert sorted(images.values()) == pytest.approx([50, 50], abs=14)


def _cutout_place(height, width, number) -> tuple[int, int]:
    """The centre that `_cutout` draws, found by cutting a single pixel's square."""
    white = tf.fill([height, width, 3], tf.constant(255, tf.uint8))
    grey = augment.cutout_square(white, 1, _seed(number)).numpy()[..., 0] == 128
    rows, columns = np.nonzero(grey)
    # Two pixels a side, the centre the further of them unless that is at the start.
    y = rows.max() if grey.any(1).sum() == 2 else 0
    x = columns.max() if grey.any(0).sum() == 2 else 0
    return int(y), int(x)


@pytest.mark.parametrize(
    ("level", "cutout", "half_side"),
    [(3, 100, 30), (1, 40, 4), (10, 40, 40), (2.5, 40, 10), (0, 40, 0), (28, 40, 112)],
)
def test_cutout_cuts_as_tf_models_at_the_same_place(level, cutout, half_side):
    height, width = 61, 83
    image = _image(height, width)
    for number in range(20):
        found = augment.apply_operator(
            "Cutout", level, image, _seed(number), cutout=cutout, translate=0
        )
        y, x = _cutout_place(height, width, number)
        wanted = official._fill_rectangle(image, x, y, half_side, half_side, FILL)
        np.testing.assert_array_equal(found, wanted)


def test_cutout_lies_everywhere():
    places = np.array([_cutout_place(20, 30, number) for number in range(300)])
    assert (places.min(0) <= 1).all()
    assert (places.max(0) == (19, 29)).all()
    assert places.mean(0) == pytest.approx((9.5, 14.5), abs=1.5)
    assert abs(np.corrcoef(places.T)[0, 1]) < 0.15


@pytest.mark.parametrize("name", ["autoaugment", "randaugment"])
def test_a_pipeline_augments_each_image_by_its_seed_alone(name):
    """Neither the global seed, threads, neighbours nor the graph change an image."""
    images = [_image(seed=n % 4) for n in range(60)]
    augmented = getattr(augment, name)
    tf.random.set_seed(1)
    alone = [augmented(image, _seed(n)).numpy() for n, image in enumerate(images)]
    tf.random.set_seed(2)
    dataset = tf.data.Dataset.from_tensor_slices(images).enumerate()

    @tf.autograph.experimental.do_not_convert  # as in data.batches
    def augment_one(number, image):
        return augmented(image, tf.stack([5, number]))

    together = dataset.map(augment_one, num_parallel_calls=4)
    assert together.element_spec.dtype == tf.uint8
    # Both rounds by one iterator: to make one takes longer than 60 images.
    found = list(together.repeat(2).as_numpy_iterator())
    np.testing.assert_array_equal(alone, found[:60])
    np.testing.assert_array_equal(alone, found[60:])
    of_one = [augmented(images[0], _seed(n)).numpy().tobytes() for n in range(60)]
    assert len(set(of_one)) > 20
    assert of_one.count(images[0].numpy().tobytes()) < 15


def test_autoaugment_draws_all_25_sub_policies_alike(monkeypatch):
    chosen = []
    monkeypatch.setattr(
        augment,
        "apply_with_probability",
        lambda name, probability, level, image, seed: (
            chosen.append((name, probability, level)) or image
        ),
    )
    image, count = tf.zeros([1, 1, 3], tf.uint8), 1000
    for number in range(count):
        augment.autoaugment(image, _seed(number))
    assert len(POLICY) == 25
    drawn = collections.Counter(zip(chosen[::2], chosen[1::2], strict=True))
    distinct = collections.Counter(tuple(sub_policy) for sub_policy in POLICY)
    assert drawn.keys() == distinct.keys()
    for sub_policy, times in distinct.items():
        assert drawn[sub_policy] == pytest.approx(times * count / 25, rel=0.6)


def test_autoaugment_applies_operators_with_their_probability(monkeypatch):
    applied = collections.Counter()

    def apply(name, level, image, seed, *, cutout, translate):
        assert (cutout, translate) == (100, 250)
        applied[name] += 1
        return image

    monkeypatch.setattr(augment, "apply_operator", apply)
    image = tf.zeros([1, 1, 3], tf.uint8)
    for number in range(400):
        for name, probability in [("never", 0.0), ("some", 0.4), ("always", 1.0)]:
            augment.apply_with_probability(name, probability, 5, image, _seed(number))
    assert (applied["never"], applied["always"]) == (0, 400)
    assert applied["some"] == pytest.approx(160, abs=30)


@pytest.mark.parametrize(("num_layers", "magnitude"), [(1, 5), (2, 17.0), (3, 10)])
def test_randaugment_draws_all_16_operators_alike(monkeypatch, num_layers, magnitude):
    layers = []

    def apply(name, level, image, seed, *, cutout, translate):
        assert (level, cutout, translate) == (magnitude, 40, 100)
        layers.append(name)
        return image

    monkeypatch.setattr(augment, "apply_operator", apply)
    image, count = tf.zeros([1, 1, 3], tf.uint8), 500
    for number in range(count):
        augment.randaugment(
            image, _seed(number), num_layers=num_layers, magnitude=magnitude
        )
    assert len(layers) == num_layers * count
    assert len(OPERATORS) == 16
    for layer in range(num_layers):
        drawn = collections.Counter(layers[layer::num_layers])
        assert drawn.keys() == set(OPERATORS)
        assert max(drawn.values()) < 2 * count / 16
    pairs = set(zip(layers[::num_layers], layers[1::num_layers], strict=False))
    assert num_layers == 1 or len(pairs) > 150


@pytest.mark.parametrize("magnitude", [3.0, 17.0])
def test_a_runs_settings_reach_randaugment(magnitude):
    chosen = pipelines.augmentation(
        augment="randaugment",
        randaugment_num_layers=3,
        randaugment_magnitude=magnitude,
    )
    for number in range(4):
        found = augment.augmented(_image(), _seed(number), chosen)
        wanted = augment.randaugment(
            _image(), _seed(number), num_layers=3, magnitude=magnitude
        )
        np.testing.assert_array_equal(found, wanted)


def test_randaugment_layers_build_on_each_other(monkeypatch):
    monkeypatch.setattr(
        augment, "apply_operator", lambda name, level, image, seed, **_: image + 1
    )
    image = augment.randaugment(tf.zeros([1, 1, 3], tf.uint8), _seed(0), num_layers=5)
    assert image.numpy().tolist() == [[[5, 5, 5]]]


@pytest.mark.parametrize("alpha", [0.01, 0.2, 1.0])
def test_mixup_blends_image_and_label_alike(alpha):
    count = 64
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 5, 4, 3), np.uint8)
    labels = np.eye(count, dtype=np.float32)
    mixed_images, mixed_labels = augment.mixup(
        tf.constant(images), tf.constant(labels), alpha=alpha, seed=[1, 2]
    )
    assert (mixed_images.dtype, mixed_labels.dtype) == (tf.uint8, tf.float32)
    weight = np.diagonal(mixed_labels)
    assert weight.min() >= 0.5
    assert weight.max() <= 1
    np.testing.assert_allclose(
        mixed_labels,
        weight[:, np.newaxis] * labels + (1 - weight)[:, np.newaxis] * labels[::-1],
        atol=1e-6,
    )
    weight = weight[:, np.newaxis, np.newaxis, np.newaxis].astype(float)
    wanted = weight * images + (1 - weight) * images[::-1].astype(float)
    # Half a level of rounding, and what float32 adds to it.
    assert np.abs(mixed_images.numpy() - wanted).max() < 0.501


def test_mixup_of_an_odd_batch_leaves_the_middle_as_it_is():
    images = np.random.default_rng(0).integers(0, 256, (3, 2, 2, 3), np.uint8)
    mixed, labels = augment.mixup(
        tf.constant(images), tf.eye(3), alpha=1.0, seed=[0, 3]
    )
    np.testing.assert_array_equal(mixed[1], images[1])
    np.testing.assert_allclose(labels[1], [0, 1, 0], atol=1e-6)
    assert (mixed[0].numpy() != images[0]).any()


@pytest.mark.parametrize("alpha", [0.05, 0.2, 1.0, 2.0, 8.0])
def test_mixup_weights_are_the_larger_of_beta_draws(alpha):
    count = 20_000
    images, labels = tf.zeros([count, 1, 1, 3], tf.uint8), tf.one_hot([0] * count, 2)
    labels = tf.where(tf.range(count)[:, tf.newaxis] < count // 2, labels, 1 - labels)
    _, mixed = augment.mixup(images, labels, alpha=alpha, seed=[0, 0])
    weight = tf.reduce_sum(mixed * labels, 1).numpy()
    # E max(w, 1 - w) of Beta(a, a) is 1/2 + 1 / (a 4^a B(a, a)).
    log_beta = 2 * math.lgamma(alpha) - math.lgamma(2 * alpha)
    mean = 0.5 + 1 / (alpha * 4**alpha * math.exp(log_beta))
    assert weight.mean() == pytest.approx(mean, abs=0.005)
    # E (w - 1/2)^2 is the variance, 1 / (4 (2 a + 1)).
    assert ((weight - 0.5) ** 2).mean() == pytest.approx(
        1 / (4 * (2 * alpha + 1)), abs=0.004
    )


def test_mixup_is_decided_by_the_seed():
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 2, 2, 3)))
    images = tf.cast(images, tf.uint8)
    weights = []
    for seed in ([1, 1], [1, 1], [1, 2]):
        tf.random.set_seed(len(weights))
        weights.append(augment.mixup(images, tf.eye(8), alpha=0.5, seed=seed)[1])
    np.testing.assert_array_equal(weights[0], weights[1])
    assert (weights[0].numpy() != weights[2].numpy()).any()
    assert len({row.tobytes() for row in np.diagonal(weights[0])}) == 8
