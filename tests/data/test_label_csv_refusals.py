"""CSV files that cannot be used are named, with the line and what helps."""

import pytest
from label_support import fill

from efficientnet_tf import config
from efficientnet_tf.data import detection, image_files, label_csv, sources

HEAD = "file,labels\n"
ONE = HEAD + "photos/000.png,red\n"
OTHER = HEAD + "photos/001.png,red\n"


@pytest.fixture
def root(tmp_path):
    fill(tmp_path, train=4, validation=2)
    (tmp_path / "labels.txt").unlink()
    return tmp_path


def refusal(root, **kwargs) -> str:
    with pytest.raises(ValueError) as error:
        label_csv.check_files(label_csv.read(str(root), **kwargs))
    (line,) = str(error.value).replace(str(root), "DIR").splitlines()
    return line


@pytest.mark.parametrize(
    ("train", "expected"),
    [
        ("", "DIR/train.csv: is empty; its first line must name the columns"),
        (HEAD, "DIR/train.csv: names no images; each line below the first is one"),
        (
            "path;labels\n",
            "DIR/train.csv, line 1: names no column file, but path;labels; the first "
            "line must name file and label or labels, separated by commas "
            "(--dataset=folder takes images by class in place of CSV files)",
        ),
        (
            "file,names\n",
            "DIR/train.csv, line 1: names no column label or labels, but file, names; "
            "the first line must name file and label or labels, separated by commas "
            "(--dataset=folder takes images by class in place of CSV files)",
        ),
        (
            "label,file,labels\n",
            "DIR/train.csv, line 1: names the columns label and labels; keep label, "
            "one for each image, or labels, any number of them",
        ),
        ("file,labels,file\n", "DIR/train.csv, line 1: names the column file twice"),
        (
            ONE + "photos/002.png,red,big\n",
            "DIR/train.csv, line 3: has 3 cells for 2 columns; a cell with a comma "
            'needs quotes: "a, b"',
        ),
        (
            ONE + ",red\n",
            "DIR/train.csv, line 3: file is empty; it must be the image's path",
        ),
        (
            ONE + "\nphotos/../photos/000.png,blue\n",
            "DIR/train.csv, line 4: DIR/photos/000.png is in line 2 too; an image has "
            "one line",
        ),
        (
            ONE + "photos/9.png,red\n",
            "DIR/train.csv, line 3: DIR/photos/9.png is not there; a path begins in "
            "the folder of the CSV file, or is absolute",
        ),
        (
            ONE + "photos/a.avif,red\n",
            "DIR/train.csv, line 3: photos/a.avif cannot be read; allowed is .bmp, "
            ".gif, .jfif, .jpe, .jpeg, .jpg, .png, .webp",
        ),
        (ONE + "photos/a,red\n", "DIR/train.csv, line 3: photos/a cannot be read"),
        (
            ONE + "photos/002.png,red||blue\n",
            "DIR/train.csv, line 3: one of labels 'red||blue' is empty; write a|b for "
            "two labels, nothing for none",
        ),
        (
            ONE + '"photos/002.png,red\n',
            "DIR/train.csv, line 3: is no CSV (unexpected end of data)",
        ),
        (
            "file,label\nphotos/000.png,red\nphotos/002.png,\n",
            "DIR/train.csv, line 3: label is empty; each image needs one (a column "
            "labels in its place may be empty)",
        ),
        (
            "file,label\nphotos/000.png,red\n",
            "DIR/val.csv: has the column labels, train.csv has label; both need the "
            "same",
        ),
        (
            HEAD + "photos/000.png,\n",
            "DIR/train.csv: no image has a label; there is nothing to learn",
        ),
        (
            HEAD + "photos/000.png,rod\n",
            "DIR/val.csv, line 2: label 'red' is not in DIR/train.csv; correct it, or "
            "name all labels in DIR/labels.txt, one a line; did you mean rod?",
        ),
        (
            OTHER,
            "DIR/val.csv, line 2: DIR/photos/001.png is also in DIR/train.csv, line 2; "
            "an image that is trained on cannot be used for validation",
        ),
    ],
)
def test_a_csv_file_that_is_wrong(root, train, expected):
    (root / "train.csv").write_text(train)
    (root / "val.csv").write_text(OTHER)
    assert refusal(root).startswith(expected)


def test_a_file_that_is_not_utf_8(root):
    (root / "train.csv").write_bytes(ONE.encode() + b"photos/002.png,r\xf6t\n")
    assert refusal(root) == (
        "DIR/train.csv, line 3: is not UTF-8; save the file in this encoding"
    )


def test_missing_files_and_folders(root):
    (root / "val.csv").unlink()
    assert refusal(root) == (
        "data_dir=DIR: holds none of val.csv, validation.csv, test.csv; training needs "
        "DIR/train.csv and DIR/val.csv, or DIR/train.csv and --val_fraction=0.2"
    )
    assert refusal(root / "none") == "data_dir=DIR: No such file or directory"
    with pytest.raises(ValueError, match=r"data_dir=gs://b/x: CSV files and their im"):
        label_csv.read("gs://b/x")
    with pytest.raises(ValueError, match=r"needs the folder of its train\.csv and val"):
        config.create(dataset="csv")


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("red\n\nblue\n", "DIR/labels.txt: line 2 is empty"),
        ("red\nred\n", "DIR/labels.txt: line 2 names red again; keep one"),
        (
            "crimson\nblue\n",
            "DIR/train.csv, line 2: label 'red' is not in DIR/labels.txt; correct it, "
            "or name all labels in DIR/labels.txt, one a line",
        ),
    ],
)
def test_a_labels_file_that_is_wrong(root, lines, expected):
    (root / "train.csv").write_text(ONE)
    (root / "labels.txt").write_text(lines)
    assert refusal(root) == expected


def test_another_number_of_labels_or_another_kind(root):
    (root / "train.csv").write_text(ONE)
    (root / "val.csv").write_text(OTHER)
    assert refusal(root, num_classes=3) == (
        "num_classes=3: data_dir=DIR holds 1 labels; the two must agree "
        "(DIR/labels.txt may name labels that no image has)"
    )
    for chosen in ({"multi_label": False}, {"multi_label": False, "num_classes": 1}):
        assert refusal(root, **chosen).startswith(
            "multi_label=False: DIR/val.csv has the column labels"
        )
    with pytest.raises(ValueError, match="label_offset=1: allowed is 0 with multi_lab"):
        config.create(data_dir=str(root), label_offset=1)


def test_a_damaged_image_is_named_before_training(root):
    (root / "photos" / "001.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"/photos/001\.png cannot be read"):
        sources.open_source(
            "csv",
            str(root),
            num_classes=3,
            minival_shards=0,
            num_train_images=None,
            multi_label=True,
        )


def test_records_and_a_csv_file_are_not_guessed_between(root):
    (root / "train-00000-of-00001").touch()
    with pytest.raises(ValueError) as error:
        detection.detect_dataset(str(root))
    assert str(error.value).endswith(
        "holds TFRecord files (train-00000-of-00001) and images (train.csv); say which "
        "with --dataset=imagenet or --dataset=csv"
    )


@pytest.mark.parametrize("there", ["val.csv", "validation.csv", "test.csv"])
def test_a_part_of_train_csv_is_not_taken_beside_a_file_for_validation(root, there):
    (root / "val.csv").rename(root / there)
    assert refusal(root, val_fraction=0.5) == (
        f"val_fraction=0.5: data_dir=DIR has images for validation in {there}; allowed "
        "is 0"
    )


def test_too_many_held_out_images(root):
    found = image_files.of_csv(str(root), num_classes=3, multi_label=True)
    with pytest.raises(ValueError, match="minival_shards=4 leaves nothing of 4 train"):
        image_files.splits(found, minival_images=4)
