"""CSV files of images and labels: what they mean, and the batches of their images."""

import numpy as np
import pipelines
import pytest
from folder_support import WHOLE, fill, open_splits
from label_support import CLASSES, labels_of, write
from label_support import fill as fill_labels

from efficientnet_tf import config
from efficientnet_tf.data import batches, detection, image_files, label_csv, sources

SETTINGS = {"image_size": 32, "minival_shards": 0}


def splits_of(data_dir, *, minival_images=0, **kwargs):
    chosen = {"num_classes": 4, "multi_label": True} | kwargs
    found = image_files.of_csv(str(data_dir), **chosen)
    return image_files.splits(found, minival_images=minival_images)


@pytest.fixture
def colours(tmp_path):
    return fill_labels(tmp_path / "colours", train=24, validation=9)


@pytest.fixture
def listed(both, tmp_path_factory):
    """CSV files of the images in class folders."""
    root = tmp_path_factory.mktemp("listed")
    for name in ("train", "val"):
        paths = sorted((both / name).rglob("*.*"), reverse=True)
        rows = [(path.parent.name, 7, str(path)) for path in paths]
        write(root / f"{name}.csv", ("label", "age", "file"), rows)
    return root


def test_one_label_an_image_is_what_class_folders_are(both, listed):
    for minival in (0, 0.2, 7):
        chosen = {"num_classes": 3, "minival_images": minival}
        expected = open_splits(both, **chosen)
        assert splits_of(listed, multi_label=False, **chosen) == expected
    made = config.create(data_dir=str(listed), recipe="finetune", weights="imagenet")
    as_folder = config.create(data_dir=str(both), recipe="finetune", weights="imagenet")
    changed = {"dataset": "csv", "data_dir": str(listed)}
    assert vars(made) == vars(as_folder) | changed
    assert (made.num_classes, made.multi_label) == (3, False)


def test_a_train_csv_tells_the_data_set_and_its_column_the_kind(colours):
    assert detection.detect_dataset(str(colours)) == "csv"
    made = config.create(data_dir=str(colours))
    assert (made.dataset, made.num_classes, made.multi_label) == ("csv", 4, True)
    origins = config.resolve(data_dir=str(colours)).origins
    assert origins["multi_label"] == origins["dataset"] == "fact of the data"
    assert config.loads(config.dumps(made)) == made
    values = config.dumps(made).replace('  "multi_label": true,\n', "")
    assert config.loads(values).multi_label is False  # a run of before


def test_one_label_may_be_trained_with_sigmoids(listed):
    made = config.create(data_dir=str(listed), multi_label=True)
    assert made.multi_label and made.num_classes == 3
    split = splits_of(listed, num_classes=3).validation
    drawn = evaluated(split, classes=3)
    assert drawn["label"].shape == (12, 3)
    np.testing.assert_array_equal(drawn["label"].sum(0), (3, 5, 4))


def test_labels_are_the_lines_of_a_file_or_the_sorted_names_of_training(colours):
    assert label_csv.read(str(colours)).classes == CLASSES
    (colours / "labels.txt").unlink()
    assert label_csv.read(str(colours)).classes == ("blue", "green", "red")
    (colours / "labels.txt").write_text("\ufeffred\r\nviolet\r\nblue\r\ngreen\r\n\r\n")
    assert label_csv.read(str(colours)).classes == ("red", "violet", "blue", "green")


def test_validation_alone_can_be_evaluated(colours):
    (colours / "train.csv").unlink()
    (colours / "val.csv").rename(colours / "test.csv")
    splits = splits_of(colours)
    assert (splits.train, splits.minival, splits.validation.images) == (None, None, 9)
    made = config.create(dataset="csv", data_dir=str(colours))
    assert (made.num_classes, made.multi_label) == (4, True)


def test_quotes_spaces_and_blank_lines_are_those_of_csv(colours):
    (colours / "photos" / 'a, "b".png').write_bytes(b"")
    text = (
        '\ufefflabels , "file"\r\n'
        ' blue | red , "photos/a, ""b"".png"\r\n'
        "\r\n"
        ",photos/../photos/001.png\r\n"
        '"blue|blue",photos/002.png\r\n'
    )
    (colours / "val.csv").write_bytes(text.encode())
    (colours / "train.csv").unlink()
    rows = label_csv.read(str(colours)).validation.rows
    assert [row.names for row in rows] == [("blue", "red"), (), ("blue",)]
    assert rows[0].path == f'{colours}/photos/a, "b".png'
    assert rows[1].path == f"{colours}/photos/001.png"
    assert [row.where[-6:] for row in rows] == ["line 2", "line 4", "line 5"]


def evaluated(split, *, classes=4):
    numbering = pipelines.labels(classes, multi_label=True)
    dataset = batches.eval_batches(split, WHOLE, labels=numbering, batch_size=5)
    count = -(-split.images // 5) + 1
    drawn = list(dataset.take(count).as_numpy_iterator())
    joined = {n: np.concatenate([batch[n] for batch in drawn]) for n in drawn[0]}
    padding = joined["label"][joined["mask"] == 0]
    assert padding.shape[1] == classes and not padding.any()
    return {name: values[joined["mask"] > 0] for name, values in joined.items()}


def expected_labels(split):
    numbers = [int(path[-7:-4]) for path in split.files]
    return np.array([[name in labels_of(n) for name in CLASSES] for n in numbers])


def test_evaluation_has_every_image_with_all_its_labels(colours):
    split = splits_of(colours).validation
    drawn = evaluated(split)
    assert drawn["label"].dtype == np.float32
    np.testing.assert_array_equal(drawn["label"], expected_labels(split))
    assert drawn["number"].tolist() == list(range(9))


def trained(split, *, alpha=0.0):
    transform = pipelines.transform(WHOLE, 4, multi_label=True, mixup_alpha=alpha)
    dataset = batches.train_batches(split, transform, batch_size=8, seed=0)
    return [batch["label"] for batch in dataset.take(3).as_numpy_iterator()]


def test_training_has_every_image_with_all_its_labels_and_mixes_them(colours):
    split = splits_of(colours).train
    plain, expected = trained(split), expected_labels(split)
    found = np.concatenate(plain)
    assert sorted(map(tuple, found)) == sorted(map(tuple, expected.astype("float32")))
    assert split.class_counts() == expected.sum(0).tolist()
    for labels, mixed in zip(plain, trained(split, alpha=0.4), strict=True):
        other = labels[::-1]
        same = labels == other
        np.testing.assert_allclose(mixed[same], labels[same], atol=1e-6)
        kept = np.where(labels == 1, mixed, 1 - mixed)[~same]
        assert (kept >= 0.5).all() and (kept < 1).any()
        # One weight for all labels of an image.
        rows = np.where(same, np.nan, np.where(labels == 1, mixed, 1 - mixed))
        spread = [np.ptp(row[~np.isnan(row)]) for row in rows if (~np.isnan(row)).any()]
        assert max(spread) < 1e-6


def test_each_combination_of_labels_gives_its_share_of_held_out_images(colours):
    splits = splits_of(colours, minival_images=8)
    assert sorted(splits.minival.labels) == sorted(set(splits.train.labels))
    assert not set(splits.minival.files) & set(splits.train.files)


def test_a_folder_beside_is_no_second_data_set(colours):
    fill(colours / "val", (1, 1, 1))
    assert detection.detect_dataset(str(colours)) == "csv"


def test_random_images_have_one_label_of_as_many_as_there_are():
    fake = sources.open_source(
        "fake", None, num_classes=4, minival_shards=0, num_train_images=8
    )
    numbering = pipelines.labels(4, multi_label=True)
    drawn = fake.evaluate(
        fake.splits.validation,
        WHOLE,
        labels=numbering,
        batch_size=6,
        shard=batches.Shard(),
    )
    labels = next(iter(drawn.take(1).as_numpy_iterator()))["label"]
    np.testing.assert_array_equal(labels, np.eye(4)[[0, 1, 2, 3, 0, 1]])


@pytest.mark.parametrize("column", ["label", "labels"])
def test_train_csv_alone_is_divided_by_seed_and_names(tmp_path, column):
    names = [f"photos/{i:03d}.jpg" for i in range(90)]
    rows = [(name, ("ant", "bee", "cat")[i % 3]) for i, name in enumerate(names)]
    write(tmp_path / "train.csv", ("file", column), rows)
    listing = label_csv.read(str(tmp_path), val_fraction=0.2)
    assert listing.validation is None

    def chosen(seed):
        found = label_csv.divide(listing, str(tmp_path), 0.2, seed)
        counts = [sum(labels == (i,) for _, labels in found.validation) for i in (0, 1)]
        assert counts == [6, 6] and len(found.train) == 72
        assert f"val_fraction=0.2 and seed={seed}" in found.notes[0]
        return {path for path, _ in found.validation}

    assert chosen(0) == chosen(0) != chosen(1)
    made = config.create(data_dir=str(tmp_path), val_fraction=0.2)
    assert (made.dataset, made.num_classes) == ("csv", 3)
