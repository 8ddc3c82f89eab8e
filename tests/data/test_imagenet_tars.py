import pathlib

import folder_support
import pytest
import tar_support

from efficientnet_tf import label_sets
from efficientnet_tf.data.writing import ground_truth, imagenet_tars


def test_images_are_found_inside_the_nested_tar_files(tmp_path):
    tar_support.write(tmp_path)
    found = imagenet_tars.read(str(tmp_path))
    assert found.synsets == tuple(tar_support.CLASSES)
    assert found.class_names == tar_support.NAMES
    train = {image.name: image for image in found.splits["train"]}
    assert len(train) == sum(tar_support.TRAIN)
    for image in train.values():
        synset, number = image.name.removesuffix(".JPEG").split("_")
        assert image.read() == folder_support.encode(int(number))
        assert found.synsets[image.label] == synset
    assert len(found.notes) == 1 and "3 classes" in found.notes[0]


def test_the_ground_truth_counts_in_the_order_of_the_development_kit(tmp_path):
    tar_support.write(tmp_path)
    images = imagenet_tars.read(str(tmp_path)).splits["validation"]
    assert [image.label for image in images] == [0, 1, 1, 1, 2, 2]
    for number, image in enumerate(images, start=1):
        assert image.read() == folder_support.encode(100 + number)


def test_known_ids_are_those_of_the_development_kit():
    # The first ten validation images: their labels in the development kit, and the
    # synsets that tf.models lists for them.
    ids = (490, 361, 171, 822, 297, 482, 13, 704, 599, 164)
    synsets = (
        *("n01751748", "n09193705", "n02105855", "n04263257", "n03125729"),
        *("n01735189", "n02346627", "n02776631", "n03794056", "n02328150"),
    )
    known = label_sets.imagenet_ids()
    assert tuple(known[number] for number in ids) == synsets
    assert sorted(known) == list(range(1, 1001))
    assert set(known.values()) == {synset for synset, _ in label_sets.imagenet()}


@pytest.mark.parametrize("kind", ["synsets", "packed", "unpacked"])
def test_labels_are_taken_from_every_usual_place(tmp_path, kind):
    synsets = ["n02119789", "n01440764"]
    name = "ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt"
    if kind == "synsets":
        path = tmp_path / "synset_labels.txt"
        path.write_text("".join(f"{synset}\n" for synset in synsets))
    elif kind == "packed":
        content = tar_support.pack({name: b"1\n449\n"}, "w:gz")
        (tmp_path / "ILSVRC2012_devkit_t12.tar.gz").write_bytes(content)
    else:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("1\n449\n")
    assert ground_truth.read(str(tmp_path)).synsets == synsets


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("449\n490\n", ["2 lines", "ILSVRC2012_val_0000000"]),
        ("449\n\n490\n", ["line 2", "''"]),
        ("449\n1001\n", ["line 2", "'1001'"]),
        ("449\nfox\n", ["line 2", "'fox'"]),
        ("2\n" * 6, ["n02100735", "ILSVRC2012_val_0000000"]),
    ],
)
def test_labels_that_do_not_fit_are_named(tmp_path, labels, told):
    tar_support.write(tmp_path, labels=labels)
    with pytest.raises(ValueError) as error:
        imagenet_tars.read(str(tmp_path))
    words = ["ILSVRC2012_validation_ground_truth.txt", *told]
    assert all(word in str(error.value) for word in words), error.value


def _cut(path: pathlib.Path, end: int) -> None:
    path.write_bytes(path.read_bytes()[:end])


@pytest.mark.parametrize("name", ["ILSVRC2012_img_train.tar", "ILSVRC2012_img_val.tar"])
def test_a_tar_file_that_is_cut_anywhere_is_named(tmp_path, name):
    tar_support.write(tmp_path)
    whole = (tmp_path / name).read_bytes()
    content = len(whole.rstrip(b"\0"))
    for end in (0, 100, 512, content // 2, content - content % 512, content - 1):
        _cut(tmp_path / name, end)
        with pytest.raises(ValueError, match=name):
            imagenet_tars.read(str(tmp_path))
        (tmp_path / name).write_bytes(whole)


def test_a_damaged_header_does_not_end_the_list(tmp_path):
    tar_support.write(tmp_path)
    path = tmp_path / "ILSVRC2012_img_val.tar"
    content = bytearray(path.read_bytes())
    second = content.index(b"ILSVRC2012_val_00000003")
    content[second] ^= 1  # its checksum is wrong now
    path.write_bytes(content)
    with pytest.raises(ValueError, match=f"{path}.*byte {second}"):
        imagenet_tars.read(str(tmp_path))


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        ("ILSVRC2012_img_val.tar", "ILSVRC2012_img_val.tar"),
        ("ILSVRC2012_validation_ground_truth.txt", "ILSVRC2012_devkit_t12.tar.gz"),
    ],
)
def test_what_is_missing_is_named(tmp_path, missing, told):
    tar_support.write(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=told):
        imagenet_tars.read(str(tmp_path))


def test_a_class_without_images_is_named(tmp_path):
    tar_support.write(tmp_path)
    content = tar_support.pack({"n01440764.tar": tar_support.pack({"a.txt": b"a"})})
    (tmp_path / "ILSVRC2012_img_train.tar").write_bytes(content)
    with pytest.raises(ValueError, match=r"n01440764.tar: holds no images"):
        imagenet_tars.read(str(tmp_path))
