"""Folders that cannot be used are named, with what helps."""

import pytest
import tensorflow as tf
from folder_support import WANTED, check_first_images, encode, evaluate, open_splits

from efficientnet_tf.data import sources


def _error(data_dir, **kwargs) -> str:
    """What opening says, less the folder's own name."""
    with pytest.raises(ValueError) as error:
        open_splits(data_dir, **kwargs)
    return str(error.value).replace(str(data_dir), "DIR")


def test_a_missing_folder_is_named(tmp_path):
    assert _error(tmp_path / "none") == "data_dir=DIR: No such file or directory"


def test_a_folder_without_classes_is_named(tmp_path):
    (tmp_path / "a.jpg").write_bytes(encode(0))
    told = "no class folders, but 1 images in no class folder"
    assert _error(tmp_path) == f"data_dir=DIR: {told}; {WANTED}"


def test_urls_are_refused():
    assert _error("gs://bucket/images") == (
        "data_dir=DIR: folder data sets are read from local disks; write TFRecords "
        "for gs://"
    )


def test_train_needs_a_validation_folder(both):
    (both / "val").rename(both / "spare")
    assert _error(both) == (
        "data_dir=DIR: no class folders in val, validation, valid, test beside train; "
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
        "DIR/val/bee holds no images (.bmp, .gif, .jfif, .jpe, .jpeg, .jpg, .png, "
        f".webp); each folder beside it is a class, and {WANTED}"
    )


@pytest.mark.parametrize("suffix", ["avif", "TIFF", "pgm", "heic"])
def test_an_image_of_another_kind_is_named(both, suffix):
    (both / "train" / "bee" / f"odd.{suffix}").touch()
    assert _error(both) == (
        f"DIR/train/bee/odd.{suffix} cannot be read; allowed is .bmp, .gif, .jfif, "
        ".jpe, .jpeg, .jpg, .png, .webp"
    )


@pytest.mark.parametrize("minival", [43, 100])
def test_holding_out_every_train_image_is_refused(both, minival):
    assert _error(both, minival_images=minival) == (
        f"minival_shards={minival} leaves nothing of 43 train images to train on; "
        "allowed is 0 (hold nothing out) or fewer images"
    )


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("content", [b"", b"<html>", encode(0)[:40]])
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
        check_first_images(open_splits(flat).validation)


@pytest.mark.parametrize("content", [b"", b"II*\0 is a TIFF"])
def test_a_later_file_that_is_no_image_is_named_by_the_pipeline(flat, content):
    path = flat / "bee" / "004.jpg"
    path.write_bytes(content)
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        evaluate(open_splits(flat).validation)
    assert "no JPEG, PNG, GIF, BMP or WebP file:" in str(error.value)
    assert str(path) in str(error.value)
