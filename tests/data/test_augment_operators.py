"""Every operator gives the original's pixels, bit for bit."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from augment_support import (
    equalize,
    grey,
    image,
    made_plan,
    operator,
    places,
    rotation,
    transform,
)
from PIL import Image, ImageEnhance
from slow_cases import slow

from efficientnet_tf.data.augment import (
    application,
    levels,
    operators,
    policies,
    tables,
)

SIZE = 36
SIGNED = ("Rotate", "ShearX", "ShearY", "TranslateX", "TranslateY")
CENTRE = (10, 33)


@functools.cache
def _applied(size: int, magnitude: float):
    """A function that applies RandAugment's actions at one magnitude to an image."""
    plan = made_plan(
        "randaugment",
        size,
        randaugment_num_layers=2,
        randaugment_magnitude=float(magnitude),
    )

    @functools.partial(tf.function, autograph=False)
    def apply(pixels, draw):
        return application.on_host(pixels, draw, plan)

    return plan, apply


def _found(names, level, pixels, *, negative=False) -> np.ndarray:
    """The image after one or two operators."""
    plan, apply = _applied(len(pixels), level)
    draw = np.zeros([2, 5], np.int32)
    for layer, name in enumerate(names):
        choice = plan.choices[policies.RANDAUGMENT.index(name), 0]
        number = choice[int(negative)]
        half = plan.half_sides[number]
        corners = [
            CENTRE[0] - half,
            CENTRE[1] - half,
            CENTRE[0] + half,
            CENTRE[1] + half,
        ]
        draw[layer] = [number, *np.clip(corners, 0, len(pixels))]
    return apply(pixels, draw).numpy()


def _factors(factor: float) -> list[tf.Tensor]:
    return [tf.constant(np.stack([part])) for part in tables.parts(factor)]


@pytest.mark.parametrize("level", [0, 7, 17.0, *slow(1, 4.0, 10, 28.0)])
def test_operators_give_the_originals_pixels(level):
    for name in policies.RANDAUGMENT:
        for seed in range(2):
            pixels = image(SIZE, seed)
            for negative in (False, True) if name in SIGNED else (False,):
                found = _found([name], level, pixels, negative=negative)
                wanted = operator(name, level, pixels, negative=negative, centre=CENTRE)
                np.testing.assert_array_equal(found, wanted, f"{name} {negative}")


@pytest.mark.parametrize("level", [4.0, 17.0])
def test_operators_build_on_each_other(level):
    """Among them tables that are composed, and all that read the image between."""
    pixels = image(SIZE)
    for first in policies.RANDAUGMENT:
        for second in policies.RANDAUGMENT:
            found = _found([first, second], level, pixels)
            wanted = operator(first, level, pixels, centre=CENTRE)
            wanted = operator(second, level, wanted, centre=CENTRE)
            np.testing.assert_array_equal(found, wanted, f"{first}, {second}")


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros([SIZE, SIZE, 3], np.uint8),
        np.full([SIZE, SIZE, 3], 255, np.uint8),
        np.tile(np.uint8([0, 7, 255]), (SIZE, SIZE, 1)),
        np.random.default_rng(1).integers(0, 2, (SIZE, SIZE, 3), np.uint8) * 255,
        np.random.default_rng(2).integers(0, 256, (SIZE, SIZE, 3), np.uint8),
    ],
    ids=["black", "white", "flat", "extremes", "noise"],
)
def test_operators_of_unusual_images(pixels):
    for name in policies.RANDAUGMENT:
        found = _found([name], 7, pixels)
        wanted = operator(name, 7, pixels, centre=CENTRE)
        np.testing.assert_array_equal(found, wanted, name)


def test_policy_v0_shifts_a_small_image_out_of_sight():
    # TranslateY at level 9 moves 225 rows; the original leaves a grey picture of 224.
    plan = made_plan("autoaugment", 224)
    (row,) = [
        n
        for n, p in enumerate(policies.AUTOAUGMENT["autoaugment"])
        if p[1][0] == "TranslateY"
    ]
    for action in plan.choices[row, 1]:
        draw = tf.constant([[0] * 5, [action, 0, 0, 0, 0]])
        found = application.on_host(tf.constant(image(224)), draw, plan)
        assert np.unique(found).tolist() == [128]


@pytest.mark.parametrize(
    ("size", "level"), [(32, 4), (224, 196), (256, 255), (600, 255)]
)
def test_randaugments_contrast_blends_with_a_constant(size, level):
    # At factor 0.1 nine tenths of a pixel are the constant.
    table = tables.constant_contrast(0.1, size)
    assert table[level] == level
    assert table.astype(int).tolist() == [
        int(np.float32(level) + np.float32(0.1) * np.float32(v - level))
        for v in range(256)
    ]


@pytest.mark.parametrize("bits", range(13))
def test_posterize_keeps_bits_as_a_uint8_shift_does(bits):
    shift = {0: 7, 9: 7, 10: 7, 11: 7, 12: 7}.get(bits, 8 - bits)
    wanted = [v >> shift << shift for v in range(256)]
    assert tables.posterize(bits).tolist() == wanted


def test_grey_is_that_of_every_colour():
    """All greens and blues with some reds, against NumPy and TensorFlow's own."""
    green, blue = np.mgrid[:256, :256].astype(np.uint8)
    for red in (0, 1, 77, 128, 200, 255):
        pixels = np.stack([np.full_like(green, red), green, blue], -1)
        pixels_of_one = tf.constant(pixels[np.newaxis])
        found = operators.colour(pixels_of_one, _factors(0))[0, ..., 0]  # grey alone
        np.testing.assert_array_equal(found, grey(pixels))
        theirs = tf.image.rgb_to_grayscale(pixels)[..., 0]
        np.testing.assert_array_equal(found, theirs)


@pytest.mark.parametrize("size", [8, 33, 224])
def test_transforms_take_the_originals_pixels_for_random_matrices(size):
    rng = np.random.default_rng(size)
    pixels = image(size)
    matrices = rng.normal([1, 0, 0, 0, 1, 0], [0.5, 0.5, size / 3] * 2, (30, 6))
    # Halves, where float32 decides: multiples of a quarter and shears by tenths.
    matrices[10:20] = np.round(matrices[10:20] * 4) / 4
    matrices[20:25] = [[1, k / 10, k - 2.5, -k / 10, 1, 0.5 - k] for k in range(5)]
    for matrix in matrices:
        axes = tf.constant(tables.axes(np.float32(matrix), size)[np.newaxis])
        found = operators.sources(axes).numpy().reshape(size, size)
        x, y = places(matrix, size)
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        np.testing.assert_array_equal(found, np.where(inside, y * size + x, -1))
        moved = operators.fetch(
            tf.constant(pixels[np.newaxis]), operators.sources(axes), (128, 128, 128)
        )
        np.testing.assert_array_equal(moved[0], transform(pixels, matrix))


@pytest.mark.parametrize("size", [32, 224, 601])
@pytest.mark.parametrize("degrees", [3.0, -21.0, 30.0, 84.0, -135.0])
def test_rotations_turn_around_the_centre(size, degrees):
    found = tables.rotation(degrees, size)
    np.testing.assert_array_equal(found, rotation(degrees, size))
    centre = np.array([(size - 1) / 2] * 2)
    moved = found.reshape(2, 3) @ [*centre, 1]
    np.testing.assert_allclose(moved, centre, atol=1e-4)


@pytest.mark.parametrize("factor", [0.0, 0.1, 0.46, 1.0, 1.36, 1.9, 5.14, 1 / 3])
def test_blends_of_all_levels_are_those_of_float32(factor):
    degenerate, level = np.mgrid[:256, :256]
    found = operators.blend(
        tf.constant(degenerate[np.newaxis]),
        tf.constant(level[np.newaxis]),
        _factors(factor),
    )
    np.testing.assert_array_equal(found[0], tables.blend(factor))


def test_mean_contrast_is_pillows():
    for seed in range(4):
        pixels = image(SIZE, seed)
        for factor in (0.01, 0.64, 1.18, 2.0):
            table = levels.contrast(tf.constant(pixels[np.newaxis]), _factors(factor))
            found = operators.look_up(tf.constant(pixels[np.newaxis]), table)[0]
            wanted = ImageEnhance.Contrast(Image.fromarray(pixels)).enhance(factor)
            np.testing.assert_array_equal(found, wanted)


def test_equalize_of_a_table_is_that_of_the_changed_image():
    pixels = image(SIZE)
    table = np.random.default_rng(0).integers(0, 256, (1, 3, 256)).astype(np.uint8)
    changed = np.stack([table[0, c][pixels[..., c]] for c in range(3)], -1)
    both = levels.equalize(
        tf.constant(table),
        tf.constant(pixels[np.newaxis]),
        lambda numbers, size: tf.math.bincount(numbers, minlength=size),
    )
    found = operators.look_up(tf.constant(pixels[np.newaxis]), both)[0]
    np.testing.assert_array_equal(found, equalize(changed))


def test_trivialaugment_fills_with_black():
    plan = made_plan("trivialaugment", SIZE)
    row = policies.TRIVIALAUGMENT.index("TranslateX")
    draw = tf.constant([[plan.choices[row, 30, 0], 0, 0, 0, 0]])
    found = application.on_host(tf.constant(image(SIZE)), draw, plan).numpy()
    wanted = np.zeros_like(found)
    wanted[:, : SIZE - 32] = image(SIZE)[:, 32:]
    np.testing.assert_array_equal(found, wanted)
