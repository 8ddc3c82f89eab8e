"""Names of classes, of ImageNet's above all, and files of names."""

import os
import pathlib

import pytest

from efficientnet_tf import label_sets

REFERENCE = pathlib.Path(__file__).parents[2] / "shared/reference"
LABELS = REFERENCE / "imagenet1k_labels.tsv"


def test_imagenets_classes_are_in_the_order_of_the_released_weights():
    known = {
        0: ("n01440764", "tench"),
        207: ("n02099601", "golden retriever"),
        281: ("n02123045", "tabby"),
        985: ("n11939491", "daisy"),
        999: ("n15075141", "toilet tissue"),
    }
    classes = label_sets.imagenet()
    assert {number: classes[number] for number in known} == known
    synsets = [synset for synset, _ in classes]
    assert len(set(synsets)) == 1000 and synsets == sorted(synsets)
    names = label_sets.names("imagenet-1k")
    assert names == tuple(name for _, name in classes)
    twice = {name for name in names if names.count(name) > 1}
    assert twice == {"crane", "maillot"}


@pytest.mark.skipif(not LABELS.is_file(), reason=f"{LABELS} is not there")
def test_imagenets_classes_are_the_published_ones():
    rows = [line.split("\t") for line in LABELS.read_text().splitlines()]
    assert [int(number) for number, _, _ in rows] == list(range(1000))
    expected = [(synset, words.partition(",")[0]) for _, synset, words in rows]
    assert list(label_sets.imagenet()) == expected


def test_an_unknown_set_has_no_names():
    assert label_sets.names("digits") == tuple(map(str, range(10)))
    assert label_sets.names("imagenet-21k") is None
    assert label_sets.names(None) is None


@pytest.mark.parametrize(
    ("names", "outputs", "label_offset", "expected"),
    [
        (("a", "b"), 2, 0, ("a", "b")),
        (("a", "b"), 3, 1, ("background", "a", "b")),
        (None, 2, 0, ("class 0", "class 1")),
        (None, 3, 2, ("background", "background", "class 0")),
        (("a", "b"), 3, 0, ("class 0", "class 1", "class 2")),
    ],
)
def test_every_output_has_a_name(names, outputs, label_offset, expected):
    found = label_sets.output_names(names, outputs=outputs, label_offset=label_offset)
    assert found == expected


def test_a_file_of_names_gives_them_back():
    names = ("a rose", "Gänseblümchen", "fig, green")
    assert label_sets.dumps(names) == "a rose\nGänseblümchen\nfig, green\n"
    assert label_sets.loads(label_sets.dumps(names)) == names
    # As other systems and editors write them.
    assert label_sets.loads("\ufeffa\r\n b \r\n\r\n") == ("a", "b")
    with pytest.raises(ValueError, match="line 2 is empty"):
        label_sets.loads("a\n\nb\n")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_file_without_names_is_refused(text):
    with pytest.raises(ValueError, match="line 1 is empty"):
        label_sets.loads(text)


def test_names_are_lines_that_every_terminal_takes():
    found = label_sets.printable("a\nb\tc\x1b[31m\x00é日")
    assert found == "a b c?[31m?é日"
    found = label_sets.printable(os.fsdecode(b"ros\xe9"))
    assert found == "ros?" and found.encode() == b"ros?"
