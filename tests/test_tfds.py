import collections
import io
import os

import numpy as np
import pytest
import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from efficientnet_tf import config
from efficientnet_tf.data import batches, sources, tfds_table
from efficientnet_tf.training import build

CLASSES = 3
TRAIN, VALIDATION = 50, 11  # images, told apart by their grey
FEATURES = {
    "image": tfds.features.Image(),
    "label": tfds.features.ClassLabel(num_classes=CLASSES),
}


def _encode(grey: int) -> bytes:
    """An image of one grey, which JPEG keeps; odd ones are PNGs."""
    buffer = io.BytesIO()
    Image.new("RGB", (12, 10), (grey,) * 3).save(buffer, ["JPEG", "PNG"][grey % 2])
    return buffer.getvalue()


def _label(grey: int) -> int:
    return (grey // 7) % CLASSES


def _examples(first: int, count: int) -> list[dict]:
    greys = range(first, first + count)
    return [{"image": _encode(grey), "label": _label(grey)} for grey in greys]


def _store(data_dir, name="tiny", *, features=None, shards=3, **options):
    """Has tfds write a dataset, with what is left of `options` for its splits."""
    splits = options.pop("splits", None) or {
        "train": _examples(0, TRAIN),
        "validation": _examples(100, VALIDATION),
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


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def closed(*args, **kwargs):
        raise requests.exceptions.ConnectionError("the network is closed\nreally")

    monkeypatch.setattr(requests.Session, "request", closed)
    monkeypatch.setattr(tfds.core.utils.gcs_utils, "_is_gcs_disabled", True)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return _store(tmp_path_factory.mktemp("tfds"))


def _open(data_dir, name="tiny", *, minival=0.0, num_classes=CLASSES):
    return sources.open_source(
        f"tfds:{name}",
        data_dir,
        num_classes=num_classes,
        minival_shards=minival,
        num_train_images=None,
    )


def _evaluated(source, split, *, batch_size=4, shard=None) -> list[tuple[int, int]]:
    """(grey, label) of each image, in order."""
    dataset = source.evaluate(
        split,
        image_size=8,
        num_classes=CLASSES,
        crop_fraction=1.0,
        batch_size=batch_size,
        shard=shard or batches.Shard(),
    )
    found = []
    for batch in dataset.as_numpy_iterator():
        mask = batch["mask"] == 1
        if not mask.any():
            break
        greys = batch["image"][mask].mean((1, 2, 3))
        found += zip(greys.tolist(), batch["label"][mask].tolist(), strict=True)
    return found


def _trained(source, count, *, seed=0, start=0) -> tuple[np.ndarray, np.ndarray]:
    """Greys and labels of `count` batches of 8."""
    transform = batches.TrainTransform(image_size=8, num_classes=CLASSES)
    dataset = source.train(
        transform, batch_size=8, seed=seed, start=start, shuffle_buffer=20
    )
    drawn = list(dataset.take(count).as_numpy_iterator())
    greys = np.concatenate([images.mean((1, 2, 3)) for images, _ in drawn])
    return greys, np.concatenate([labels for _, labels in drawn]).argmax(-1)


@pytest.mark.parametrize("hosts", [1, 2, 4])
def test_evaluation_counts_every_image_once_with_its_label(tiny, hosts):
    source = _open(tiny)
    wanted = [(g, _label(g)) for g in range(100, 100 + VALIDATION)]
    found = []
    for host in range(hosts):  # the fourth has no file
        shard = batches.Shard(host, hosts)
        found += _evaluated(source, source.splits.validation, shard=shard)
    assert sorted(found) == wanted
    assert source.splits.validation.images == VALIDATION


def test_an_epoch_has_every_train_image_once_in_an_order_of_its_own(tiny):
    greys, labels = _trained(_open(tiny), 25)  # 200 images, 4 epochs of 50
    epochs = greys.reshape(4, TRAIN)
    for epoch in epochs:
        assert sorted(epoch) == list(range(TRAIN))
    assert (epochs[0] == epochs[1]).sum() < 10
    assert labels.tolist() == [_label(int(grey)) for grey in greys]


def test_training_continues_from_any_step_in_any_copy(tiny, tmp_path):
    os.symlink(tiny, tmp_path / "copy")
    for minival in (0, 0.2):
        whole, _ = _trained(_open(tiny, minival=minival), 20, seed=3)
        again = _open(f"{tmp_path}/copy", minival=minival)
        for start in (8, 48, 120):
            part, _ = _trained(again, 20 - start // 8, seed=3, start=start)
            np.testing.assert_array_equal(part, whole[start:])
    other, _ = _trained(_open(tiny), 20, seed=4)
    assert (other == whole).mean() < 0.2


def _stored_order(data_dir, split) -> list[float]:
    """The greys as tfds itself reads them, file after file."""
    builder = tfds.builder("tiny", data_dir=data_dir)
    read = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=split, read_config=read)
    return [float(e["image"].mean()) for e in dataset.as_numpy_iterator()]


@pytest.mark.parametrize(
    ("minival", "held_out"), [(0.05, 2), (0.2, 10), (1, 1), (7, 7), (49, 49)]
)
def test_minival_is_held_out_at_even_distances(tiny, minival, held_out):
    source = _open(tiny, minival=minival)
    splits = source.splits
    order = _stored_order(tiny, "train")
    # Of n in a row, the last of each n / k.
    places = {-(-(i + 1) * TRAIN // held_out) - 1 for i in range(held_out)}
    held = {grey for place, grey in enumerate(order) if place in places}
    minival_greys = [grey for grey, _ in _evaluated(source, splits.minival)]
    assert sorted(minival_greys) == sorted(held)
    kept = [grey for grey, _ in _evaluated(source, splits.train)]
    assert sorted(kept) == sorted(set(order) - held)
    assert (splits.minival.images, splits.train.images) == (held_out, TRAIN - held_out)
    greys, _ = _trained(source, 14)
    assert not set(greys) & held


def test_without_minival_every_train_image_is_trained_on(tiny):
    splits = _open(tiny).splits
    assert (splits.minival, splits.train.images) == (None, TRAIN)
    with pytest.raises(ValueError, match="leaves nothing of 50 train images"):
        _open(tiny, minival=50)


def test_minival_of_ordered_files_takes_of_each_class_its_share(tmp_path):
    examples = [{"image": _encode(2 * i), "label": i // 20} for i in range(60)]
    splits = {"train": examples, "test": examples}
    data_dir = _store(tmp_path, splits=splits, shards=1, disable_shuffling=True)
    source = _open(data_dir, minival=0.1)
    labels = [label for _, label in _evaluated(source, source.splits.minival)]
    assert collections.Counter(labels) == {0: 2, 1: 2, 2: 2}


def test_validation_comes_before_test_which_may_lack_labels(tmp_path):
    unlabelled = [{"image": _encode(200), "label": -1}]
    splits = {
        "train": _examples(0, 4),
        "validation": _examples(100, 5),
        "test": unlabelled,
    }
    source = _open(_store(tmp_path, splits=splits, shards=1))
    assert source.splits.validation.images == 5
    splits = {"train": _examples(0, 4), "test": unlabelled}
    with pytest.raises(ValueError) as error:
        _open(_store(tmp_path, "unlabelled", splits=splits, shards=1), "unlabelled")
    assert "label is -1; allowed is 0 to num_classes=3 - 1" in str(error.value)


def test_a_paper_dataset_is_split_as_the_paper_does(tmp_path, monkeypatch):
    row = tfds_table.Row("train+validation", "test", 9, 2, 102)
    monkeypatch.setitem(tfds_table.ROWS, "oxford_flowers102", row)
    splits = {
        "train": _examples(0, 4),
        "validation": _examples(100, 5),
        "test": _examples(200, 2),
    }
    data_dir = _store(tmp_path, "oxford_flowers102", splits=splits, shards=2)
    source = _open(data_dir, "oxford_flowers102", minival=3, num_classes=102)
    parts = (source.splits.train, source.splits.minival, source.splits.validation)
    greys = [{grey for grey, _ in _evaluated(source, part)} for part in parts]
    assert [len(part) for part in greys] == [6, 3, 2]
    assert greys[0] | greys[1] == {*range(4), *range(100, 105)}
    assert greys[2] == {200, 201}


@pytest.mark.parametrize("name", tfds_table.ROWS)
def test_the_table_agrees_with_tfds(name, tmp_path):
    row = tfds_table.ROWS[name]
    absent = {"birdsnap", "fgvc_aircraft"}
    assert (name in tfds.list_builders(with_community_datasets=False)) != (
        name in absent
    )
    if name not in absent:
        builder = tfds.builder(name, data_dir=str(tmp_path))
        assert builder.info.features["label"].num_classes == row.classes
        assert isinstance(builder.info.features["image"], tfds.features.Image)


def test_a_run_opens_it(tiny):
    made = config.create(dataset="tfds:tiny", data_dir=tiny, num_classes=CLASSES)
    splits = build.open_source(made).splits
    assert (splits.train.images, splits.minival.images) == (48, 2)
    offset = config.create(
        dataset="tfds:tiny", data_dir=tiny, num_classes=CLASSES + 1, label_offset=1
    )
    assert build.open_source(offset).splits.validation.images == VALIDATION


def _message(*args, **kwargs) -> str:
    with pytest.raises(ValueError) as error:
        _open(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_unknown_names_suggest_the_nearest(tmp_path):
    message = _message(str(tmp_path), "cifar11")
    assert message.startswith(
        f"dataset=tfds:cifar11: not in tensorflow_datasets {tfds.__version__} and not "
        f"in data_dir={tmp_path}; dataset=folder takes images by class; did you mean "
        "cifar1"
    )
    assert "dataset=folder" in _message(str(tmp_path), "birdsnap")


def test_another_number_of_classes_is_named(tiny):
    assert _message(tiny, num_classes=5) == (
        "num_classes=5: dataset=tfds:tiny has 3 classes; the two must agree"
    )


@pytest.mark.parametrize(
    ("features", "example"),
    [
        (
            {"image": FEATURES["image"], "digit": FEATURES["label"]},
            {"image": _encode(0), "digit": 1},
        ),
        (
            {"image": FEATURES["image"], "label": tfds.features.Scalar(tf.int64)},
            {"image": _encode(0), "label": 1},
        ),
        (
            {
                "image": tfds.features.Image(shape=(2, 2, 1), dtype=tf.float32),
                "label": FEATURES["label"],
            },
            {"image": np.zeros((2, 2, 1), np.float32), "label": 1},
        ),
    ],
    ids=["no-label", "number", "float-image"],
)
def test_features_it_lacks_are_named(tmp_path, features, example):
    splits = {"train": [example], "test": [example]}
    _store(tmp_path, features=features, splits=splits, shards=1)
    assert _message(str(tmp_path)) == (
        f"dataset=tfds:tiny: its features are {', '.join(sorted(features))}; it must "
        "have image (an Image of uint8) and label (a ClassLabel)"
    )


def test_splits_it_lacks_are_named(tmp_path):
    splits = {"train": _examples(0, 2)}
    _store(tmp_path, splits=splits, shards=1)
    assert _message(str(tmp_path)) == (
        "dataset=tfds:tiny: its splits are train; it must have train, validation or "
        "test"
    )
    _store(tmp_path, "cifar10", splits=splits, shards=1)
    assert _message(str(tmp_path), "cifar10", num_classes=10) == (
        "dataset=tfds:cifar10: its splits are train; it must have train, test"
    )


def test_sizes_other_than_the_papers_are_named(tmp_path):
    splits = {"train": _examples(0, 4), "test": _examples(100, 2)}
    _store(tmp_path, "cifar10", splits=splits, shards=1)
    assert _message(str(tmp_path), "cifar10", num_classes=10) == (
        "dataset=tfds:cifar10: holds 4 train and 2 test images, not 50000 and 10000; "
        "prepare it anew"
    )


def test_a_missing_file_is_named(tmp_path):
    _store(tmp_path)
    path = tmp_path / "tiny" / "1.0.0" / "tiny-train.tfrecord-00001-of-00003"
    path.unlink()
    assert _message(str(tmp_path)) == (
        f"dataset=tfds:tiny: {path} is missing, and 0 files more; copy or prepare it "
        "anew"
    )


def test_other_file_formats_are_refused(tmp_path):
    _store(tmp_path, file_format="array_record")
    assert _message(str(tmp_path)) == (
        "dataset=tfds:tiny: is prepared as array_record files; allowed is tfrecord "
        "(tfds build --file_format=tfrecord)"
    )


def test_with_the_network_closed_it_says_how_to_prepare_it(tmp_path, capsys):
    message = _message(str(tmp_path), "oxford_flowers102", num_classes=102)
    at = f"{tmp_path}/oxford_flowers102/2.1.1"
    assert message == (
        f"dataset=tfds:oxford_flowers102: cannot be prepared in {at} (the network is "
        "closed); where there is a network run tfds build oxford_flowers102 "
        "--data_dir=DIR, and give that DIR as data_dir"
    )
    output = capsys.readouterr()
    assert (output.out, output.err) == (
        "",
        f"tfds:oxford_flowers102: downloads 345 MB, to prepare {at}\n",
    )
    assert not os.path.exists(at)


def test_it_is_prepared_once(tmp_path, monkeypatch, capsys):
    builder = tfds.dataset_builders.AdhocBuilder(
        name="tiny",
        version="1.0.0",
        features=tfds.features.FeaturesDict(FEATURES),
        split_datasets={
            "train": list(enumerate(_examples(0, 4))),
            "test": list(enumerate(_examples(100, 2))),
        },
        data_dir=str(tmp_path),
    )
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: builder)
    for _ in range(2):
        splits = _open(str(tmp_path)).splits
        assert (splits.train.images, splits.validation.images) == (4, 2)
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("tfds:tiny: downloads 0 MB, to prepare") == 1
