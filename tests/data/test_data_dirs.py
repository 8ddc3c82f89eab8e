"""Folders of data are written to only by the data set that owns them."""

import pytest

from efficientnet_tf.data import digits, tfds_records


def held(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}


@pytest.mark.parametrize("name", ["photo.jpg", ".hidden", "train-notes", "DIGITS.txt"])
def test_digits_are_not_written_beside_other_files(tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(ValueError, match=f"data_dir={tmp_path} holds"):
        digits.prepare(str(tmp_path))
    assert held(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("name", ["photo.jpg", "train/cat/1.jpg", "1.0.0/x.txt"])
def test_tfds_prepares_nothing_beside_other_files(tmp_path, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(ValueError) as error:
        tfds_records.check_own("cifar10", str(tmp_path))
    told = f"data_dir={tmp_path}: dataset=tfds:cifar10 would be prepared there, beside "
    assert str(error.value).startswith(told + name.split("/")[0])


@pytest.mark.parametrize("name", ["cifar10/3.0.2", "own/config/1.0.0", "downloads", ""])
def test_tfds_prepares_beside_its_other_data_sets(tmp_path, name):
    (tmp_path / name).mkdir(parents=True, exist_ok=True)
    tfds_records.check_own("cifar10", str(tmp_path))
    tfds_records.check_own("cifar10", str(tmp_path / "none"))
