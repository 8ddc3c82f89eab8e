import contextlib
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import pytest
from absl.testing import flagsaver
from flag_support import refuse

import flags
from efficientnet_tf import config

REPOSITORY = pathlib.Path(__file__).parent.parent
# Leaves a trace on import, so that not even a caught ImportError hides it.
STUB = """
import pathlib
pathlib.Path(__file__).with_name("imported").touch()
raise ImportError("TensorFlow was imported")
"""


@pytest.fixture
def run(tmp_path):
    """Runs Python with a TensorFlow that cannot be imported, away from real runs."""
    for package in ("tensorflow", "keras"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text(STUB)

    def run(*argv, imports_tensorflow=False):
        path = os.pathsep.join([str(tmp_path), str(REPOSITORY)])
        done = subprocess.run(
            [sys.executable, *argv],
            env=os.environ | {"PYTHONPATH": path, "XDG_CACHE_HOME": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
        )
        imported = any(
            (tmp_path / package / "imported").exists()
            for package in ("tensorflow", "keras")
        )
        assert imported == imports_tensorflow, done.stderr
        return done

    return run


@contextlib.contextmanager
def parsed(*argv):
    with flagsaver.flagsaver():
        yield flags.parse(["main.py", *argv])


@pytest.fixture
def main(run):
    def main(*argv, **kwargs):
        return run(str(REPOSITORY / "main.py"), *argv, **kwargs)

    return main


def test_a_valid_command_goes_on_to_import_tensorflow(main):
    done = main("--dataset=fake", "--train_batch_size=8", imports_tensorflow=True)
    assert done.returncode != 0
    assert "TensorFlow was imported" in done.stderr


def test_help_lists_every_setting_with_its_default(main):
    text = main("--help").stdout
    listed = re.findall(r"^ +--(?:\[no\])?(\w+):", text, re.MULTILINE)
    fields = [field.name for field in dataclasses.fields(config.Config)]
    assert set(fields) < set(listed)
    assert {"mode", "device", "tpu", "model_dir", "export_dir", "json"} < set(listed)
    assert len(listed) == len(set(listed))
    words = " ".join(text.split())
    paper = dataclasses.asdict(config.create(dataset="imagenet", data_dir="gs://b/i"))
    for field in dataclasses.fields(config.Config):
        default = config.DEFAULTS.get(field.name)
        if field.name not in config.DEFAULTS:
            default = f"the recipe's or the data's, {paper[field.name]} for B0"
        text = f"{field.metadata['help']} (default: {default}"
        assert re.search(re.escape(text) + "[,;) ]", words)


@pytest.mark.parametrize("help_flag", ["--help", "--helpshort", "--helpfull"])
def test_help_describes_the_program(main, help_flag):
    assert "--image_size: input height and width" in main(help_flag).stdout


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--model=efficientnet-b9", "error: --model=efficientnet-b9: allowed is "),
        ("--model=efficientnet-b9", "did you mean efficientnet-b8?"),
        ("--image_size=2", "error: --image_size=2: allowed is 8 and more"),
        ("--image_size=large", "error: --image_size=large: allowed is a whole number"),
        ("--dropout_rate=1", "error: --dropout_rate=1.0: allowed is 0 to below 1"),
        ("--learning_rate=0", "error: --learning_rate=0.0: allowed is more than 0"),
        ("--augment=auto", "error: --augment=auto: allowed is autoaugment, "),
        ("--minival_shards=1.5", "error: --minival_shards=1.5: allowed is 0, a "),
        ("--minival_shards=inf", "error: --minival_shards=inf: allowed is 0, a "),
        ("--train_epochs=nan", "error: --train_epochs=nan: allowed is more than 0"),
        ("--train_epochs=inf", "error: --train_epochs=inf: allowed is "),
        ("--seed=-1", "error: --seed=-1: allowed is 0 to 2147483647"),
        ("--dataset=imagenet", "error: --data_dir is missing: dataset imagenet"),
        ("--dataset=imagnet", "did you mean imagenet?"),
        ("--mode=trian", "error: --mode=trian: allowed is train_and_eval, train, "),
        ("--device=quantum", "--device=quantum: allowed is auto, tpu, gpu, cpu"),
        ("--num_cpu_devices=0", "--num_cpu_devices=0: allowed is 1 and more"),
        ("--flip=maybe", "error: --flip=maybe: allowed is true or false"),
        ("--data_dir=gs:/bucket/x", "error: --data_dir=gs:/bucket/x: is not a"),
        ("--model_dir=gs://Bucket/x", "error: --model_dir=gs://Bucket/x: is not a"),
        ("--data_dir=s3://bucket/x", "error: --data_dir=s3://bucket/x: allowed are "),
        ("--model_dir=hdfs://x/y", "error: --model_dir=hdfs://x/y: allowed are "),
        ("--export_dir=gs://", "error: --export_dir=gs://: is not a valid path"),
        ("--cam_dir=gs://bucket//x", "allowed is gs://BUCKET/FOLDER, with single"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(argument, message):
    assert message in f"error: {refuse(argument).line}"


@pytest.mark.parametrize("mode", ["eval", "export", "predict"])
def test_a_wrong_value_stops_every_mode(mode):
    images = ["image.jpg"] if mode == "predict" else []
    refused = refuse(f"--mode={mode}", "--eval_batch_size=0", *images)
    assert refused.line.startswith("--eval_batch_size=0: allowed is 1 and more")


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("--modle=efficientnet-b1", "model"),
        ("--train_batchsize=8", "train_batch_size"),
        ("--moving_avarage_decay=0", "moving_average_decay"),
        ("--image_sise=64", "image_size"),
        ("--eval-epoch=3", "eval_epochs"),
    ],
)
def test_an_unknown_flag_suggests_the_nearest(unknown, nearest):
    name = unknown[2:].split("=")[0]
    message = re.fullmatch(
        rf"unknown flag --{name}; did you mean (.*)\?", refuse(unknown).line
    )
    assert f"--{nearest}" in message[1].split(" or ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tpu=x", "--device=cpu"], "--tpu=x contradicts --device=cpu"),
        (["--device=gpu", "--num_cpu_devices=2"], "--num_cpu_devices=2: allowed is 1"),
        (
            # Whatever it holds, and whether or not it is there.
            ["--tpu=grpc://10.0.0.2:8470", "--data_dir=/none"],
            "--data_dir=/none: the hosts of --tpu=grpc://10.0.0.2:8470 do not see",
        ),
        (["--model_dir=a/b", "--export_dir=a"], "--export_dir=a is or holds"),
        (["--model_dir=a", "--export_dir=a/"], "--export_dir=a is or holds"),
    ],
)
def test_flags_that_contradict_each_other_are_named(arguments, message):
    assert refuse(*arguments).line.startswith(message)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("image.jpg", "unexpected argument 'image.jpg'"),
        ("--mode=predict", "--mode=predict: name one or more image files"),
        ("--seed=-1", "--seed=-1: allowed is 0 to 2147483647"),
    ],
)
def test_the_error_is_one_line_and_the_exit_code_1(main, argument, message):
    done = main(argument)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {message}\n"


def test_an_argument_without_a_flag_is_guessed(tmp_path):
    line = "unexpected argument {0!r}; did you mean --{1}={0}?"
    assert refuse("export").line == line.format("export", "mode")
    assert refuse(tmp_path).line == line.format(str(tmp_path), "data_dir")


@pytest.mark.parametrize(
    "mode", ["train", "eval", "train_and_eval", "export", "predict"]
)
def test_every_mode_of_the_original_is_known(mode):
    with parsed(f"--mode={mode}"):
        assert flags.FLAGS.mode == mode


def test_flags_reach_the_config():
    argv = [
        *("--model=efficientnet-b3", "--image_size=48", "--noflip", "--mixup_alpha=0"),
        *("--train_epochs=2", "--minival_shards=0", "--batch_norm=local"),
    ]
    with parsed(*argv):
        assert flags.to_config() == config.create(
            model="efficientnet-b3",
            image_size=48,
            flip=False,
            mixup_alpha=0.0,
            train_epochs=2.0,
            minival_shards=0.0,
            batch_norm="local",
        )


def test_flags_may_follow_images():
    with parsed("--mode=predict", "a.jpg", "--seed", "3", "--", "--b.jpg") as rest:
        assert (flags.FLAGS.seed, rest) == (3, ["main.py", "a.jpg", "--b.jpg"])


@pytest.mark.parametrize(
    ("argv", "model_dir", "export_dir"),
    [
        (
            [],
            "runs/efficientnet-b0-digits",
            "runs/efficientnet-b0-digits/saved_model",
        ),
        (
            ["--model=efficientnet-b1", "--dataset=fake"],
            "runs/efficientnet-b1-fake",
            "runs/efficientnet-b1-fake/saved_model",
        ),
        (["--model_dir=gs://a/b/"], "gs://a/b", "gs://a/b/saved_model"),
        (["--model_dir=a", "--export_dir=c/"], "a", "c"),
    ],
)
def test_folders(argv, model_dir, export_dir):
    with parsed(*argv):
        assert (flags.model_dir(), flags.export_dir()) == (model_dir, export_dir)


@pytest.mark.parametrize(
    ("argv", "folder"),
    [
        (["--model_dir=a"], "a"),
        (["--noreport", "--report_dir=b"], None),
        (["--mode=train"], None),
        (["--mode=eval", "--model_dir=a"], None),
        (["--mode=eval", "--model_dir=a/", "--report"], "a"),
        (["--mode=eval", "--report_dir=gs://bucket/b/"], "gs://bucket/b"),
        (["--mode=eval", "--weights=w", "--dataset=digits", "--report"], "report"),
    ],
)
def test_where_the_report_goes(argv, folder):
    with parsed(*argv):
        assert flags.mode([])[1].get("report_dir") == folder


@pytest.mark.parametrize(
    ("argv", "ema"),
    [([], True), (["--weights_ema"], True), (["--noweights_ema"], False)],
)
def test_averages_are_loaded_unless_raw_weights_are_asked_for(argv, ema):
    with parsed("--mode=predict", "--weights=w.ckpt", *argv):
        assert flags.mode(["a.jpg"])[1]["ema"] == ema
