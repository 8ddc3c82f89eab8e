"""The data set that a folder means where none is named."""

import pathlib

import pytest

import main
from efficientnet_tf import config
from efficientnet_tf.data import detection

SHARDS = ("train-00000-of-00001", "validation-00000-of-00001")
IMAGES = ("train/cat/1.jpg", "train/dog/2.jpg", "val/cat/3.jpg", "val/dog/4.jpg")


def lay_out(root, names):
    for name in names:
        path = pathlib.Path(root, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return str(root)


@pytest.mark.parametrize(
    ("names", "dataset"),
    [
        (SHARDS, "imagenet"),
        (SHARDS[1:], "imagenet"),
        ((*SHARDS, "README.md", "labels.txt"), "imagenet"),
        ((*SHARDS, "old/notes.txt"), "imagenet"),
        (IMAGES, "folder"),
        (("cat/1.png", "dog/2.png"), "folder"),
        (("cat/1.PNG", "notes.txt"), "folder"),
        (("train/cat/images/1.jpg", "train/dog/images/2.jpg"), "folder"),
        (("cat/1.webp",), "folder"),  # to be refused by name, not as no image
        (("train/cat/1.jpg", ".cache/train-00000-of-00001"), "folder"),
    ],
)
def test_names_tell_the_data_set(tmp_path, names, dataset):
    data_dir = lay_out(tmp_path, names)
    assert detection.detect_dataset(data_dir) == dataset
    assert detection.detect_dataset(f"{data_dir}/") == dataset


@pytest.mark.parametrize("data_dir", ["gs://bucket", "gs://bucket/imagenet/"])
def test_a_bucket_holds_records(data_dir):
    assert detection.detect_dataset(data_dir) == "imagenet"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "holds neither TFRecord files named train-"),
        (("notes.txt", "a/b/c/d.txt"), "holds neither"),
        ((".hidden/1.jpg",), "holds neither"),
        (("train-/1.txt",), "holds neither"),
        (
            (*SHARDS, *IMAGES),
            r"TFRecord files \(train-00000-of-00001\) and images \(tr",
        ),
        ((*SHARDS, "DIGITS"), "holds the digits' records; name them with --dataset=di"),
    ],
)
def test_what_names_do_not_tell_is_asked_for(tmp_path, names, message):
    data_dir = lay_out(tmp_path, names)
    with pytest.raises(ValueError, match=f"data_dir={data_dir}: .*{message}"):
        detection.detect_dataset(data_dir)


def test_a_missing_folder_and_a_file_are_named(tmp_path):
    lay_out(tmp_path, ["file"])
    for name, message in [("none", "No such file"), ("file", "Not a directory")]:
        with pytest.raises(ValueError, match=f"data_dir={tmp_path}/{name}: {message}"):
            detection.detect_dataset(f"{tmp_path}/{name}")


def test_a_config_takes_what_its_folder_holds(tmp_path):
    made = config.create(data_dir=lay_out(tmp_path / "photos", IMAGES))
    assert (made.dataset, made.num_classes, made.image_size) == ("folder", 2, 224)
    made = config.create(data_dir=lay_out(tmp_path / "records", SHARDS))
    assert (made.dataset, made.num_classes, made.image_size) == ("imagenet", 1000, 224)
    assert config.create().dataset == "digits"


def test_a_name_decides_before_the_folder(tmp_path):
    data_dir = lay_out(tmp_path, IMAGES)
    assert config.create(dataset="digits", data_dir=data_dir).dataset == "digits"


class Reached(Exception):
    """Training would begin."""


@pytest.fixture
def train(monkeypatch):
    """Runs main.py as far as the training; returns the Config and the run's folder."""
    from absl.testing import flagsaver

    from efficientnet_tf import files
    from efficientnet_tf.export import export_folder
    from efficientnet_tf.hardware import devices, preflight
    from efficientnet_tf.runs import run_dir
    from efficientnet_tf.training import loop

    begun = []

    def begin(made, *, model_dir, strategy, **_):
        begun.append((made, model_dir, strategy))
        raise Reached

    monkeypatch.setattr(preflight, "prepare", lambda *_, **__: ("tpu", []))
    monkeypatch.setattr(devices, "make_strategy", lambda *_, **__: "a strategy")
    # These would read the bucket, or write to it to see whether they can.
    monkeypatch.setattr(run_dir.RunDir, "as_begun", lambda _, made: made)
    monkeypatch.setattr(files, "check_writable", lambda path, **_: None)
    monkeypatch.setattr(export_folder, "check_target", lambda path: None)
    monkeypatch.setattr(loop, "train", begin)

    def train(*arguments):
        with flagsaver.flagsaver(), pytest.raises(Reached):
            main.main(main.parse(["main.py", *arguments]))
        return begun.pop()

    return train


def test_the_designs_own_command_trains_imagenet(train):
    made, model_dir, strategy = train(
        *("--model=efficientnet-b7", "--tpu=NAME", "--data_dir=gs://records/imagenet"),
        "--model_dir=gs://runs/b7",
    )
    assert strategy == "a strategy"
    assert model_dir == "gs://runs/b7"
    assert made.model == "efficientnet-b7"
    assert made.dataset == "imagenet"
    assert made.data_dir == "gs://records/imagenet"
    assert (made.image_size, made.num_classes) == (600, 1000)
    assert (made.train_batch_size, made.train_epochs) == (2048, 350)
    assert (made.minival_shards, made.augment) == (20, "autoaugment")


def test_a_folder_of_photos_names_its_run(train, tmp_path):
    data_dir = lay_out(tmp_path, IMAGES)
    made, model_dir, _ = train(f"--data_dir={data_dir}", "--mode=train")
    assert made.dataset == "folder"
    assert model_dir == "runs/efficientnet-b0-folder"
