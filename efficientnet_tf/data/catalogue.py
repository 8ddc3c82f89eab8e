"""Facts of the data sets that are known without reading an image; no TensorFlow."""

import os
from typing import Any

from efficientnet_tf import files, label_sets
from efficientnet_tf.data import folder, label_csv, manifest, tfds_table

_FACTS = {
    "digits": {"num_classes": 10},
    # The paper holds out 25,022 images; 20 of the 1,024 shards hold exactly that.
    "imagenet": {"num_classes": 1000, "minival_shards": 20},
    "fake": {"num_classes": 1000, "minival_shards": 0},
}


def facts(
    dataset: str,
    data_dir: str | None,
    *,
    num_classes: int | None = None,
    label_offset: int = 0,
    multi_label: bool | None = None,
    val_fraction: float = 0.0,
) -> dict[str, Any]:
    """Returns the settings that a data set decides; a folder's classes are counted.

    Of CSV files the columns say whether an image may have several labels.

    Args:
        dataset: the setting of that name, see `data.settings.Data`.
        data_dir: the data set's folder; None where none is named.
        num_classes: int, outputs of the network; None if the user chose no number.
        label_offset: int, outputs before the first label.
        multi_label: bool, whether the user or the weights say that an image may have
            several labels; None if nobody says.
        val_fraction: float, the setting of that name, see `data.settings.Reading`.

    Raises:
        ValueError: if the number of classes chosen is not the data's, or unknown; if
            CSV files cannot be read.
    """
    labels = None if num_classes is None else num_classes - label_offset
    if dataset == "folder" and data_dir is not None:
        layout = folder.find_layout(
            data_dir, num_classes=labels, val_fraction=val_fraction
        )
        return {"num_classes": len(layout.classes) + label_offset, "exif": True}
    if dataset == "csv" and data_dir is not None:
        listing = label_csv.read(
            data_dir,
            num_classes=labels,
            multi_label=multi_label,
            val_fraction=val_fraction,
        )
        classes = len(listing.classes) + label_offset
        multi_label = listing.multi_label
        return {"num_classes": classes, "multi_label": multi_label, "exif": True}
    if dataset == "imagenet" and data_dir is not None:
        return _FACTS["imagenet"] | _of_records(data_dir, label_offset)
    name = tfds_table.name_of(dataset)
    if name is None:
        return dict(_FACTS.get(dataset, {}))
    row = tfds_table.find(name)
    if row is None and labels is None:
        raise ValueError(
            f"num_classes is missing: dataset=tfds:{name} is not among those whose "
            f"classes are known, {', '.join(tfds_table.ROWS)}"
        )
    if row is None:
        return {}
    if labels not in (None, row.classes):
        raise ValueError(
            f"num_classes={num_classes}: dataset=tfds:{name} has {row.classes} "
            "classes; the two must agree"
        )
    return {"num_classes": row.classes + label_offset}


def _of_records(data_dir: str, label_offset: int) -> dict[str, Any]:
    """Returns what a local folder tells without its records; {} for a bucket."""
    if files.is_url(data_dir) or not os.path.isdir(data_dir):
        return {}
    found: dict[str, Any] = {}
    made = manifest.read(data_dir)
    shards = sum(name.startswith("train-") for name in os.listdir(data_dir))
    if shards <= _FACTS["imagenet"]["minival_shards"]:
        found["minival_shards"] = 0  # else nothing would be left to train on
    if made is not None:
        # As training on the source, but for ImageNet, of which the same share is taken.
        of_all = _FACTS["imagenet"]["minival_shards"] * shards // 1024
        found["minival_shards"] = of_all if made.dataset == "imagenet" else 0
        found["exif"] = made.exif
    path = os.path.join(data_dir, label_sets.FILE)
    if os.path.isfile(path):
        with open(path, encoding="utf-8", errors="replace") as file:
            found["num_classes"] = len(file.read().rstrip().split("\n")) + label_offset
    return found


def train_images(
    dataset: str, data_dir: str | None, *, val_fraction: float = 0.0, seed: int = 0
) -> int | None:
    """Returns the number of training images; None if it is not known without reading.

    Args:
        dataset: the setting of that name, see `data.settings.Data`.
        data_dir: the data set's folder; None where none is named.
        val_fraction: the setting of that name, see `data.settings.Reading`.
        seed: int, the setting of that name.
    """
    if dataset == "folder" and data_dir is not None:
        train = folder.read(data_dir, val_fraction=val_fraction, seed=seed).train
        return len(train) if train else None
    if dataset == "csv" and data_dir is not None:
        listing = label_csv.read(data_dir, val_fraction=val_fraction)
        train = label_csv.divide(listing, data_dir, val_fraction, seed).train
        return len(train) if train else None
    if dataset == "imagenet" and data_dir is not None and not files.is_url(data_dir):
        made = manifest.read(data_dir)
        return made.images("train") if made and made.is_finished else None
    row = tfds_table.find(tfds_table.name_of(dataset) or "")
    return row.train_images if row else None
