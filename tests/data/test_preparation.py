from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from image_support import encode, photo
from PIL import Image

from efficientnet_tf.data import preparation


def _resized(pixels: np.ndarray, size: int) -> np.ndarray:
    """TF1's bicubic resizing, rounded to uint8."""
    resized = tf.compat.v1.image.resize_bicubic(pixels[np.newaxis], [size, size])[0]
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)


def _center_square(pixels: np.ndarray, side: int) -> np.ndarray:
    """The central square, one pixel further from the origin where it cannot be."""
    y, x = ((length - side + 1) // 2 for length in pixels.shape[:2])
    return pixels[y : y + side, x : x + side]


def _eval(encoded: bytes, *, size=32, fraction=1.0, resize="bicubic") -> np.ndarray:
    image = preparation.Preparation(size, fraction, resize).decode(encoded)
    assert image.dtype == tf.uint8
    return image.numpy()


def _distort(
    encoded: bytes, seed=(0, 0), *, size=32, fraction=0.875, resize="bicubic", **kwargs
) -> np.ndarray:
    image = preparation.decode_and_distort(
        encoded,
        preparation.Preparation(size, fraction, resize),
        seed=tf.constant(seed, tf.int64),
        **{"crop_area_min": 0.08, "flip": True} | kwargs,
    )
    assert image.dtype == tf.uint8
    return image.numpy()


@pytest.mark.parametrize(
    ("size", "padded"),
    [(32, 1 / 2), (224, 7 / 8), (600, 600 / 632), (800, 800 / 832)],
)
def test_padded_crop_fractions(size, padded):
    assert preparation.crop_fraction(size, "padded") == pytest.approx(padded, abs=1e-12)


@pytest.mark.parametrize(
    ("size", "fixed"),
    [
        *((224, 0.875), (240, 0.87591), (260, 0.87542), (300, 0.87464)),
        *((380, 0.87558), (456, 0.87524), (528, 0.87562), (600, 0.87464)),
        *((32, 32 / 37), (672, 0.875)),
    ],
)
def test_fixed_crop_fractions_pad_whole_pixels(size, fixed):
    assert preparation.crop_fraction(size, "fixed") == pytest.approx(fixed, abs=5e-6)
    assert preparation.crop_fraction(size, "exact") == 0.875


@pytest.mark.parametrize(
    ("height", "width", "size", "rule", "side"),
    [
        (256, 256, 224, "padded", 224),
        (256, 256, 224, "fixed", 224),
        (375, 500, 224, "padded", 328),
        (375, 500, 64, "padded", 250),
        (375, 500, 64, "fixed", 328),
        (500, 375, 300, "padded", 338),
        (333, 251, 128, "padded", 200),
        (333, 251, 128, "fixed", 220),
        (100, 640, 48, "padded", 60),
        (31, 17, 32, "padded", 8),
        (31, 17, 32, "fixed", 14),
        (3, 2, 8, "fixed", 1),
        (1, 1, 8, "fixed", 1),
        (1, 9, 32, "padded", 1),
    ],
)
def test_eval_crop_is_the_central_square_of_the_rule(height, width, size, rule, side):
    pixels = photo(height, width)
    found = _eval(
        encode(pixels), size=size, fraction=preparation.crop_fraction(size, rule)
    )
    wanted = _resized(_center_square(pixels, side), size)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize(("height", "width"), [(121, 87), (64, 200)])
def test_eval_crop_of_a_jpeg_is_that_of_the_whole_image(height, width, subsampling):
    pixels = photo(height, width)
    encoded = encode(pixels, "JPEG", quality=95, subsampling=subsampling)
    decoded = tf.io.decode_jpeg(encoded, channels=3).numpy()
    assert np.abs(decoded.astype(int) - pixels).mean() < 3
    side = {87: 58, 200: 42}[width]  # two thirds of the short side
    found = _eval(encoded, size=64, fraction=preparation.crop_fraction(64, "padded"))
    wanted = _resized(_center_square(decoded, side), 64)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("seed", range(3))
def test_eval_crops_are_equal_for_equal_pixels_of_other_formats(seed):
    pixels = photo(45, 61, seed)
    found = [_eval(encode(pixels, name), fraction=0.7) for name in ("PNG", "BMP")]
    np.testing.assert_array_equal(found[0], found[1])


def _jpeg(mode: str, **options) -> bytes:
    return encode(photo(21, 21), "JPEG", mode, quality=95, subsampling=0, **options)


def _sixteen_bit_png() -> bytes:
    return tf.io.encode_png(photo(21, 21).astype(np.uint16) * 256 + 77).numpy()


@pytest.mark.parametrize(
    ("encoded", "wanted", "mean_difference"),
    [
        (encode(photo(21, 21)), photo(21, 21), 0),
        (encode(photo(21, 21), mode="RGBA"), photo(21, 21), 0),
        (_sixteen_bit_png, photo(21, 21), 0),
        (
            encode(photo(21, 21), mode="L"),
            np.asarray(Image.fromarray(photo(21, 21)).convert("L").convert("RGB")),
            0,
        ),
        (_jpeg("RGB"), photo(21, 21), 3),
        (
            _jpeg("L"),
            np.asarray(Image.fromarray(photo(21, 21)).convert("L").convert("RGB")),
            2,
        ),
        (_jpeg("CMYK"), photo(21, 21), 3),
        (_jpeg("RGB", progressive=True), photo(21, 21), 3),
    ],
    ids=[
        *("png", "rgba-png", "16-bit-png", "grey-png"),
        *("jpeg", "grey-jpeg", "cmyk-jpeg", "progressive-jpeg"),
    ],
)
def test_every_kind_of_file_becomes_uint8_rgb(encoded, wanted, mean_difference):
    encoded = encoded() if callable(encoded) else encoded
    for found in (_eval(encoded, size=21), _distort(encoded, size=21)):
        assert found.shape == (21, 21, 3)
    difference = np.abs(_eval(encoded, size=21).astype(int) - wanted)
    assert difference.mean() <= mean_difference


def test_a_png_named_jpeg_is_read_by_its_bytes(tmp_path):
    path = tmp_path / "n02105855_2933.JPEG"
    path.write_bytes(encode(photo(30, 40)))
    encoded = tf.io.read_file(str(path))
    np.testing.assert_array_equal(
        _eval(encoded), _resized(_center_square(photo(30, 40), 30), 32)
    )
    seed = (4, 2)
    np.testing.assert_array_equal(
        _distort(encoded, seed), _distort(encode(photo(30, 40)), seed)
    )


@pytest.mark.parametrize(
    "encoded",
    [b"", b"not an image", encode(photo(21, 21), "JPEG")[:100]],
    ids=["empty", "text", "cut"],
)
def test_bytes_that_hold_no_image_are_refused(encoded):
    with pytest.raises(tf.errors.InvalidArgumentError):
        _eval(encoded)


def test_training_crops_are_decided_by_the_seed():
    encoded = encode(photo(90, 120))
    images = [_distort(encoded, (3, seed)) for seed in range(20)]
    again = [_distort(encoded, (3, seed)) for seed in range(20)]
    np.testing.assert_array_equal(images, again)
    assert len({image.tobytes() for image in images}) == 20
    assert (_distort(encoded, (4, 0)) != images[0]).any()


def test_training_crops_ignore_the_global_seed():
    encoded = encode(photo(90, 120))
    tf.random.set_seed(1)
    first = _distort(encoded, (3, 4))
    tf.random.set_seed(2)
    np.testing.assert_array_equal(_distort(encoded, (3, 4)), first)


def test_levels_can_be_cut_off_as_before_autoaugment():
    pixels = photo(40, 40)
    kwargs = {"crop_area_min": 1.0, "flip": False, "fraction": 1.0}
    resized = tf.compat.v1.image.resize_bicubic(pixels[np.newaxis], [32, 32])[0]
    wanted = np.clip(resized, 0, 255)
    cut_off = _distort(encode(pixels), cut_off=True, **kwargs)
    np.testing.assert_array_equal(cut_off, wanted.astype(np.uint8))
    rounded = _distort(encode(pixels), **kwargs)
    np.testing.assert_array_equal(rounded, np.rint(wanted).astype(np.uint8))
    assert 0.4 < (cut_off != rounded).mean() < 0.6


def test_where_no_crop_fits_training_takes_the_evaluation_crop():
    pixels = photo(8, 400)  # at 4/3 no crop can take 8% of it
    wanted = _resized(_center_square(pixels, 4), 32)
    got = _distort(encode(pixels), flip=False, fraction=0.5)
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("size", [21, 32, 61])
def test_bilinear_resizing_is_tf1s(size):
    picture = photo(40, 40)
    expected = tf.compat.v1.image.resize_bilinear(picture[np.newaxis], [size, size])[0]
    image = _eval(encode(picture), size=size, resize="bilinear")
    np.testing.assert_array_equal(image, np.rint(expected).astype(np.uint8))
    assert (image != _eval(encode(picture), size=size)).any()


@pytest.mark.parametrize("size", [21, 61, 224])
@pytest.mark.parametrize("cut_off", [False, True])
@pytest.mark.parametrize("levels", [[0, 255], [255], [0, 1], [254, 255]])
def test_bilinear_resizing_keeps_within_the_levels(levels, cut_off, size):
    picture = np.random.default_rng(0).choice(np.uint8(levels), [40, 40, 3])
    resized = tf.compat.v1.image.resize_bilinear(picture[np.newaxis], [size, size])[0]
    wanted = np.clip(resized if cut_off else np.rint(resized), 0, 255)
    kwargs = {"size": size, "resize": "bilinear", "cut_off": cut_off}
    kwargs |= {"crop_area_min": 1.0, "flip": False, "fraction": 1.0}
    image = _distort(encode(picture), **kwargs)
    np.testing.assert_array_equal(image, wanted.astype(np.uint8))


def test_training_crops_are_resized_as_asked():
    encoded = encode(photo(40, 40))
    kwargs = {"size": 64, "crop_area_min": 1.0, "flip": False}
    bilinear = _distort(encoded, resize="bilinear", **kwargs)
    assert (bilinear != _distort(encoded, resize="bicubic", **kwargs)).any()


@pytest.mark.parametrize("exif", [False, True])
def test_pipelines_share_one_graph_of_each_preparation(exif):
    encoded = encode(photo(40, 50), "JPEG")
    sides, calls = (23, 29), []
    read_shape = tf.image.extract_jpeg_shape

    def counted(contents):
        calls.append(contents)
        return read_shape(contents)

    def evaluated(prepared):
        return tf.data.Dataset.from_tensors(encoded).map(prepared.decode)

    def trained(prepared, seed):
        chosen = {"seed": tf.constant(seed, tf.int64), "crop_area_min": 0.3}
        return tf.data.Dataset.from_tensors(encoded).map(
            lambda image: preparation.decode_and_distort(
                image, prepared, flip=True, **chosen
            )
        )

    with mock.patch.object(tf.image, "extract_jpeg_shape", counted):
        prepared = [preparation.Preparation(n, 0.9, "bicubic", exif) for n in sides]
        found = [next(iter(evaluated(one))) for one in (*prepared, *prepared)]
        assert len(calls) == 2  # not one for each pipeline
        crops = [next(iter(trained(prepared[0], (7, n)))) for n in (1, 2, 1)]
        assert len(calls) == 3
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(crops[0], crops[2])
    assert (crops[0] != crops[1]).numpy().any()
    # Outside of graphs nothing is traced.
    np.testing.assert_array_equal(found[1], prepared[1].decode(encoded))
