"""Small data sets of tfds that tests make."""

import io

import tensorflow_datasets as tfds
from PIL import Image

from efficientnet_tf.data import sources, tfds_table

CLASSES = 3


TRAIN, VALIDATION = 50, 11  # images, told apart by their grey


FEATURES = {
    "image": tfds.features.Image(),
    "label": tfds.features.ClassLabel(num_classes=CLASSES),
}


def encode(grey: int) -> bytes:
    """An image of one grey, which JPEG keeps; odd ones are PNGs."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (grey,) * 3).save(buffer, ["JPEG", "PNG"][grey % 2])
    return buffer.getvalue()


def label_of(grey: int) -> int:
    return (grey // 7) % CLASSES


def make_examples(first: int, count: int) -> list[dict]:
    greys = range(first, first + count)
    return [{"image": encode(grey), "label": label_of(grey)} for grey in greys]


def store(data_dir, name="tiny", *, features=None, shards=3, **options):
    """Has tfds write a dataset, with what is left of `options` for its splits."""
    splits = options.pop("splits", None) or {
        "train": make_examples(0, TRAIN),
        "validation": make_examples(100, VALIDATION),
    }
    known = name in tfds_table.ROWS
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version=tfds.builder_cls(name).VERSION if known else "1.0.0",
        features=tfds.features.FeaturesDict(features or FEATURES),
        split_datasets={name: list(enumerate(of)) for name, of in splits.items()},
        data_dir=str(data_dir),
        download_config=tfds.download.DownloadConfig(num_shards=shards),
        **options,
    )
    return str(data_dir)


def open_tfds(data_dir, name="tiny", *, minival=0.0, num_classes=CLASSES):
    return sources.open_source(
        f"tfds:{name}",
        data_dir,
        num_classes=num_classes,
        minival_shards=minival,
        num_train_images=None,
    )
