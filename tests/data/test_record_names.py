"""Names of the labels of TFRecords."""

import pytest
from folder_support import encode

from efficientnet_tf import label_sets
from efficientnet_tf.data import sources, tfrecord


def open_labels(data_dir, dataset="imagenet", num_classes=3):
    return sources.open_source(
        dataset,
        str(data_dir),
        num_classes=num_classes,
        minival_shards=0,
        num_train_images=None,
    ).splits.class_names


@pytest.fixture
def three(tmp_path):
    """Records of labels 1 to 3."""
    for split in ("train", "validation"):
        examples = [(encode(label), label) for label in (1, 2, 3)]
        tfrecord.write_shards(str(tmp_path), split, examples, shards=1)
    return tmp_path


def test_labels_have_the_names_in_their_folder(three):
    assert open_labels(three) is None
    (three / "labels.txt").write_text("ant\nBiene, Käfer\r\n cat \n\n")
    assert open_labels(f"{three}/") == ("ant", "Biene, Käfer", "cat")


def test_a_thousand_labels_are_imagenets_unless_others_are_named(three):
    assert open_labels(three, num_classes=1000) == label_sets.names("imagenet-1k")
    names = [f"name {number}" for number in range(1000)]
    (three / "labels.txt").write_text("\n".join(names))
    assert open_labels(three, num_classes=1000) == tuple(names)


def test_digits_have_the_names_of_digits(digits_dir):
    names = tuple("0123456789")
    assert open_labels(digits_dir, "digits", num_classes=10) == names
    # As records in ImageNet's schema they are ten classes of whatever kind.
    assert open_labels(digits_dir, num_classes=10) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ant\nbee\n", "holds 2 names, but there are 3 labels"),
        (b"background\nant\nbee\ncat\n", "holds 4 names, but there are 3 labels"),
        (b"ant\n\nbee\ncat\n", "line 2 is empty"),
        (b"", "line 1 is empty"),
        (b"ant\nb\xe9e\ncat\n", "'utf-8' codec can't decode"),
        (None, ""),
    ],
)
def test_a_file_of_names_that_does_not_fit_is_refused(three, content, message):
    path = three / "labels.txt"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError) as error:
        open_labels(three)
    assert str(error.value).startswith(f"{path}: {message}")
    assert "\n" not in str(error.value)
