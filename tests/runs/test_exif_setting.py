"""Where the setting `exif` comes from, and where it is kept."""

import dataclasses
import json
import types

import networks
import pytest

import efficientnet_tf as en
from efficientnet_tf import config
from efficientnet_tf.commands import train
from efficientnet_tf.runs import run_model
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.training import loop


@pytest.fixture
def data(tmp_path):
    """A folder of images that nobody opens, and CSV files that list them."""
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "a.jpg").touch()
        lines = [f"{split}/{name}/a.jpg,{name}\n" for name in ("cat", "dog")]
        (tmp_path / f"{split}.csv").write_text("file,label\n" + "".join(lines))
    return str(tmp_path)


def _made(**chosen):
    return config.resolve(num_classes=2, **chosen)


@pytest.mark.parametrize("dataset", ["folder", "csv"])
def test_images_of_folders_and_csv_files_are_turned_unless_the_user_says_no(
    data, dataset
):
    found = _made(dataset=dataset, data_dir=data)
    assert (found.config.exif, found.origins["exif"]) == (True, "fact of the data")
    assert run_model.preparation(found.config).exif
    chosen = _made(dataset=dataset, data_dir=data, exif=False).config
    assert not chosen.exif and not run_model.preparation(chosen).exif


def test_records_are_read_as_the_original_reads_them(data):
    assert not _made(dataset="imagenet", data_dir=data).config.exif
    assert _made(dataset="imagenet", data_dir=data, exif=True).config.exif


def test_a_run_that_was_begun_without_the_setting_goes_on_without(data, tmp_path):
    wanted = _made(dataset="folder", data_dir=data).config
    run = RunDir(str(tmp_path))
    assert run.as_begun(wanted) == wanted  # a new run
    values = json.loads(config.dumps(wanted))
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert run.as_begun(wanted) == wanted
    del values["exif"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ValueError, match=r"exif=False \(now True\)"):
        run.check_config(wanted)
    run.check_config(run.as_begun(wanted))


@pytest.mark.parametrize("is_chief", [True, False])
def test_the_chief_says_that_such_a_run_goes_on_without(
    data, tmp_path, is_chief, monkeypatch, capsys
):
    trained = []

    def note(made, **_):
        trained.append(made)
        return {"finished": False}

    monkeypatch.setattr(loop, "train", note)
    wanted = _made(dataset="folder", data_dir=data).config
    hosts = types.SimpleNamespace(is_chief=is_chief)
    for values in (dataclasses.asdict(wanted), {}):
        (tmp_path / "config.json").write_text(json.dumps(values))
        train.run(None, hosts, config=wanted, model_dir=str(tmp_path))
    assert [made.exif for made in trained] == [True, False]
    assert capsys.readouterr().out.count("--noexif") == is_chief


@pytest.fixture(scope="module")
def model():
    return en.EfficientNet(
        networks.own(networks.ONE), classes=3, input_shape=(32, 32, 3)
    )


@pytest.mark.parametrize(("stated", "found"), [(None, True), (False, False)])
def test_weights_say_whether_their_images_were_turned(model, tmp_path, stated, found):
    model.passport = dataclasses.replace(model.passport, exif=stated)
    path = str(tmp_path / "w.weights.h5")
    en.save_weights(model, path)
    assert run_model.open_weights(path)[0].exif is found
    assert run_model.open_weights(path, chosen={"exif": not found})[0].exif is not found
