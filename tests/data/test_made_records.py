"""Records train as the images that they were made of, whatever these came from."""

import csv
import os
import pathlib

import command_line
import folder_support
import numpy as np
import pipelines
import pytest
import tar_support
import tfds_support
from PIL import Image

from efficientnet_tf import config
from efficientnet_tf.data import batches, image_files, record_check, sources, tfrecord
from efficientnet_tf.data.settings import Reading


def make(data_dir, output_dir, *flags):
    return command_line.tool(
        "make_records",
        *(f"--data_dir={data_dir}", f"--output_dir={output_dir}", "--json"),
        *("--train_shards=3", "--validation_shards=2", "--workers=2", *flags),
    )


def resolved(data_dir, **chosen):
    return config.resolve({}, data_dir=str(data_dir), **chosen).config


def opened(found):
    return sources.open_source(
        found.dataset,
        found.data_dir,
        num_classes=found.num_classes,
        minival_shards=found.minival_shards,
        num_train_images=None,
        reading=found.section(Reading),
        seed=found.seed,
    ).splits


def stored(split) -> list[tuple[int, bytes]]:
    """Labels and encoded images of a split, sorted."""
    if isinstance(split, image_files.ImageFiles):
        pairs = zip(split.labels, split.files, strict=True)
        return sorted((n, pathlib.Path(path).read_bytes()) for (n,), path in pairs)
    records = [r for path in split.files for r in record_check.records(split, path)]
    keys = (split.label_key, split.image_key)
    found = [[record_check.values(r, key)[0] for key in keys] for r in records]
    return sorted((label - split.first_label, encoded) for label, encoded in found)


def seen(split) -> list[tuple[int, bytes]]:
    """Labels and pixels of the images of a split, sorted."""
    labels, size = pipelines.labels(3), split.images
    made = batches.eval_batches(
        split, folder_support.WHOLE, labels=labels, batch_size=size
    )
    (batch,) = made.take(1).as_numpy_iterator()
    assert batch["mask"].all()
    pairs = zip(batch["label"].tolist(), batch["image"], strict=True)
    return sorted((label, image.tobytes()) for label, image in pairs)


def test_records_of_a_folder_train_as_the_folder(tmp_path):
    source, output = tmp_path / "photos", tmp_path / "records"
    folder_support.fill(source / "train", folder_support.TRAIN)
    folder_support.fill(source / "val", folder_support.VALIDATION, first=100)
    turned = Image.Exif()
    turned[0x0112] = 6
    path = source / "val" / "ant" / "100.jpg"
    Image.open(path).save(path, exif=turned)
    report = make(source, output).checked().json
    assert report["images"] == {"train": 43, "validation": 12}
    assert report["shards"] == {"train": 3, "validation": 2}
    assert report["command"] == f"python main.py --data_dir={output}"
    before, after = resolved(source), resolved(output)
    different = {"dataset", "data_dir"}
    assert set(config.conflicts(before, after)) <= different
    assert after.dataset == "imagenet" and after.exif and after.num_classes == 3
    ours, theirs = opened(after), opened(before)
    for name in ("train", "validation"):
        records, files = getattr(ours, name), getattr(theirs, name)
        assert stored(records) == stored(files)
        assert records.class_counts() == files.class_counts()
    assert seen(ours.validation) == seen(theirs.validation)
    assert ours.class_names == theirs.class_names
    assert ours.minival is theirs.minival is None


def test_val_fraction_takes_the_same_images_as_training(tmp_path):
    source, output = tmp_path / "photos", tmp_path / "records"
    folder_support.fill(source, folder_support.TRAIN)
    chosen = {"val_fraction": 0.3, "seed": 5}
    flags = [f"--{name}={value}" for name, value in chosen.items()]
    make(source, output, *flags).checked()
    ours, theirs = opened(resolved(output)), opened(resolved(source, **chosen))
    assert stored(ours.validation) == stored(theirs.validation)
    refused = make(source, tmp_path / "other")
    assert refused.returncode == 1 and "val_fraction" in refused.stderr


def test_records_of_csv_files_train_as_these(tmp_path):
    source, output = tmp_path / "csv", tmp_path / "records"
    folder_support.fill(source / "all", folder_support.TRAIN)
    paths = sorted(source.rglob("*.*"))
    for name, rows in (("train", paths[::2]), ("val", paths[1::2])):
        with open(source / f"{name}.csv", "w") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "label"])
            writer.writerows([p.relative_to(source), p.parent.name] for p in rows)
    make(source, output).checked()
    ours, theirs = opened(resolved(output)), opened(resolved(source))
    assert stored(ours.train) == stored(theirs.train)
    assert stored(ours.validation) == stored(theirs.validation)
    (source / "train.csv").write_text("file,labels\nall/ant/000.jpg,a|b\n")
    (source / "val.csv").write_text("file,labels\nall/ant/001.PNG,a\n")
    refused = make(source, tmp_path / "other")
    assert refused.returncode == 1 and "labels" in refused.stderr


def test_records_of_tfds_have_its_images_and_labels(tmp_path):
    source = tfds_support.store(tmp_path / "tfds")
    made = make(source, tmp_path / "records", "--dataset=tfds:tiny").checked().json
    assert made["images"] == {"train": 50, "validation": 11}
    theirs = tfds_support.open_tfds(source).splits
    ours = opened(resolved(tmp_path / "records", num_classes=3))
    assert stored(ours.train) == stored(theirs.train)
    assert "--num_classes=3" in made["command"]
    assert not os.path.exists(tmp_path / "records" / "labels.txt")


def test_imagenets_tar_files_become_records_with_its_names(tmp_path):
    tar_support.write(tmp_path / "downloads")
    made = make(tmp_path / "downloads", tmp_path / "records").checked()
    assert made.json["images"] == {"train": 15, "validation": 6}
    found = resolved(tmp_path / "records")
    assert not found.exif and found.num_classes == 3
    splits = opened(found)
    assert splits.class_names == tar_support.NAMES
    assert splits.train.class_counts() == list(tar_support.TRAIN)
    labels = np.repeat(range(3), tar_support.TRAIN).tolist()
    expected = [(label, folder_support.encode(n)) for n, label in enumerate(labels)]
    assert stored(splits.train) == sorted(expected)


def test_counts_come_from_the_manifest_until_a_file_changes(tmp_path, monkeypatch):
    tar_support.write(tmp_path / "downloads")
    folder = tmp_path / "records"
    make(tmp_path / "downloads", folder).checked()
    counted = []

    def count(path, **_):
        counted.append(os.path.basename(path))
        return 0

    monkeypatch.setattr(tfrecord.record_files, "count_records", count)
    splits = tfrecord.open_splits(str(folder))
    assert (splits.train.images, splits.validation.images) == (15, 6)
    assert splits.class_names is None and counted == []
    with open(folder / "train-00001-of-00003", "ab") as file:
        file.write(b"more")
    splits = tfrecord.open_splits(str(folder))
    assert counted == ["train-00001-of-00003"] and splits.train.images == 10
    assert splits.train.class_counts() is None


def test_as_many_shards_as_imagenet_do_not_make_it_imagenet(tmp_path, monkeypatch):
    for name, count in (("TRAIN", 3), ("VALIDATION", 2)):
        monkeypatch.setattr(tfrecord, f"IMAGENET_{name}_SHARDS", count)
    tar_support.write(tmp_path / "downloads")
    make(tmp_path / "downloads", tmp_path / "records").checked()
    splits = tfrecord.open_splits(str(tmp_path / "records"), minival_shards=1)
    assert (splits.train.images, splits.minival.images) == (10, 5)
    assert splits.validation.images == 6


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--dataset=digits"], "dataset=digits"),
        (["--val_fraction=1.5"], "val_fraction=1.5"),
        (["--data_dir=/nowhere"], "/nowhere"),
        (["--dataset=imagenet"], "ILSVRC2012_img_train.tar"),
        (["--output_dir=s3://bucket/x"], "s3://"),
    ],
)
def test_mistakes_are_one_line(tmp_path, flags, told):
    result = make(tmp_path, tmp_path / "out", *flags)
    assert result.returncode == 1
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("error: ") and told in line
    assert not (tmp_path / "out").exists()
