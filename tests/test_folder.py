import collections
import io
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf import config
from efficientnet_tf.data import batches, folder, image_files, sources, tfrecord
from efficientnet_tf.hardware import devices
from efficientnet_tf.training import evaluation, loop

ROOT = pathlib.Path(__file__).parents[1]
FLOWERS = pathlib.Path(
    os.environ.get("EFFICIENTNET_TF_TEST_DATA", ROOT.parent / "shared" / "data"),
    "flowers160",
)
CLASSES = ("ant", "bee", "cat")
TRAIN, VALIDATION = (10, 20, 13), (3, 5, 4)  # images of each class
WANTED = "training wants DIR/train/CLASS/* and DIR/val/CLASS/*"


def _encode(number: int, kind: str = "JPEG") -> bytes:
    """A small image that no other number gives."""
    pixels = np.random.default_rng(number).integers(0, 256, (12, 10, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _fill(split_dir: pathlib.Path, counts, *, first=0) -> None:
    """As many images of each class as `counts` says, in two formats."""
    number = first
    for name, count in zip(CLASSES, counts, strict=True):
        (split_dir / name).mkdir(parents=True)
        for _ in range(count):
            kind, suffix = [("JPEG", "jpg"), ("PNG", "PNG")][number % 2]
            path = split_dir / name / f"{number:03d}.{suffix}"
            path.write_bytes(_encode(number, kind))
            number += 1


@pytest.fixture
def both(tmp_path) -> pathlib.Path:
    """A folder of train and val."""
    _fill(tmp_path / "train", TRAIN)
    _fill(tmp_path / "val", VALIDATION, first=100)
    return tmp_path


@pytest.fixture
def flat(tmp_path) -> pathlib.Path:
    """A folder of classes alone."""
    _fill(tmp_path / "flat", VALIDATION)
    return tmp_path / "flat"


def _open(data_dir, **kwargs) -> tfrecord.Splits:
    return image_files.open_splits(str(data_dir), **({"num_classes": 3} | kwargs))


def _error(data_dir, **kwargs) -> str:
    """What opening says, less the folder's own name."""
    with pytest.raises(ValueError) as error:
        _open(data_dir, **kwargs)
    return str(error.value).replace(str(data_dir), "DIR")


def _class_counts(split) -> list[int]:
    of_class = collections.Counter(path.split("/")[-2] for path in split.files)
    return [of_class[name] for name in split.classes]


def _train(split, count, *, batch_size=5, **position):
    dataset = batches.train_batches(
        split,
        batches.TrainTransform(image_size=8, num_classes=3),
        batch_size=batch_size,
        **({"seed": 0} | position),
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    return [np.concatenate(arrays) for arrays in zip(*drawn, strict=True)]


def _evaluate(split, *, batch_size=5, extra=1, **kwargs) -> dict[str, np.ndarray]:
    dataset = batches.eval_batches(
        split,
        **{"image_size": 8, "num_classes": 3, "crop_fraction": 1.0} | kwargs,
        batch_size=batch_size,
    )
    count = -(-split.images // batch_size) + extra
    drawn = list(dataset.take(count).as_numpy_iterator())
    return {name: np.concatenate([batch[name] for batch in drawn]) for name in drawn[0]}


# Finding.


def test_classes_are_the_sorted_names_and_files_are_sorted_within(both):
    splits = _open(both)
    assert splits.train.classes == splits.validation.classes == CLASSES
    assert (splits.train.images, splits.validation.images) == (43, 12)
    assert _class_counts(splits.train) == list(TRAIN)
    assert _class_counts(splits.validation) == list(VALIDATION)
    assert list(splits.train.files) == sorted(splits.train.files)
    assert splits.train.files[0] == f"{both}/train/ant/000.jpg"
    assert splits.minival is None


@pytest.mark.parametrize("name", ["val", "validation", "test"])
def test_the_validation_folder_has_three_names(both, name):
    (both / "val").rename(both / name)
    assert f"{both}/{name}/ant/100.jpg" in _open(both).validation.files


@pytest.mark.parametrize(
    ("names", "taken"),
    [(["test", "val"], "val"), (["test", "validation"], "validation")],
)
def test_of_several_validation_folders_test_comes_last(both, names, taken):
    (both / "val").rename(both / "spare")
    for name in names:
        _fill(both / name, VALIDATION)
    assert _open(both).validation.files[0].startswith(f"{both}/{taken}/")


def test_suffixes_have_any_case_and_other_files_are_ignored(flat):
    names = ["a.JPG", "b.Jpeg", "c.png", "d.BMP", "e.gif"]
    for name in names:
        kind = {"jpg": "JPEG"}.get(name[2:].lower(), name[2:].upper())
        (flat / "ant" / name).write_bytes(_encode(1, kind))
    for name in (".hidden.jpg", "LICENSE", "notes.txt", "labels.csv", ".h.webp"):
        (flat / "ant" / name).write_bytes(b"text")
    (flat / "ant" / "deeper.jpg").mkdir()
    (flat / "ant" / "deeper.jpg" / "f.jpg").write_bytes(_encode(1))
    (flat / ".cache").mkdir()
    (flat / "README.md").touch()
    split = _open(flat).validation
    found = [os.path.basename(path) for path in split.files if "/ant/" in path]
    assert sorted(
        set(found) - {f"00{i}.{s}" for i, s in enumerate(["jpg", "PNG"])}
    ) == [
        "002.jpg",
        *names,
    ]
    image_files.check_first_images(split)
    assert _evaluate(split, batch_size=split.images)["mask"].sum() == 3 + 5 + 5 + 4


def test_a_folder_of_classes_alone_is_for_validation(flat):
    splits = _open(f"{flat}/", minival_images=0.05)
    assert (splits.train, splits.minival) == (None, None)
    assert splits.validation.files[0] == f"{flat}/ant/000.jpg"
    assert splits.validation.images == 12


def test_a_val_folder_alone_is_for_validation(both):
    (both / "train").rename(both / "spare")
    splits = _open(both)
    assert (splits.train, splits.validation.images) == (None, 12)


def test_a_class_may_be_called_as_a_split(flat):
    (flat / "ant").rename(flat / "train")
    assert _open(flat).validation.classes == ("bee", "cat", "train")


def test_linked_folders_and_files_count(both, tmp_path_factory):
    linked = tmp_path_factory.mktemp("linked")
    for name in ("train", "val"):
        (linked / name).symlink_to(both / name)
    (both / "val" / "ant" / "link.jpg").symlink_to(both / "train" / "ant" / "000.jpg")
    assert _open(linked).validation.images == 13


def test_names_may_be_any_bytes(flat):
    class_dir = os.fsencode(flat) + b"/b\xe9e"
    os.rename(flat / "bee", class_dir)
    with open(class_dir + b"/\xff.jpg", "wb") as file:
        file.write(_encode(0))
    split = _open(flat).validation
    image_files.check_first_images(split)
    labels = _evaluate(split, batch_size=13, extra=0)["label"]
    assert collections.Counter(labels) == {0: 3, 1: 6, 2: 4}


# What is refused.


def test_a_missing_folder_is_named(tmp_path):
    assert _error(tmp_path / "none") == "data_dir=DIR: No such file or directory"


def test_a_folder_without_classes_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(_encode(0))
    assert _error(tmp_path) == f"data_dir=DIR: no class folders; {WANTED}"


def test_urls_are_refused():
    assert _error("gs://bucket/images") == (
        "data_dir=DIR: folder data sets are read from local disks; write TFRecords "
        "for gs://"
    )


def test_train_needs_a_validation_folder(both):
    (both / "val").rename(both / "spare")
    assert _error(both) == (
        "data_dir=DIR: no class folders in val, validation, test beside train; "
        + WANTED
    )


@pytest.mark.parametrize(
    ("split", "there", "missing"), [("train", "val", "train"), ("val", "train", "val")]
)
def test_the_first_class_that_differs_is_named(both, split, there, missing):
    for name in ("bee", "cat"):
        (both / split / name).rename(both / split / f"z{name}")
    assert _error(both) == (
        f"data_dir=DIR: class 'bee' is in {there} but not in {missing}; both need the "
        "same classes"
    )


@pytest.mark.parametrize("num_classes", [2, 4, 1000])
def test_another_number_of_classes_is_named(both, num_classes):
    assert _error(both, num_classes=num_classes) == (
        f"num_classes={num_classes}: data_dir=DIR holds 3 class folders; the two must "
        "agree"
    )


def test_a_class_without_images_is_named(both):
    for path in (both / "val" / "bee").iterdir():
        path.rename(path.with_suffix(".txt"))
    assert _error(both) == (
        "DIR/val/bee holds no images (.bmp, .gif, .jpeg, .jpg, .png); each folder "
        f"beside it is a class, and {WANTED}"
    )


@pytest.mark.parametrize("suffix", ["webp", "TIFF", "pgm", "heic"])
def test_an_image_of_another_kind_is_named(both, suffix):
    (both / "train" / "bee" / f"odd.{suffix}").touch()
    assert _error(both) == (
        f"DIR/train/bee/odd.{suffix} cannot be read; allowed is .bmp, .gif, .jpeg, "
        ".jpg, .png"
    )


@pytest.mark.parametrize("minival", [43, 100])
def test_holding_out_every_train_image_is_refused(both, minival):
    assert _error(both, minival_images=minival) == (
        f"minival_shards={minival} leaves nothing of 43 train images to train on; "
        "allowed is 0 (hold nothing out) or fewer images"
    )


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("content", [b"", b"<html>", _encode(0)[:40]])
def test_a_damaged_first_image_of_a_class_is_named(both, split, content):
    path = both / split / "cat" / "000.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^{path} cannot be read"):
        sources.open_source(
            "folder",
            str(both),
            num_classes=3,
            minival_shards=0,
            num_train_images=None,
        )


def test_a_first_image_that_is_gone_is_named(flat):
    (flat / "bee" / "000.jpg").symlink_to("nowhere")
    with pytest.raises(ValueError, match=r"/bee/000\.jpg cannot be read"):
        image_files.check_first_images(_open(flat).validation)


@pytest.mark.parametrize("content", [b"", b"RIFF0000WEBP"])
def test_a_later_file_that_is_no_image_is_named_by_the_pipeline(flat, content):
    path = flat / "bee" / "004.jpg"
    path.write_bytes(content)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        _evaluate(_open(flat).validation)
    assert "no JPEG, PNG, GIF or BMP file:" in str(error.value)
    assert str(path) in str(error.value)


# Holding out.


@pytest.mark.parametrize(
    ("minival", "images"), [(0.05, 2), (0.001, 1), (0.5, 22), (1, 1), (9, 9), (42, 42)]
)
def test_minival_takes_a_share_of_each_class(both, minival, images):
    whole = _open(both).train
    splits = _open(both, minival_images=minival)
    assert splits.minival.images == len(splits.minival.files) == images
    assert splits.train.images == 43 - images
    assert sorted(splits.train.files + splits.minival.files) == sorted(whole.files)
    assert list(splits.train.files) == sorted(splits.train.files)
    for taken, count in zip(_class_counts(splits.minival), TRAIN, strict=True):
        assert abs(taken - count * images / 43) <= 1
    assert splits.minival == _open(both, minival_images=minival).minival


@pytest.mark.parametrize("count", [0, 1, 6, 7, 49, 50])
def test_exactly_as_many_are_held_out_as_asked(count):
    files = tuple(f"{i:02d}" for i in range(50))
    taken, others = folder.hold_out(files, count)
    assert (len(taken), tuple(sorted(taken + others))) == (count, files)


# The pipeline.


def test_an_epoch_has_every_image_once_in_an_order_of_its_own(both):
    split = _open(both).train
    orders = []
    for epoch in range(3):
        numbers = batches._shuffled_records(
            split,
            batches._paths(split.files),
            images=split.images,
            seed=0,
            start=epoch * split.images,
            shuffle_buffer=16384,
        )
        paths = [path.decode() for _, path in numbers.take(43).as_numpy_iterator()]
        assert sorted(paths) == sorted(split.files)
        orders.append(tuple(paths))
    assert len(set(orders)) == 3


def test_training_shows_the_labels_of_the_folders(both):
    split = _open(both).train
    _, labels = _train(split, 2 * 43, batch_size=1)
    for epoch in (labels[:43], labels[43:]):
        np.testing.assert_array_equal(epoch.sum(0), TRAIN)


@pytest.mark.parametrize("start", [5, 40, 85])
def test_a_stream_continues_bit_for_bit(both, start):
    split = _open(both).train
    whole = _train(split, start // 5 + 10, seed=3)
    again = _train(split, 10, seed=3, start=start)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one[start:], other)
    assert not np.array_equal(again[0], _train(split, 10, seed=4, start=start)[0])


def test_hosts_train_on_disjoint_images(both):
    split = _open(both).train
    shares = []
    for index in (0, 1):
        _, labels = _train(split, 21, batch_size=1, shard=batches.Shard(index, 2))
        shares.append(labels.sum(0))
    assert (np.abs(shares[0] - shares[1]) <= 2).all()
    assert (np.abs(shares[0] + shares[1] - TRAIN) <= 1).all()


@pytest.mark.parametrize(("batch_size", "hosts"), [(1, 1), (5, 1), (12, 1), (5, 5)])
def test_evaluation_has_every_image_once(flat, batch_size, hosts):
    split = _open(flat).validation
    found = [
        _evaluate(split, batch_size=batch_size, shard=batches.Shard(i, hosts))
        for i in range(hosts)
    ]
    shown = [part["image"][part["mask"] == 1] for part in found]
    labels = np.concatenate([part["label"][part["mask"] == 1] for part in found])
    assert len({image.tobytes() for image in np.concatenate(shown)}) == 12
    assert collections.Counter(labels) == dict(enumerate(VALIDATION))
    assert sum(part["mask"].sum() for part in found) == 12


def test_evaluation_is_that_of_the_same_images_in_records(both, tmp_path):
    images = _open(both).validation
    examples = [
        (pathlib.Path(path).read_bytes(), CLASSES.index(path.split("/")[-2]) + 1)
        for path in images.files
    ]
    for split in ("train", "validation"):
        tfrecord.write_shards(f"{tmp_path}/records", split, examples, shards=1)
    records = tfrecord.open_splits(f"{tmp_path}/records").validation
    got, expected = _evaluate(images), _evaluate(records)
    assert got.keys() == expected.keys()
    for name in got:
        np.testing.assert_array_equal(got[name], expected[name])


# The run.


def test_the_classes_of_a_folder_are_counted(both, flat):
    for data_dir in (both, flat):
        made = config.create(dataset="folder", data_dir=str(data_dir))
        assert (made.num_classes, made.minival_shards) == (3, 0.05)
    same = config.create(dataset="folder", data_dir=str(both), num_classes=3)
    assert config.loads(config.dumps(same)) == same


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({}, "data_dir is missing: dataset folder needs the folder of its train and"),
        ({"data_dir": "/none"}, "data_dir=/none: No such file or directory"),
        ({"data_dir": "gs://a/b"}, "data_dir=gs://a/b: folder data sets are read from"),
        ({"num_classes": 2}, "num_classes=2: data_dir="),
        ({"num_train_images": 43}, "num_train_images=43: the images of a folder are"),
        ({"image_size": 2}, "image_size=2: allowed is 8 and more"),
    ],
)
def test_a_config_refuses_what_does_not_agree(both, chosen, message):
    if chosen and "data_dir" not in chosen:
        chosen = chosen | {"data_dir": str(both)}
    with pytest.raises(ValueError) as error:
        config.create(dataset="folder", **chosen)
    assert str(error.value).startswith(message)


def test_flags_count_classes_without_tensorflow(both):
    code = (
        "import sys, flags; flags.parse(sys.argv); flags.check();"
        "print(flags.to_config().num_classes);"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    argv = ["--dataset=folder", f"--data_dir={both}"]
    done = subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("3\n", "")


@pytest.fixture
def strategy(monkeypatch) -> tf.distribute.Strategy:
    """One CPU, whose operations are left as the other tests have them."""
    monkeypatch.setattr(devices, "configure_numerics", lambda *_: "float32")
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def _tiny(data_dir) -> config.Config:
    return config.create(
        dataset="folder",
        data_dir=str(data_dir),
        image_size=16,
        width_coefficient=0.1,
        depth_coefficient=0.1,
        train_batch_size=6,
        eval_batch_size=5,
        train_epochs=1,
        minival_shards=0,
        augment="none",
    )


def test_a_folder_trains_and_a_flat_one_scores_it(both, flat, tmp_path, strategy):
    run, model_dir = _tiny(both), f"{tmp_path}/run"
    trained = loop.train(run, model_dir=model_dir, strategy=strategy, validate=False)
    assert trained == {"finished": True, "step": 43 // 6}
    elsewhere = config.override(run, data_dir=str(flat))
    scored = evaluation.evaluate(elsewhere, model_dir=model_dir, strategy=strategy)
    assert (scored["examples"], scored["split"]) == (12, "validation")
    lines = pathlib.Path(model_dir, "metrics.jsonl").read_text().splitlines()
    of_both, of_flat = map(json.loads, lines)
    assert of_both["epoch"] == round(42 / 43, 4)
    assert (of_flat["examples"], of_flat["epoch"]) == (12, None)


def test_training_on_a_flat_folder_is_refused(flat, tmp_path, strategy):
    with pytest.raises(ValueError) as error:
        loop.train(_tiny(flat), model_dir=f"{tmp_path}/run", strategy=strategy)
    assert str(error.value) == f"data_dir={flat}: no train folder; {WANTED}"
    assert not os.path.exists(f"{tmp_path}/run")


@pytest.mark.skipif(not FLOWERS.is_dir(), reason=f"{FLOWERS} is not there")
def test_flowers_are_2934_and_736_images_in_5_classes():
    made = config.create(dataset="folder", data_dir=str(FLOWERS))
    assert made.num_classes == 5
    splits = _open(FLOWERS, num_classes=5, minival_images=made.minival_shards)
    assert splits.train.images + splits.minival.images == 2934
    assert (splits.minival.images, splits.validation.images) == (147, 736)
    image_files.check_first_images(splits.train)
