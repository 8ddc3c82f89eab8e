"""Streams from memory: the same bits as from files, which are read once."""

import dataclasses
import io
import pathlib

import batches_support
import cv2
import damage_support
import numpy as np
import pipelines
import pytest
import tensorflow as tf
from PIL import Image
from slow_cases import slow

from efficientnet_tf.data import (
    bad_records,
    batches,
    decoding,
    image_files,
    image_headers,
    sources,
    tfrecord,
)
from efficientnet_tf.data.cache import Cache
from efficientnet_tf.data.pixels import Pixels, is_exact

IMAGES, CLASSES, BATCH = 21, 4, 4
HALVED = ("422", "420")
SAMPLINGS = ("444", "440", "411", *HALVED)


def _pixels(number: int, height: int = 19, width: int = 26) -> np.ndarray:
    rng = np.random.default_rng(number)
    noise = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    return cv2.GaussianBlur(noise, (3, 3), 0)


def _jpeg(number: int, sampling: str, orientation: int = 1, **sides) -> bytes:
    factor = getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{sampling}")
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor]
    encoded = cv2.imencode(".jpg", _pixels(number, **sides), options)[1].tobytes()
    exif = Image.Exif()
    exif[0x0112] = orientation
    segment = exif.tobytes()
    length = (len(segment) + 2).to_bytes(2)
    return encoded[:2] + b"\xff\xe1" + length + segment + encoded[2:]


def _picture(number: int) -> bytes:
    if number % 6 == 5:
        buffer = io.BytesIO()
        Image.fromarray(_pixels(number)).save(buffer, "PNG")
        return buffer.getvalue()
    return _jpeg(number, SAMPLINGS[number % 5], number % 8 + 1)


def _records(folder: pathlib.Path) -> tfrecord.Split:
    records = [
        damage_support.example(encoded=_picture(n), label=n % CLASSES + 1)
        for n in range(IMAGES)
    ]
    for index in range(3):
        damage_support.write(folder / str(index), records[index::3])
    return damage_support.split_of([folder / str(n) for n in range(3)], IMAGES)


def _files(folder: pathlib.Path) -> image_files.ImageFiles:
    folder.mkdir()
    paths = [folder / f"{n}\n%2F?.jpg" for n in range(IMAGES)]
    for number, path in enumerate(paths):
        path.write_bytes(_picture(number))
    classes = tuple(map(str, range(CLASSES)))
    labels = tuple((n % CLASSES,) for n in range(IMAGES))
    return image_files.ImageFiles(
        "train", tuple(map(str, paths)), IMAGES, classes, labels
    )


KINDS = {"records": _records, "files": _files}


def _cache(mode: str) -> Cache | None:
    return {
        "none": lambda: None,
        "encoded": Cache,
        "decoded": lambda: Cache(Pixels(10**8)),
    }[mode]()


def _source(split: tfrecord.Split, cache, bad=None) -> sources.Files:
    return sources.Files(tfrecord.Splits(split, None, split), bad, cache)


def _stream(source, start: int = 0, shard=None):
    prepared = dataclasses.replace(batches_support.prepare(16, 0.7), exif=True)
    return iter(
        source.train(
            pipelines.transform(prepared, CLASSES, crop_area_min=0.3),
            batch_size=BATCH,
            seed=0,
            start=start,
            shuffle_buffer=7,
            shard=shard or batches.Shard(),
        )
    )


def _drawn(stream, count: int) -> list[bytes]:
    found = [next(stream) for _ in range(count)]
    return [b["image"].numpy().tobytes() + b["label"].numpy().tobytes() for b in found]


def _evaluated(source) -> list[np.ndarray]:
    dataset = source.evaluate(
        source.splits.validation,
        dataclasses.replace(batches_support.prepare(8, 0.7), exif=True),
        labels=pipelines.labels(CLASSES),
        batch_size=IMAGES,
        shard=batches.Shard(),
    )
    return [value.numpy() for value in next(iter(dataset)).values()]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """By kind: a split, and its stream over three epochs without a cache."""
    found = {}
    for kind, write in KINDS.items():
        folder = tmp_path_factory.mktemp(kind) / "data"
        split = write(folder)
        found[kind] = folder, split, _drawn(_stream(_source(split, None)), 16)
    return found


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("records", "encoded"), ("files", "decoded"), *slow(("records", "decoded"))],
)
def test_a_stream_from_memory_is_the_same_and_needs_no_file(plain, kind, mode):
    folder, split, expected = plain[kind]
    source = _source(split, _cache(mode))
    stream = _stream(source)
    first = _drawn(stream, 5)
    hidden = folder.rename(folder.with_name("hidden"))
    try:
        assert first + _drawn(stream, 11) == expected
        assert _drawn(_stream(source, start=8 * BATCH), 8) == expected[8:]
    finally:
        hidden.rename(folder)


def test_evaluation_from_memory_is_the_same(plain):
    _, split, _ = plain["files"]
    expected = _evaluated(_source(split, None))
    for ours, theirs in zip(
        _evaluated(_source(split, _cache("decoded"))), expected, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_host_keeps_its_own_files(plain):
    _, split, _ = plain["files"]
    cache = _cache("encoded")
    source = _source(split, cache)
    _stream(source, shard=batches.Shard(1, 2))
    kept = {file for file in split.files if cache.path(file) != file}
    assert kept == set(split.files[1::2])


@pytest.mark.slow
def test_bad_records_are_skipped_alike(tmp_path):
    split = _records(tmp_path / "data")
    damage_support.flip_byte(pathlib.Path(split.files[1]), 2)
    drawn, listed = [], []
    for mode in ("none", "decoded"):
        bad = bad_records.BadRecords(limit=None)
        drawn.append(_drawn(_stream(_source(split, _cache(mode), bad)), 12))
        listed.append(bad.rows())
    assert drawn[0] == drawn[1]
    assert len(listed[0]) == 1
    assert listed[0] == listed[1]


def _in_graph(pixels: Pixels, window):
    return tf.function(lambda encoded: pixels.decode_window(encoded, window))


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "BMP"])
def test_files_of_other_formats_are_kept(format):
    buffer = io.BytesIO()
    Image.fromarray(_pixels(1)).save(buffer, format)
    encoded, pixels = tf.constant(buffer.getvalue()), Pixels(10**8)
    decode = _in_graph(pixels, lambda _: tf.constant([3, 4, 5, 6]))
    whole = np.asarray(Image.open(buffer).convert("RGB"))
    for _ in range(2):  # the second time from memory
        difference = decode(encoded).numpy().astype(int) - whole[3:8, 4:10]
        assert np.abs(difference).max() <= (2 if format == "WEBP" else 0)
    assert pixels._images.size() == 1


def test_a_cut_jpeg_is_decoded_as_far_as_a_window_needs():
    encoded = tf.constant(_jpeg(1, "444", height=200)[:-3000])
    pixels = Pixels(10**8)

    def window(_: tf.Tensor) -> tf.Tensor:
        return tf.constant([0, 0, 8, 20])

    expected = decoding.decode_window(encoded, window)
    np.testing.assert_array_equal(_in_graph(pixels, window)(encoded), expected)
    with pytest.raises(tf.errors.InvalidArgumentError):
        _in_graph(pixels, lambda shape: tf.concat([[0, 0], shape[:2]], 0))(encoded)


def test_memory_is_given_back():
    cache = _cache("encoded")
    cache.kept(tfrecord.Split("train", (__file__,), 1), [__file__])
    copy = cache.path(__file__)
    assert tf.io.gfile.GFile(copy).read() == pathlib.Path(__file__).read_text()
    del cache
    assert not tf.io.gfile.exists(copy)


def test_no_pixels_are_kept_above_the_limit():
    pixels = Pixels(3000)  # two images of 26x19, each with a header of 64 bytes
    decode = _in_graph(pixels, lambda _: tf.constant([1, 2, 9, 7]))
    for number in range(4):
        encoded = tf.constant(_jpeg(number, "444"))
        for _ in range(2):
            expected = tf.image.decode_and_crop_jpeg(encoded, [1, 2, 9, 7], channels=3)
            np.testing.assert_array_equal(decode(encoded), expected)
    assert pixels._images.size() == 2


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_windows_said_to_be_exact_are(sampling):
    width = 37
    encoded = _jpeg(1, sampling, width=width, height=8)
    block = image_headers.colour_block(encoded)
    assert block == {"411": 32, "422": 16, "420": 16}.get(sampling, 0)
    whole = decoding.decode_stored(tf.constant(encoded))[0].numpy()
    starts = (0, 1, 2, 15, 16, 17, 30, 31, 32, 33)
    corners = [(x, end) for x in starts for end in range(x + 1, width + 1)]
    exact = 0
    for x, end in corners:
        if is_exact(x, end - x, width=width, block=block):
            exact += 1
            window = [0, x, 8, end - x]
            crop = tf.image.decode_and_crop_jpeg(encoded, window, channels=3)
            np.testing.assert_array_equal(crop, whole[:, x:end])
    share = exact / len(corners)
    assert share == 1 if block == 0 else 0.2 < share < 0.6
