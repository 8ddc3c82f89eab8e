"""Which image files the names on a command line mean."""

import os

import pytest

from efficientnet_tf.data import photos

TREE = (
    *("b.jpg", "a.PNG", "notes.txt", "deep/er/c.jpeg", "deep/d.webp"),
    *(".hidden.jpg", ".thumbs/e.jpg", "deep/a.gif"),
)


@pytest.fixture
def tree(tmp_path):
    for name in TREE:
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "tree"


def found(tree, *names):
    return [os.path.relpath(path, tree) for path in photos.find(list(map(str, names)))]


def test_a_folder_gives_its_images_and_those_below_sorted(tree):
    expected = ["a.PNG", "b.jpg", "deep/a.gif", "deep/d.webp", "deep/er/c.jpeg"]
    assert found(tree, tree) == expected
    assert found(tree, f"{tree}/") == expected


def test_files_are_taken_as_they_are_in_the_order_given(tree):
    names = ("notes.txt", ".hidden.jpg", "b.jpg", "notes.txt")
    assert found(tree, *(tree / name for name in names)) == list(names)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg"]),
        ("[ab].*", ["a.PNG", "b.jpg"]),
        ("**/*.jp*g", ["b.jpg", "deep/er/c.jpeg"]),
        ("d??p", ["deep/a.gif", "deep/d.webp", "deep/er/c.jpeg"]),
    ],
)
def test_a_pattern_means_what_a_shell_makes_of_it(tree, pattern, expected):
    assert found(tree, tree / pattern) == expected


def test_a_file_with_a_patterns_name_is_that_file(tree):
    (tree / "[ab].jpg").touch()
    assert found(tree, tree / "[ab].jpg") == ["[ab].jpg"]


def test_a_link_to_a_folder_above_ends_the_search(tree):
    (tree / "deep/up").symlink_to(tree)
    (tree / "deep/er/side").symlink_to(tree / ".thumbs")
    (tree / "gone.jpg").symlink_to(tree / "nowhere")
    expected = ["deep/er/c.jpeg", "deep/er/side/e.jpg"]
    assert found(tree, tree / "deep/er") == expected
    assert [name for name in found(tree, tree) if "up/" in name] == []


def test_names_that_are_no_text_are_found(tree):
    path = os.fsencode(tree / "deep") + b"/\xff.jpg"
    open(path, "w").close()
    assert path in map(os.fsencode, photos.find([str(tree)]))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none.jpg", "image file {}/none.jpg does not exist"),
        ("*.bmp", "image file {}/*.bmp: no file has a name of this pattern"),
        ("empty", "image folder {}/empty: holds no images (.bmp, .gif"),
        ("b.jpg/x", "image file {}/b.jpg/x does not exist"),
    ],
)
def test_a_name_that_means_no_file_is_refused(tree, name, told):
    (tree / "empty").mkdir()
    (tree / "empty/notes.txt").touch()
    with pytest.raises(ValueError) as error:
        photos.find([str(tree / "b.jpg"), str(tree / name)])
    assert str(error.value).startswith(told.format(tree))


def test_another_file_system_is_refused():
    with pytest.raises(ValueError, match="image file s3://b/x: allowed are paths"):
        photos.find(["s3://b/x"])
