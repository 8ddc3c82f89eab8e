"""Lists the images of folders, CSV files, ImageNet's tar files and tfds data sets."""

import os
from collections.abc import Iterator

from efficientnet_tf import label_sets
from efficientnet_tf.data import (
    detection,
    folder,
    image_files,
    record_check,
    record_files,
    tfds_records,
    tfds_table,
    tfrecord,
)
from efficientnet_tf.data.writing import imagenet_tars
from efficientnet_tf.data.writing.stored import Collection, Stored


def read(
    dataset: str | None,
    data_dir: str | None,
    *,
    val_fraction: float = 0.0,
    seed: int = 0,
) -> Collection:
    """Lists the images to make records of, as training on them would divide them.

    Args:
        dataset: "imagenet" for its tar files, "folder", "csv" or "tfds:NAME"; None
            goes by what the folder holds.
        data_dir: local folder of the images; for tfds None takes its default.
        val_fraction: see `folder.read`.
        seed: int, decides together with the names which images are for validation.

    Raises:
        ValueError: naming what is missing, cannot be read or does not agree.
    """
    dataset = dataset or _detected(data_dir)
    if dataset not in ("folder", "csv") and val_fraction:
        raise ValueError(
            f"val_fraction={val_fraction}: dataset={dataset} has validation images of "
            "its own; allowed is 0"
        )
    tfds_name = tfds_table.name_of(dataset)
    if tfds_name:
        return _of_tfds(tfds_name, data_dir)
    if dataset not in ("imagenet", "folder", "csv"):
        raise ValueError(
            f"dataset={dataset}: allowed are imagenet, folder, csv and tfds:NAME"
        )
    if data_dir is None:
        raise ValueError(f"data_dir is missing: it must name the folder of {dataset}")
    if dataset == "imagenet":
        return imagenet_tars.read(data_dir)
    if dataset == "folder":
        found = folder.read(data_dir, val_fraction=val_fraction, seed=seed)
    else:
        found = image_files.of_csv(
            data_dir,
            num_classes=None,
            multi_label=False,
            val_fraction=val_fraction,
            seed=seed,
        )
    return _of_files(dataset, data_dir, found)


def _detected(data_dir: str | None) -> str:
    if data_dir is None:
        raise ValueError("data_dir is missing: it must name the folder of the images")
    if imagenet_tars.is_there(data_dir):
        return "imagenet"
    dataset = detection.detect_dataset(data_dir)
    if dataset == "imagenet":
        raise ValueError(f"data_dir={data_dir}: holds records already")
    return dataset


def _of_files(dataset: str, data_dir: str, found: folder.Found) -> Collection:
    if found.train is None:
        raise ValueError(
            f"data_dir={data_dir}: holds no images for validation beside those to "
            "train on; name a share of them, as val_fraction=0.2"
        )

    def stored(image: folder.Image) -> Stored:
        path, (label,) = image
        name = os.path.relpath(path, data_dir)
        try:
            return Stored(name, label, path, 0, os.path.getsize(path))
        except OSError as error:
            raise ValueError(f"{path}: {error.strerror}") from None

    return Collection(
        dataset,
        {
            "train": tuple(map(stored, found.train)),
            "validation": tuple(map(stored, found.validation)),
        },
        class_names=tuple(map(label_sets.printable, found.classes)),
        synsets=_synsets(found.classes),
        exif=True,
        left_out=found.left_out,
        notes=found.notes,
    )


def _synsets(classes: tuple[str, ...]) -> tuple[str, ...] | None:
    """Returns the classes if all of them are ImageNet's synsets."""
    known = dict(label_sets.imagenet())
    return classes if all(name in known for name in classes) else None


def _of_tfds(name: str, data_dir: str | None) -> Collection:
    splits = tfds_records.open_splits(name, data_dir, num_classes=None)
    if splits.train is None:
        raise ValueError(f"dataset=tfds:{name}: holds no images to train on")
    return Collection(
        f"tfds:{name}",
        {
            "train": tuple(_in_records(splits.train)),
            "validation": tuple(_in_records(splits.validation)),
        },
        class_names=splits.class_names,
    )


def _in_records(split: tfrecord.Split) -> Iterator[Stored]:
    """Finds the images in record files, whose records hold their bytes as they are."""
    for path in split.files:
        with record_files.opened(path) as file:
            for number, (offset, length) in enumerate(record_files.find_records(path)):
                file.seek(offset)
                record = file.read(length)
                name = f"{os.path.basename(path)}#{number}"
                if reason := record_check.why_unusable(record, split):
                    raise ValueError(f"{path}#{number}: {reason}")
                (encoded,) = record_check.values(record, split.image_key)
                (label,) = record_check.values(record, split.label_key)
                if label < 0:
                    raise ValueError(f"{path}#{number}: has label {label}")
                begin = offset + record.index(encoded)
                yield Stored(name, label, path, begin, len(encoded))
