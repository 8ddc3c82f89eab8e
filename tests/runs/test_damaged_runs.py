"""Every file of a run, damaged in every way: the right values, or the file's name."""

import json
import pathlib
import shutil

import pytest
import tensorflow as tf

from efficientnet_tf import config as config_lib
from efficientnet_tf.data import inventory
from efficientnet_tf.experiments import run_damage
from efficientnet_tf.runs import checkpoint_files, inspection, metrics, restoring
from efficientnet_tf.runs.run_dir import RunDir
from efficientnet_tf.weights import passport as passports

STEPS, BEST = (6, 12, 18), 12
PASSPORT = passports.Passport(None, classes=2, class_names=("ant", "bee"))
CONFIG = config_lib.create(dataset="fake", model="efficientnet-b0")


def make(folder):
    """Writes a run's folder as training does, with one variable for its network."""
    run = RunDir(str(folder))
    run.write_config(CONFIG)
    run.write_data(inventory.Inventory("fake", None, (), ("ant", "bee")))
    run.write_passport(PASSPORT)
    for name, steps in (("checkpoints", STEPS), ("best", (BEST,))):
        value = tf.Variable(tf.zeros([64], tf.int64))
        checkpoint = tf.train.Checkpoint(inference={"value": value})
        manager = tf.train.CheckpointManager(checkpoint, f"{folder}/{name}", 3)
        for step in steps:
            value.assign(tf.fill([64], tf.constant(step, tf.int64)))
            manager.save(checkpoint_number=step)
    for step in STEPS:
        metrics.append(str(folder), "train", step=step, epoch=step / 10, loss=1.0)
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return make(tmp_path_factory.mktemp("whole") / "run").path


@pytest.fixture
def run(whole, tmp_path):
    return RunDir(str(shutil.copytree(whole, tmp_path / "run")))


def restored(found) -> int:
    """Restores a checkpoint; returns the step that its values say."""
    value = tf.Variable(tf.zeros([64], tf.int64))

    def load(path):
        checkpoint = tf.train.Checkpoint(inference={"value": value})
        status = checkpoint.read(path).expect_partial()
        status.assert_existing_objects_matched()

    path = restoring.restore(found, load)
    (step,) = set(value.numpy().tolist())
    assert checkpoint_files.step_of(path) == step
    return step


def text_of(call):
    """The text of the ValueError that a call raises; None if it raises none."""
    try:
        call()
    except ValueError as error:
        return str(error)
    return None


def remove(run, *names):
    for name in names:
        pathlib.Path(run.path, name).unlink()


def test_the_damages_are_those_of_every_file_and_come_again(whole, tmp_path):
    names = run_damage.files_of(whole)
    shards = [f"ckpt-{step}.data-00000-of-00001" for step in STEPS]
    assert set(names) == {
        *("config.json", "passport.json", "labels.txt", "data.json", "metrics.jsonl"),
        *(f"checkpoints/{name}" for name in ("checkpoint", *shards)),
        *(f"checkpoints/ckpt-{step}.index" for step in STEPS),
        *("best/checkpoint", f"best/{shards[1]}", f"best/ckpt-{BEST}.index"),
    }
    found = list(run_damage.damages(whole))
    assert len(found) == 5 * len(names)
    texts = []
    for number, seed in enumerate((3, 3, 4)):
        copy = shutil.copytree(whole, tmp_path / str(number))
        run_damage.Damage("config.json", "flipped", seed).do(copy)
        texts.append((copy / "config.json").read_bytes())
    assert texts[0] == texts[1] != texts[2]
    before = pathlib.Path(whole, "config.json").read_bytes()
    changed = [a ^ b for a, b in zip(before, texts[0], strict=True) if a != b]
    assert len(changed) == 1 and changed[0].bit_count() == 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("kind", run_damage.KINDS)
def test_checkpoints_are_right_or_named(whole, tmp_path, capsys, kind, seed):
    files = [name for name in run_damage.files_of(whole) if "/" in name]
    for number, file in enumerate(files):
        run = RunDir(str(shutil.copytree(whole, tmp_path / str(number))))
        run_damage.Damage(file, kind, seed).do(run.path)
        folder = file.split("/")[0]
        for found, best in ((run.to_continue(), STEPS[-1]), (run.to_serve(), BEST)):
            step = restored(found)
            told = capsys.readouterr().err
            is_named = f"{run.path}/{file.split('.')[0]}: " in told
            assert told.count("\n") <= 1, told
            assert step == best or is_named, file
            # What is taken instead is the best that is left.
            if step != best:
                assert step == (12 if folder == "checkpoints" else 18), file
        if file.endswith("/checkpoint") and kind == "unreadable":
            assert text_of(run.mend_records).startswith(f"{run.path}/{file}: ")
            continue
        run.mend_records()
        state = tf.train.get_checkpoint_state(f"{run.path}/{folder}")
        assert (
            state is not None
            and not checkpoint_files.read(f"{run.path}/{folder}").faults
        )
        shutil.rmtree(run.path)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("kind", run_damage.KINDS)
def test_settings_and_passport_are_right_or_named(whole, tmp_path, kind, seed):
    readers = {
        "config.json": (RunDir.read_config, CONFIG),
        "passport.json": (RunDir.read_passport, PASSPORT),
    }
    for file, (read, expected) in readers.items():
        run = RunDir(str(shutil.copytree(whole, tmp_path / file)))
        run_damage.Damage(file, kind, seed).do(run.path)
        told = text_of(lambda run=run, read=read: read(run))
        if told is None:
            got = read(run)
            is_lost = kind == "missing" and got == passports.Passport(None)
            assert got == expected or is_lost
        else:
            assert told.startswith(f"{run.path}/{file}: ") and "\n" not in told
            assert "put back a copy of it" in told
        if kind in ("missing", "garbage", "unreadable"):
            fault = inspection.inspect(run)[f"{run.path}/{file}"]
            assert fault and "'utf-8' codec" not in fault


@pytest.mark.parametrize(
    "text",
    ["[]", "null", "3", '"text"', "", "{", '{"a": 1}', "[" * 100_000, b"\xff\xfe\0"],
    ids=["list", "null", "number", "text", "empty", "open", "other", "deep", "binary"],
)
def test_json_of_another_kind_is_named(run, text):
    content = text if isinstance(text, bytes) else text.encode()
    for file, read in (
        ("config.json", run.read_config),
        ("config.json", lambda: run.as_begun(CONFIG)),
        ("passport.json", run.read_passport),
        ("passport.json", lambda: run.check_class_names(("ant", "bee"))),
    ):
        path = pathlib.Path(run.path, file)
        before = path.read_bytes()
        path.write_bytes(content)
        if text == '{"a": 1}' and file == "config.json":
            read = run.read_config
        told = text_of(read)
        assert told.startswith(f"{path}: ") and "\n" not in told
        path.write_bytes(before)


def test_a_changed_value_is_noticed_and_may_be_meant(run):
    path = pathlib.Path(run.path, "config.json")
    values = json.loads(path.read_text())
    values["image_size"] += 32
    path.write_text(json.dumps(values))
    assert text_of(run.read_config).startswith(f"{path}: is damaged (its file_sha256")
    del values["file_sha256"]
    path.write_text(json.dumps(values))
    assert run.read_config().image_size == CONFIG.image_size + 32


@pytest.mark.parametrize(
    "kind", [kind for kind in run_damage.KINDS if kind != "flipped"]
)
@pytest.mark.parametrize("file", ["labels.txt", "data.json", "metrics.jsonl"])
def test_files_that_nothing_computes_with_are_named(run, capsys, file, kind):
    inspection.warn(run)
    assert capsys.readouterr().err == ""
    run_damage.Damage(file, kind, 1).do(run.path)
    inspection.warn(run)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning       {run.path}/{file}: ")
    assert inspection.inspect(run)[f"{run.path}/{file}"]


def test_a_whole_run_has_no_fault(run):
    found = inspection.inspect(run)
    assert set(found.values()) == {None}
    assert f"{run.path}/checkpoints/ckpt-18" in found


def test_a_lost_best_is_named(run, capsys):
    shutil.rmtree(f"{run.path}/best")
    inspection.warn(run)
    assert capsys.readouterr().err == ""  # of a run that holds no images out
    metrics.append(run.path, "eval", step=18, epoch=1.8, split="minival")
    inspection.warn(run)
    assert capsys.readouterr().err.startswith(f"warning       {run.path}/best: is gone")
    assert restored(run.to_serve()) == 18


def test_without_the_list_the_newest_files_are_taken_and_that_is_said(run, capsys):
    remove(run, "checkpoints/checkpoint")
    assert restored(run.to_continue()) == 18
    told = capsys.readouterr().err
    assert told.startswith(
        f"warning       {run.path}/checkpoints/checkpoint: is missing"
    )
    assert told.endswith(f"taking {run.path}/checkpoints/ckpt-18\n")


def test_a_relative_folder_that_was_moved_is_read_and_mended(run, monkeypatch):
    remove(run, "checkpoints/checkpoint", "best/checkpoint")
    monkeypatch.chdir(pathlib.Path(run.path).parent)
    RunDir("run").mend_records()
    pathlib.Path("run").rename("moved")
    moved = RunDir("moved")
    assert moved.to_continue().first == "moved/checkpoints/ckpt-18"
    assert (restored(moved.to_continue()), restored(moved.to_serve())) == (18, 12)
    for name, last in (("checkpoints", 18), ("best", 12)):
        found = tf.train.get_checkpoint_state(f"moved/{name}")
        paths = found.all_model_checkpoint_paths
        assert list(paths)[-1] == f"moved/{name}/ckpt-{last}"


def test_a_list_alone_does_not_begin_anew(run):
    for name in run_damage.files_of(run.path):
        if name.startswith("checkpoints/ckpt"):
            remove(run, name)
    told = text_of(lambda: restored(run.to_continue()))
    assert told.startswith(f"{run.path}/checkpoints/ckpt-18: its files are missing; ")
    pathlib.Path(run.path, "checkpoints/checkpoint").write_bytes(b"\xff\xfe")
    told = text_of(run.to_continue)
    assert told.startswith(f"{run.path}/checkpoints/checkpoint: is damaged")


def test_without_its_checkpoints_a_run_does_not_begin_anew(run):
    shutil.rmtree(f"{run.path}/checkpoints")
    assert not run.to_continue().found
    images = round(5 * CONFIG.train_batch_size / CONFIG.checkpoint_epochs)
    told = text_of(lambda: run.check_begins(CONFIG, train_images=images))
    assert told.startswith(f"{run.path}/checkpoints: is gone, although")
    # A run that was killed before its first checkpoint has no more than this.
    run.check_begins(CONFIG, train_images=4 * images)


def test_a_save_that_was_stopped_is_no_checkpoint(run, capsys):
    folder = pathlib.Path(run.path, "checkpoints")
    (folder / "ckpt-24_temp").mkdir()
    (folder / "ckpt-24.data-00000-of-00001").touch()
    (folder / "ckpt-24.index").touch()
    (folder / "ckpt-30.data-00000-of-00001").touch()
    assert restored(run.to_continue()) == 18
    assert capsys.readouterr().err == ""
    checkpoint_files.remove_unlisted(f"{folder}/ckpt-24")
    checkpoint_files.remove_unlisted(f"{folder}/ckpt-18")
    left = {path.name.split(".")[0] for path in folder.iterdir()}
    assert left == {"checkpoint", "ckpt-6", "ckpt-12", "ckpt-18", "ckpt-30"}


def test_a_first_save_that_was_stopped_lets_the_run_begin_anew(tmp_path):
    folder = tmp_path / "checkpoints"
    (folder / "ckpt-6_temp").mkdir(parents=True)
    (folder / "ckpt-6.data-00000-of-00001").touch()
    (folder / "ckpt-6.index").touch()
    assert not RunDir(str(tmp_path)).to_continue().found
    (folder / "ckpt-6_temp").rmdir()
    assert RunDir(str(tmp_path)).to_continue().found  # damage, not a stopped save


def test_a_checkpoint_of_another_network_is_no_damage(run):
    def load(path):
        checkpoint = tf.train.Checkpoint(inference={"other": tf.Variable(1)})
        checkpoint.read(path).assert_existing_objects_matched()

    told = text_of(lambda: restoring.restore(run.to_continue(), load))
    assert told.startswith(f"checkpoint {run.path}/checkpoints/ckpt-18 cannot be")


def test_a_run_of_weights_does_not_do_without_its_passport(run):
    remove(run, "passport.json")
    assert run.read_passport() == passports.Passport(None)
    run.write_config(config_lib.create(dataset="fake", weights="imagenet"))
    told = text_of(run.read_passport)
    assert told.startswith(f"{run.path}/passport.json: is missing")
    shutil.rmtree(f"{run.path}/checkpoints")  # as if it was killed before its first
    assert run.read_passport() == passports.Passport(None)


def test_damaged_lines_of_metrics_are_moved_aside(run):
    path = pathlib.Path(run.path, "metrics.jsonl")
    first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + b"\xff\x00\n" + b"[]\n" + third + b'{"kind": "tra')
    assert metrics.damage(run.path).startswith("2 of 4 lines are damaged")
    assert [line["step"] for line in metrics.read(run.path)] == [6, 18]
    before = path.read_bytes()
    metrics.drop_after(run.path, 12)
    assert path.read_bytes() == first
    assert pathlib.Path(f"{path}.damaged").read_bytes() == before
    path.write_bytes(first + second[:-1])
    metrics.append(run.path, "eval", step=12, epoch=1.2)
    assert [line["step"] for line in metrics.read(run.path)] == [6, 12, 12]
