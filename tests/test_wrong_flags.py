"""Every flag with values that it cannot have: one line, at once, with its name."""

import dataclasses
import subprocess
import sys

import pytest
import wrong_flags
from flag_support import ROOT, accept, refuse

import flags
from efficientnet_tf import settings
from efficientnet_tf.command_line import failure

WRONG = {name: wrong_flags.values(name, field) for name, field in flags.FIELDS.items()}
CHOICES = [n for n, f in flags.FIELDS.items() if settings.allowed(f).choices]


def test_there_are_150_wrong_values_at_least():
    assert sum(map(len, WRONG.values())) >= 500


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_named_in_one_short_line(name):
    for value in WRONG[name]:
        refused = refuse(f"--{name}={value}", "--json")
        assert refused.line.startswith(f"--{name}={value[:60]}"), refused.line
        assert ": allowed " in refused.line
        assert len(refused.line) < 1500
        assert refused.json["error"] == refused.line
        assert refused.json["kind"] in ("flag", "file")


def test_drawn_flags_are_wrong_and_come_again():
    drawn = list(wrong_flags.drawn(seed=1, count=150))
    assert drawn == list(wrong_flags.drawn(seed=1, count=150))
    assert len({flag.text for flag in drawn}) > 120
    for flag in drawn:
        assert f"--{flag.name}" in refuse(flag.text).line


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_is_none_is_named_with_all_choices(name):
    for value in ("zzz", "NONE ", "a\nb"):
        line = refuse(f"--{name}={value}").line
        assert line.startswith(f"--{name}={value}".replace("\n", "\\n"))
        for one in settings.allowed(flags.FIELDS[name]).choices:
            assert one in line


@pytest.mark.parametrize("name", [n for n in WRONG if n != "json"])
def test_a_flag_without_a_value_is_named(name):
    if settings.kind(flags.FIELDS[name]) is not bool:
        for rest in ([], ["--json"], ["--", "x"]):
            line = refuse(f"--{name}", *rest).line
            assert line.startswith(f"--{name}: has no value; allowed is ")


@pytest.mark.parametrize(
    ("argv", "name", "words"),
    [
        ("--depth_coefficient=1e9", "depth_coefficient", "at most 100"),
        ("--depth_coefficient=99", "depth_coefficient", "1584 blocks"),
        ("--width_coefficient=1e9", "width_coefficient", "at most 100"),
        ("--width_coefficient=99", "width_coefficient", " parameters"),
        ("--blocks=r999999999_k3_s11_e1_i8_o8", "blocks", "at most 1000"),
        ("--blocks=r1_k999_s11_e1_i8_o8", "blocks", "at most 99"),
        ("--blocks=r1_k3_s11_e9999_i8_o8", "blocks", "at most 1000"),
        ("--blocks=r1_k3_s11_e1_i8_o9999999", "blocks", "at most 100000"),
        ("--blocks=r1_k3_s11_e1_i8_o8_se1e9", "blocks", "above 0 and at most 1"),
        ("--blocks=r1_k٣_s11_e1_i8_o8", "blocks", "a whole number"),
        ("--blocks=,,,", "blocks", "one block string or more"),
        ("--blocks=r1_k1_s11_e1000_i100000_o100000", "blocks", "parameters"),
        ("--num_cpu_devices=10000", "num_cpu_devices", "at most 64"),
        ("--image_size=1000000", "image_size", "at most 8192"),
        ("--image_size=8192 --model=efficientnet-b7", "image_size", "in block2"),
        (
            "--train_image_size=8000 --model=efficientnet-b7",
            "train_image_size",
            "values",
        ),
        ("--num_classes=999999999", "num_classes", "at most 1000000"),
        (
            "--num_classes=1000000 --dataset=fake --blocks=r1_k1_s11_e1_i8_o8 "
            "--width_coefficient=20",
            "num_classes",
            "makes 2560",
        ),
        ("--train_batch_size=1000000 --image_size=4096", "train_batch_size", "19868"),
        ("--eval_batch_size=1000000 --image_size=4096", "eval_batch_size", "19868"),
        ("--slice=99999999x99999", "slice", "4x4"),
        ("--chip=v5e --slice=99x99", "slice", "256 at most"),
        ("--chip=v5e --slice=0x4", "slice", "2x2"),
        ("--chip=v5e --slice=4x4x4", "slice", "2x2"),
        ("--chip=v9", "chip", "v5e"),
        ("--mode=plan", "chip", "v5e"),
        ("--output=found.txt --mode=predict a.jpg", "output", "*.csv"),
        ("--recompute=block99", "recompute", "block1a"),
        ("--freeze=block99", "freeze", "block7"),
        ("--label_offset=10", "label_offset", "less than"),
        ("--tpu=a/b", "tpu", "grpc://"),
        ("--project=x", "project", "--tpu=NAME"),
        ("--dataset=tfds:", "dataset", "tfds:NAME"),
        ("--verbosity=abc", "verbosity", "a whole number"),
        ("--flagfile=/no/file", "flagfile", "No such file"),
    ],
)
def test_numbers_and_names_that_lead_nowhere(argv, name, words):
    line = refuse(*argv.split()).line
    assert f"--{name}" in line
    assert words in line


@pytest.mark.parametrize(
    ("argv", "path"),
    [
        ("--data_dir=/no/folder", "/no/folder"),
        ("--dataset=imagenet --data_dir=/no/folder", "/no/folder"),
        ("--dataset=csv --data_dir={file}", "{file}"),
        ("--model_dir={file}", "{file}"),
        ("--export_dir={file}/x", "{file}/x"),
        ("--report_dir={file}", "{file}"),
        ("--weights=no/such.h5", "no/such.h5"),
        ("--weights=jft", "jft"),
        ("--mode=eval --model_dir=/no/run", "/no/run"),
        ("--mode=export --model_dir=/no/run", "/no/run"),
        ("--mode=predict --weights=no.h5 {file}", "no.h5"),
        ("--mode=predict --weights={file} no.jpg", "no.jpg"),
        ("--mode=predict --weights={file} {folder}/*.jpg", "{folder}/*.jpg"),
        ("--mode=cam --weights={file} {folder}", "{folder}"),
        ("--mode=cam --weights={file} --cam_dir={file} {file}", "{file}"),
        (
            "--mode=predict --weights={file} --output={file}/a.csv {file}",
            "{file}/a.csv",
        ),
    ],
)
def test_a_path_that_leads_nowhere_is_named(argv, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    named = {"file": tmp_path / "file", "folder": tmp_path / "folder"}
    refused = refuse(*argv.format(**named).split(), "--json")
    assert refused.json["kind"] == "file"
    assert refused.json["path"] == path.format(**named)
    assert path.format(**named) in refused.line


@pytest.mark.parametrize(
    "argv",
    [
        "--weights_skip= --recompute=",
        "--learning_rate=1e38 --warmup_epochs=0 --train_epochs=0.3",
        "--image_size=8 --seed=+5 --train_epochs=.5 --lr_decay_epochs=2.",
        "--num_cpu_devices 64 --noflip --flip=T",
        "--mode=predict a.jpg --weights=a.jpg",
        "--mode=predict --weights=a.jpg -- a.jpg",
        "--width_coefficient=1e-9 --depth_coefficient=1e-9",
        "--dataset=fake --num_classes=1000000",
    ],
)
def test_what_is_allowed_goes_on(argv, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jpg").touch()
    accept(*argv.split())


def test_an_error_in_json_says_what_kind_it_is():
    kinds = {
        "--seed=x": ("flag", "--seed"),
        "--modle=x": ("flag", "--modle"),
        "--data_dir=/none": ("file", "/none"),
        "a.jpg": ("other", None),
    }
    for argv, told in kinds.items():
        for wanted in (["--json", argv], [argv, "--json=true"]):
            error = refuse(*wanted).json
            assert set(error) == {"error", "kind", "path"}
            assert (error["kind"], error["path"]) == told
        assert not refuse(argv, "--nojson").stdout
    assert {kind for kind, _ in kinds.values()} < set(failure.KINDS)


def test_an_error_may_name_a_layer():
    error = FloatingPointError("the loss is NaN; block2a_bn is the first")
    error.path = "block2a_bn"
    told = failure.to_json(error, str(error))
    assert '"kind": "number", "path": "block2a_bn"' in told


def test_nothing_is_imported_to_refuse_a_flag():
    script = (
        "import sys, main\n"
        "for argv in (['--seed=x'], ['--depth_coefficient=99'], ['--foo'],\n"
        "             ['--train_steps=9'], ['--mode=predict', 'no.jpg']):\n"
        "    try: main.main(main.parse(['main.py', *argv]))\n"
        "    except SystemExit as ended: print(ended.code)\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


def test_every_flag_of_ours_is_checked():
    of_main = {flag.name for flag in flags.FLAGS.flags_by_module_dict()["flags"]}
    assert of_main == set(flags.FIELDS)
    assert all(isinstance(f, dataclasses.Field) for f in flags.FIELDS.values())
