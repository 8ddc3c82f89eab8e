"""Images in memory as a source of data."""

import numpy as np
import pytest
from folder_support import WHOLE
from PIL import Image

import efficientnet_tf as en
from efficientnet_tf.data import batches, places
from efficientnet_tf.data.settings import Labels


def noise(count, *, seed=0, channels=3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 8, 8, channels), "uint8")


def drawn(dataset):
    batches_of = zip(*dataset.as_numpy_iterator(), strict=True)
    return [np.concatenate(part) for part in batches_of]


def test_arrays_come_back_bit_for_bit():
    images, labels = noise(10), np.arange(10) % 2
    data = en.data.from_arrays(images, labels, val_fraction=0.0)
    # A crop of everything at the images' own size changes no pixel.
    shown, told = drawn(data.dataset(image_size=8, batch_size=4, eval_crop="padded"))
    assert shown.shape == (10, 8, 8, 3) and shown.dtype == np.uint8
    assert sorted(told) == sorted(labels)
    source = data.evaluate(
        data.splits.train,
        WHOLE,
        labels=Labels(num_classes=2),
        batch_size=5,
        shard=batches.Shard(),
    )
    parts = list(source.take(2).as_numpy_iterator())
    found = np.concatenate([part["image"] for part in parts])
    np.testing.assert_array_equal(found, images[np.argsort(labels, kind="stable")])
    there = places.places(data.splits.train)
    again = places.read(data.splits.train, [there[0], there[9]], WHOLE)
    np.testing.assert_array_equal(again, found[[0, 9]])


def test_a_fixed_share_of_each_class_validates():
    images, names = noise(30), ["cat"] * 20 + ["ant"] * 10
    data = en.data.from_arrays(images, names, val_fraction=0.2)
    assert data.class_names == ("ant", "cat")
    assert data.splits.train.class_counts() == [8, 16]
    assert data.splits.validation.class_counts() == [2, 4]
    same = en.data.from_arrays(images, names, val_fraction=0.2)
    assert same.splits.validation.files == data.splits.validation.files
    other = en.data.from_arrays(images, names, val_fraction=0.2, seed=1)
    assert other.splits.validation.files != data.splits.validation.files


def test_pictures_of_any_size_and_kind_are_taken():
    sideways = Image.fromarray(noise(1, seed=1)[0])
    exif = sideways.getexif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    images = [
        Image.new("RGB", (9, 30), (200, 30, 30)),
        Image.new("L", (8, 8), 77),
        Image.new("P", (8, 8)),
        Image.new("CMYK", (8, 8)),
        np.full((8, 8), 5.0),
        np.full((5, 7, 1), 250, "uint16"),
        sideways,
    ]
    held = (noise(2, seed=3), [1, 0])
    data = en.data.from_arrays(
        images, [0, 1, 0, 1, 0, 1, 1], class_names=["a", "b"], validation=held
    )
    assert (data.splits.train.images, data.splits.validation.images) == (7, 2)
    found = {
        path: places.read(data.splits.train, [places.Place(path)], WHOLE)[0]
        for path in data.splits.train.files
    }
    assert found["0"][0, 0].tolist() == [200, 30, 30]
    assert (found["1"] == 77).all() and (found["4"] == 5).all()
    assert (found["5"] == 250).all() and (found["3"] == 255).all()
    turned = np.rot90(np.asarray(sideways), -1)
    assert np.array_equal(found["6"], np.asarray(sideways)) or np.array_equal(
        found["6"], turned
    )


def test_several_labels_an_image():
    labels = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    data = en.data.from_arrays(noise(3), labels, val_fraction=0.0)
    assert data.multi_label and data.class_names == ("class 0", "class 1", "class 2")
    _, told = drawn(data.dataset(image_size=8))
    assert told.dtype == np.float32
    assert sorted(map(tuple, told.tolist())) == sorted(map(tuple, labels.tolist()))


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (noise(3), [0, 1], "labels: have the shape [2] for 3 images"),
        (noise(2), [0, -1], "labels: that of image 1 is -1; allowed is 0 to"),
        (noise(2), [0.5, 1.0], "labels: are float64"),
        (noise(2), [[0, 2], [1, 0]], "labels: allowed is 0 and 1 for each of 2"),
        (noise(2) / 255.0, [0, 1], "images: the largest pixel is"),
        (noise(2).astype(int) + 300, [0, 1], "images: image 0 has pixels from 3"),
        (noise(2, channels=5), [0, 1], "images: image 0 is uint8 [8, 8, 5]"),
        ([], [], "images: there are none"),
        ([np.full((2, 2), np.nan)], [0], "images: image 0 has pixels from nan"),
    ],
)
def test_what_cannot_be_used_is_named(images, labels, told):
    with pytest.raises(ValueError) as error:
        en.data.from_arrays(images, labels, val_fraction=0.0)
    assert str(error.value).startswith(told)


def test_a_split_without_images_is_refused():
    data = en.data.from_arrays(noise(2), [0, 1], val_fraction=0.0)
    for split in ("validation", "test"):
        with pytest.raises(ValueError, match=f"split={split}: holds no images"):
            data.dataset(split, image_size=8)
