import collections
import os

import pytest
from folder_support import (
    CLASSES,
    TRAIN,
    VALIDATION,
    check_first_images,
    class_counts,
    encode,
    evaluate,
    fill,
    open_splits,
)


def test_classes_are_the_sorted_names_and_files_are_sorted_within(both):
    splits = open_splits(both)
    assert splits.train.classes == splits.validation.classes == CLASSES
    assert (splits.train.images, splits.validation.images) == (43, 12)
    assert class_counts(splits.train) == list(TRAIN)
    assert class_counts(splits.validation) == list(VALIDATION)
    assert list(splits.train.files) == sorted(splits.train.files)
    assert splits.train.files[0] == f"{both}/train/ant/000.jpg"
    assert splits.minival is None


def test_labels_have_the_names_of_their_folders(both, flat):
    assert open_splits(both).class_names == open_splits(flat).class_names == CLASSES
    odd = os.fsencode(flat) + b"/\xe9t\ne"
    os.rename(flat / "cat", odd)
    assert open_splits(flat).class_names == ("ant", "bee", "?t e")


@pytest.mark.parametrize("name", ["val", "validation", "test"])
def test_the_validation_folder_has_three_names(both, name):
    (both / "val").rename(both / name)
    assert f"{both}/{name}/ant/100.jpg" in open_splits(both).validation.files


@pytest.mark.parametrize(
    ("names", "taken"),
    [(["test", "val"], "val"), (["test", "validation"], "validation")],
)
def test_of_several_validation_folders_test_comes_last(both, names, taken):
    (both / "val").rename(both / "spare")
    for name in names:
        fill(both / name, VALIDATION)
    assert open_splits(both).validation.files[0].startswith(f"{both}/{taken}/")


def test_suffixes_have_any_case_and_other_files_are_ignored(flat):
    names = ["a.JPG", "b.Jpeg", "c.png", "d.BMP", "e.gif"]
    for name in names:
        kind = {"jpg": "JPEG"}.get(name[2:].lower(), name[2:].upper())
        (flat / "ant" / name).write_bytes(encode(1, kind))
    for name in (".hidden.jpg", "LICENSE", "notes.txt", "labels.csv", ".h.webp"):
        (flat / "ant" / name).write_bytes(b"text")
    (flat / "ant" / "deeper.jpg").mkdir()
    (flat / "ant" / "deeper.jpg" / "f.jpg").write_bytes(encode(1))
    (flat / ".cache").mkdir()
    (flat / "README.md").touch()
    split = open_splits(flat).validation
    found = [os.path.basename(path) for path in split.files if "/ant/" in path]
    assert found == ["000.jpg", "001.PNG", "002.jpg", *names[:4], "f.jpg", names[4]]
    check_first_images(split)
    assert evaluate(split, batch_size=split.images)["mask"].sum() == 3 + 6 + 5 + 4


def test_a_folder_of_classes_alone_is_for_validation(flat):
    splits = open_splits(f"{flat}/", minival_images=0.05)
    assert (splits.train, splits.minival) == (None, None)
    assert splits.validation.files[0] == f"{flat}/ant/000.jpg"
    assert splits.validation.images == 12


def test_a_val_folder_alone_is_for_validation(both):
    (both / "train").rename(both / "spare")
    splits = open_splits(both)
    assert (splits.train, splits.validation.images) == (None, 12)


def test_a_class_may_be_called_as_a_split(flat):
    (flat / "ant").rename(flat / "train")
    assert open_splits(flat).validation.classes == ("bee", "cat", "train")


def test_linked_folders_and_files_count(both, tmp_path_factory):
    linked = tmp_path_factory.mktemp("linked")
    for name in ("train", "val"):
        (linked / name).symlink_to(both / name)
    (both / "val" / "ant" / "link.jpg").symlink_to(both / "train" / "ant" / "000.jpg")
    assert open_splits(linked).validation.images == 13


def test_names_may_be_any_bytes(flat):
    class_dir = os.fsencode(flat) + b"/b\xe9e"
    os.rename(flat / "bee", class_dir)
    with open(class_dir + b"/\xff.jpg", "wb") as file:
        file.write(encode(0))
    split = open_splits(flat).validation
    check_first_images(split)
    labels = evaluate(split, batch_size=13, extra=0)["label"]
    assert collections.Counter(labels) == {0: 3, 1: 6, 2: 4}
