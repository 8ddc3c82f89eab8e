"""Where the images of a folder may be, and what is said of files that are not used."""

import os
import pathlib
import unicodedata

import pytest

from efficientnet_tf import config
from efficientnet_tf.data import catalogue, folder, inventory

TRAIN = ("train/ant/1.jpg", "train/ant/2.PNG", "train/bee/3.jpeg")
VAL = ("val/ant/4.jpg", "val/bee/5.gif")


@pytest.fixture
def lay_out(tmp_path):
    def make(*names) -> str:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return str(tmp_path)

    return make


def read(data_dir, **kwargs) -> folder.Found:
    return folder.read(data_dir, **kwargs)


def inside(data_dir, images) -> list[str]:
    return [os.path.relpath(path, data_dir) for path, _ in images]


def refusal(data_dir, **kwargs) -> str:
    with pytest.raises(ValueError) as error:
        read(data_dir, **kwargs)
    (line,) = str(error.value).replace(data_dir, "DIR").splitlines()
    return line


def left_out(found) -> dict[str, int]:
    return {one.reason: one.count for one in found.left_out}


@pytest.mark.parametrize(
    "deeper", ["images/9.jpg", "a/b/c/9.JPG", "train/9.jpg", "x.jpg/9.jpg"]
)
def test_images_in_deeper_folders_are_taken_and_it_is_said(lay_out, deeper):
    data_dir = lay_out(*TRAIN, *VAL, f"train/ant/{deeper}")
    found = read(data_dir)
    assert f"train/ant/{deeper}" in inside(data_dir, found.train)
    labels = [labels for path, labels in found.train if "/ant/" in path]
    assert labels == [(0,)] * 3
    (note,) = found.notes
    assert note.startswith("1 images are in folders below") and deeper in note
    assert catalogue.train_images("folder", data_dir) == 4


def test_a_folder_of_images_one_level_deeper_alone_is_whole(lay_out):
    names = [
        f"{split}/{c}/images/{i}.jpg"
        for split in ("train", "val")
        for c in "ab"
        for i in range(6)
    ]
    found = read(lay_out(*names))
    assert (len(found.train), len(found.validation)) == (12, 12)


def test_every_file_that_is_not_used_is_counted_by_reason(lay_out):
    data_dir = lay_out(
        *TRAIN,
        *VAL,
        *("train/ant/a.jpg_large", "train/ant/deep/b", "train/bee/c.txt", "README.md"),
        *("train/ant/.d.jpg", "train/.cache/e.jpg", "train/ant/.f/g.jpg"),
        *("train/h.jpg", "i.png", "val/j.txt", "test/ant/k.jpg", "spare/l.jpg"),
    )
    found = read(data_dir)
    assert (len(found.train), len(found.validation)) == (3, 2)
    assert left_out(found) == {
        "not images, by the ending of the name": 5,
        "hidden, by a dot before the name": 2,
        "images in no class folder": 2,
        "folders that belong to no split that is used": 2,
    }
    examples = {one.example for one in found.left_out}
    assert f"{data_dir}/train/ant/a.jpg_large" in examples


def test_nothing_is_left_out_of_a_folder_of_images_alone(lay_out):
    found = read(lay_out(*TRAIN, *VAL))
    assert (found.left_out, found.notes) == ((), ())


def test_links_lead_to_images_and_never_in_circles(lay_out, tmp_path):
    data_dir = lay_out(*TRAIN, *VAL, "elsewhere/more/6.jpg")
    ant = tmp_path / "train/ant"
    (ant / "linked").symlink_to(tmp_path / "elsewhere/more")
    (ant / "up").symlink_to(tmp_path / "train/ant")
    (ant / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(ant / "pipe.jpg")
    found = read(data_dir)
    names = inside(data_dir, found.train)
    assert {"train/ant/linked/6.jpg", "train/ant/gone.jpg"} <= set(names)
    assert len(names) == 5
    told = left_out(found)
    assert told["links to a folder that holds them"] == 1
    assert told["not files that hold data"] == 1


def test_a_folder_that_cannot_be_read_is_named(lay_out, monkeypatch):
    data_dir = lay_out(*TRAIN, *VAL, "train/ant/shut/7.jpg")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    assert refusal(data_dir) == "data_dir=DIR/train/ant/shut: Permission denied"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (
            ("all/train/a/1.jpg", "all/train/b/1.jpg", "all/val/a/2.jpg"),
            ["one folder deeper", "data_dir=DIR/all"],
        ),
        (
            ("a/train/1.jpg", "a/val/2.jpg", "b/train/1.jpg", "b/val/3.jpg"),
            ["class 'a'", "train, val", "DIR/train/CLASS"],
        ),
        (
            ("Train/a/1.jpg", "Train/b/1.jpg", "Test/a/2.jpg", "Test/b/2.jpg"),
            ["Test and Train look like splits"],
        ),
        (
            ("train/a/1.jpg", "train/b/1.jpg", "testing/a/2.jpg", "testing/b/2.jpg"),
            ["beside train", "testing looks like splits"],
        ),
        (("1.jpg", "2.jpg", "notes.txt"), ["no class folders, but 2 images"]),
        (("a.npy", "b.npy"), ["no class folders, but 2 files such as a.npy"]),
        (
            ("only/1.jpg", "only/x/2.jpg", "only/y/3.jpg"),
            ["one class folder, only", "its folders are x, y"],
        ),
        (
            ("train/a/1.jpg", "train/b/1.jpg", "val/a/2.jpg", "val/B/2.jpg"),
            ["class 'B' is in val but not in train ('b' there differs in case"],
        ),
    ],
)
def test_layouts_that_are_not_known_are_refused_with_what_was_found(
    lay_out, names, told
):
    message = refusal(lay_out(*names))
    assert message.startswith("data_dir=DIR: ")
    for words in told:
        assert words in message


def test_names_that_differ_in_case_or_unicode_form_only_are_noted(lay_out):
    cafe = [unicodedata.normalize(form, "café") for form in ("NFC", "NFD")]
    data_dir = lay_out("Cat/1.jpg", "cat/2.jpg", f"{cafe[0]}/3.jpg", f"{cafe[1]}/4.jpg")
    found = read(data_dir)
    assert len(found.classes) == 4 and len(found.notes) == 2
    assert any("classes Cat and cat differ" in note for note in found.notes)


def test_valid_is_a_name_for_validation_and_comes_before_test(lay_out):
    data_dir = lay_out(
        *TRAIN,
        *(name.replace("val/", "valid/") for name in VAL),
        "test/ant/6.jpg",
        "test/bee/7.jpg",
    )
    found = read(data_dir)
    assert all("/valid/" in path for path, _ in found.validation)
    assert left_out(found) == {"folders that belong to no split that is used": 1}


def many(**classes) -> list[str]:
    return [f"{name}/{i}.jpg" for name, count in classes.items() for i in range(count)]


@pytest.mark.parametrize("below", ["", "train/"])
def test_one_folder_is_divided_by_class(lay_out, below):
    counts = {"ant": 50, "bee": 10, "cat": 2, "dog": 1}
    data_dir = lay_out(*(below + name for name in many(**counts)))
    found = read(data_dir, val_fraction=0.2)
    taken = [sum(labels == (i,) for _, labels in found.validation) for i in range(4)]
    assert taken == [10, 2, 1, 0]
    images = {path for path, _ in (*found.train, *found.validation)}
    assert len(images) == len(found.train) + len(found.validation) == 63
    assert list(found.train) == sorted(found.train, key=lambda image: image[1])
    assert "val_fraction=0.2 and seed=0" in found.notes[0]


def test_the_division_follows_from_seed_and_names_alone(lay_out, tmp_path):
    names = many(ant=40, bee=40)
    data_dir = lay_out(*(f"one/{name}" for name in names))
    lay_out(*(f"two/train/{name}" for name in reversed(names)))

    def chosen(place, seed=0, fraction=0.25):
        root = f"{data_dir}/{place}"
        found = read(root, val_fraction=fraction, seed=seed)
        root = f"{root}/train" if place == "two" else root
        return set(inside(root, found.validation))

    assert chosen("one") == chosen("two") != chosen("one", seed=1)
    # More to validate with are more of the same, and an image more moves few others.
    assert chosen("one") < chosen("one", fraction=0.5)
    before = chosen("one")
    pathlib.Path(data_dir, "one/ant/new.jpg").touch()
    assert len(before - chosen("one")) <= 1


def test_a_copy_with_names_in_another_unicode_form_is_divided_alike(lay_out):
    names = [f"{c}/né{i}.jpg" for c in "ab" for i in range(20)]
    chosen = []
    for form in ("NFC", "NFD"):
        data_dir = lay_out(*(f"{form}/{unicodedata.normalize(form, n)}" for n in names))
        found = read(f"{data_dir}/{form}", val_fraction=0.3)
        some = inside(f"{data_dir}/{form}", found.validation)
        chosen.append({unicodedata.normalize("NFC", name) for name in some})
    assert chosen[0] == chosen[1] and len(chosen[0]) == 12


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ((*TRAIN, *VAL), "val_fraction=0.2: data_dir=DIR has images for validation"),
        (VAL, "val_fraction=0.2: data_dir=DIR has images for validation in val"),
        (("a/1.jpg", "b/1.jpg"), "val_fraction=0.2: takes 0 of the 2 images"),
    ],
)
def test_what_cannot_be_divided_is_refused(lay_out, names, told):
    assert refusal(lay_out(*names), val_fraction=0.2).startswith(told)


def test_one_folder_is_for_evaluation_unless_it_is_divided(lay_out):
    data_dir = lay_out(*many(ant=5, bee=5))
    found = read(data_dir)
    assert found.train is None and len(found.validation) == 10
    assert catalogue.train_images("folder", data_dir) is None
    assert catalogue.train_images("folder", data_dir, val_fraction=0.2) == 8
    made = config.create(data_dir=data_dir, val_fraction=0.2)
    assert (made.dataset, made.num_classes, made.recipe) == ("folder", 2, "scratch")
    # Another folder may be laid out in another way; the run's own may not.
    again = config.override(made, data_dir="/other", val_fraction=0.0)
    assert again.val_fraction == 0
    with pytest.raises(ValueError, match=r"val_fraction=0\.5: the run was trained wi"):
        config.override(made, val_fraction=0.5)


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ({"val_fraction": 1.0}, "val_fraction=1.0: allowed is 0 to below 1"),
        (
            {"val_fraction": 0.1, "dataset": "digits"},
            "val_fraction=0.1: allowed is 0 w",
        ),
        ({"first_label": 2}, "first_label=2: allowed is 0, 1"),
        (
            {"image_key": "png", "dataset": "digits"},
            "image_key=png: describes the TFRe",
        ),
    ],
)
def test_settings_that_do_not_fit_the_data_set_are_refused(chosen, told):
    with pytest.raises(ValueError) as error:
        config.create(**chosen)
    assert str(error.value).startswith(told)


def test_a_table_and_a_file_tell_what_was_found():
    left = inventory.LeftOut("not images, by the ending of the name", 3, "a/b\n.txt")
    found = inventory.Inventory(
        "folder",
        "/photos",
        (
            inventory.Part("train", 120, 120, (100, 0, 20)),
            inventory.Part("validation", 7, 2, None),
        ),
        ("ant", "bee", "cat"),
        (left,),
        ("something was decided",),
    )
    first, head, train, validation, *others = found.lines()
    assert first.split() == ["data", "folder", "in", "/photos"]
    assert head.split() == [
        "split",
        "images",
        "files",
        "classes",
        "smallest",
        "largest",
    ]
    assert train.split() == ["train", "120", "120", "2", "0", "bee", "100", "ant"]
    assert validation.split()[:4] == ["validation", "7", "2", "-"]
    assert others == [
        "left out      3 not images, by the ending of the name: a/b .txt and others",
        "note          something was decided",
    ]
    import json

    told = json.loads(found.dumps())
    assert told["parts"][0]["smallest"] == {"name": "bee", "images": 0}
    assert told["parts"][1]["counts"] is None
    assert told["left_out"] == [
        {"reason": left.reason, "count": 3, "example": left.example}
    ]
