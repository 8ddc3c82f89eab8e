"""Images whose EXIF orientation says how they are to be turned."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from image_support import photo
from PIL import Image, ImageOps

from efficientnet_tf.data import decoding, orientation, preparation

PIXELS = photo(45, 61)
# Colours at half the resolution would differ at the edges of a window.
FORMATS = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
}
BEGIN = b"Exif\0\0"


def _saved(number: int, format="JPEG") -> bytes:
    exif = Image.Exif()
    exif.update({0x010F: "maker", 0x0112: number, 0x0131: "program"})
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, format, exif=exif, **FORMATS[format])
    return buffer.getvalue()


def _upright(encoded: bytes) -> Image.Image:
    return ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB")


def _tiff(*entries: tuple[int, int, int], order="<", offset=8) -> bytes:
    """A directory of (tag, type, value), whose values are SHORT or LONG."""
    begin = b"II*\0" if order == "<" else b"MM\0*"
    packed = [
        struct.pack(f"{order}HHI", tag, kind, 1)
        + struct.pack(f"{order}{'HH' if kind == 3 else 'I'}", *[value, 0][: 5 - kind])
        for tag, kind, value in entries
    ]
    head = begin + struct.pack(f"{order}I", offset)
    directory = struct.pack(f"{order}H", len(packed)) + b"".join(packed) + b"\0" * 4
    return head.ljust(offset, b"\0") + directory


def _jpeg(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with segments of the user's own behind its start."""
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[:8, :8]).save(buffer, "JPEG")
    told = [
        struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content
        for marker, content in segments
    ]
    return b"\xff\xd8" + b"".join(told) + buffer.getvalue()[2:]


@pytest.fixture(scope="module")
def read():
    """Reads the orientation of a JPEG in a graph."""
    signature = [tf.TensorSpec([], tf.string)]
    graph = tf.function(orientation.of_jpeg, signature, autograph=False)
    return lambda encoded: int(graph(tf.constant(encoded)))


@pytest.fixture(scope="module")
def prepare():
    """Whole images, evaluation's crops and two training crops, in one graph."""

    def whole(shape):
        return tf.concat([[0, 0], shape[:2]], 0)

    def graph(encoded):
        prepared = preparation.Preparation(24, 0.7, "bicubic", exif=True)
        crops = [
            preparation.decode_and_distort(
                encoded, prepared, seed=[seed, 1], crop_area_min=0.08, flip=True
            )
            for seed in (3, 4)
        ]
        image = decoding.decode_window(encoded, whole, exif=True)
        return image, tf.stack([prepared.decode(encoded), *crops])

    made = tf.function(graph, [tf.TensorSpec([], tf.string)], autograph=False)
    return lambda encoded: [tensor.numpy() for tensor in made(tf.constant(encoded))]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("number", range(1, 9))
def test_images_are_turned_as_pillow_turns_them(prepare, number, format):
    encoded = _saved(number, format)
    image, crops = prepare(encoded)
    wanted = np.asarray(_upright(encoded)).astype(int)
    assert image.shape == wanted.shape
    assert np.abs(image - wanted).mean() < (2 if format == "JPEG" else 1e-9)
    # Crops are those of the upright image, wherever in the stored one they are.
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    np.testing.assert_array_equal(crops, prepare(buffer.getvalue())[1])


def test_without_the_setting_no_image_is_turned():
    plain = preparation.Preparation(24, 0.7, "bicubic")
    kwargs = {"seed": [3, 1], "crop_area_min": 0.08, "flip": True}
    for format in FORMATS:
        found = [_saved(number, format) for number in (1, 6)]
        np.testing.assert_array_equal(*[plain.decode(one) for one in found])
        np.testing.assert_array_equal(
            *[preparation.decode_and_distort(one, plain, **kwargs) for one in found]
        )


MAKER, OTHER = (0x010F, 4, 9), (0x0131, 4, 9)


@pytest.mark.parametrize("number", [1, 2, 6, 8])
@pytest.mark.parametrize("order", "<>")
def test_directories_of_every_layout_are_read(read, order, number):
    ours = (0x0112, 3, number)
    for entries in ([ours], [MAKER, ours], [(1, 4, 1), MAKER, ours, OTHER]):
        for offset in (8, 20):
            exif = BEGIN + _tiff(*entries, order=order, offset=offset)
            assert read(_jpeg((0xE1, exif))) == number
    jfif = (0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    assert read(_jpeg(jfif, (0xE1, exif))) == number
    before = [(0xE2, b"ICC" * 9000), (0xFE, b"\xff\xe1"), (0xE1, b"http://ns.adobe")]
    assert read(_jpeg(jfif, *before, (0xE1, exif))) == number


@pytest.mark.parametrize(
    "exif",
    [
        _tiff(MAKER, OTHER),
        _tiff((0x0112, 3, 0)),
        _tiff((0x0112, 3, 9)),
        _tiff((0x0112, 4, 6), order=">"),  # LONG, which EXIF does not allow
        _tiff(),
        _tiff((0x0112, 3, 6))[:12],
        _tiff((0x0112, 3, 6))[:-9],
        b"II*\0\xff\xff\xff\xff" + _tiff((0x0112, 3, 6)),
        b"??*\0" + _tiff((0x0112, 3, 6))[4:],
        b"II",
        b"",
        # The directory of the thumbnail comes second.
        _tiff(MAKER)[:-4] + b"\x1a\0\0\0" + _tiff((0x0112, 3, 6))[8:],
    ],
)
def test_what_states_no_orientation_leaves_an_image_as_it_is(read, exif):
    assert read(_jpeg((0xE1, BEGIN + exif))) == 1


def test_exif_elsewhere_is_not_the_images_own(read):
    exif = BEGIN + _tiff((0x0112, 3, 6))
    assert read(_jpeg()) == read(_jpeg((0xE2, exif))) == 1
    assert read(_jpeg() + exif) == 1
    assert read(_jpeg((0xE1, b"http://" + exif))) == 1
    assert read(_jpeg((0xFE, b"!" + struct.pack(">BBH", 0xFF, 0xE1, 40) + exif))) == 1
    assert read(b"\xff\xd8\xff\xe1\xff\xff" + exif[:20]) == 1
