"""Command lines of the TF1 original, tf-models and timm, and what they are now."""

import re
import shlex
from fractions import Fraction

import pytest
from absl.testing import flagsaver
from flag_support import ROOT, refuse

import flags
from efficientnet_tf.command_line import conversions, old_flags

# Of main.py in tensorflow/tpu models/official/efficientnet.
MAIN = (
    *("use_tpu", "tpu_job_name", "tpu", "gcp_project", "tpu_zone", "data_dir"),
    *("holdout_shards", "eval_name", "archive_ckpt", "model_dir", "model_name"),
    *("mode", "augment_name", "randaug_num_layers", "randaug_magnitude"),
    *("train_steps", "input_image_size", "train_batch_size", "eval_batch_size"),
    *("batch_norm_batch_size", "num_train_images", "num_eval_images"),
    *("steps_per_eval", "eval_timeout", "skip_host_call", "iterations_per_loop"),
    *("num_parallel_calls", "bigtable_project", "bigtable_instance"),
    *("bigtable_table", "bigtable_train_prefix", "bigtable_eval_prefix"),
    *("bigtable_column_family", "bigtable_column_qualifier", "data_format"),
    *("num_label_classes", "batch_norm_momentum", "batch_norm_epsilon"),
    *("transpose_input", "use_bfloat16", "export_dir", "export_to_tpu"),
    *("base_learning_rate", "lr_decay_epoch", "moving_average_decay", "weight_decay"),
    *("label_smoothing", "dropout_rate", "survival_prob", "mixup_alpha"),
    *("log_step_count_steps", "use_cache", "depth_coefficient", "width_coefficient"),
    *("use_async_checkpointing", "optimizer", "lr_schedule", "lr_decay_factor"),
    *("lr_warmup_epochs", "lars_weight_decay", "lars_epsilon", "num_replicas"),
)
# Of export_model.py and eval_ckpt_main.py there, and of earlier versions of main.py.
OTHERS = (
    *("ckpt_dir", "enable_ema", "output_tflite", "quantize", "num_steps"),
    *("image_size", "batch_size", "endpoint_name", "output_saved_model_dir"),
    *("runmode", "imagenet_eval_glob", "imagenet_eval_label", "export_ckpt"),
    *("example_img", "labels_map_file", "include_background_label"),
    *("advprop_preprocessing", "num_images", "drop_connect_rate", "input_image_size"),
    *("num_epochs", "autoaugment_name"),
)
# A value of each type that every flag takes, where the flag has no other below.
VALUES = {"bool": "true", "int": "64", "float": "0.5", "text": "x", "list": "3 64 64"}
SPECIAL = {
    **dict.fromkeys(("model_name", "arch", "a"), "efficientnet-b1"),
    **dict.fromkeys(("augment_name", "autoaugment_name", "aa"), "v0"),
    "model_type": "efficientnet",
    "mode": "train",
    "config_file": "configs/efficientnet-b2-tpu.yaml",
    "dtype": "bf16",
    "amp_dtype": "float16",
    "crop_pct": "0.875",
    "opt": "rmsproptf",
    "sched": "step",
    "interpolation": "bicubic",
    "optimizer": "sgd",
    "lr_schedule": "cosine",
    "randaug_magnitude": "9",
    "scale": "0.08 1.0",
    "output_tflite": "m.tflite",
    "runmode": "imagenet",
    "d": "fake",
}
ROWS = list(old_flags.table().values())
OLD = [row for row in ROWS if "=" not in row.flag and row.flag not in flags.FIELDS]


def translated(command: str) -> list[str]:
    """The arguments of the new command line that an old one is answered with."""
    line = refuse(*shlex.split(command)).line
    python, program, *arguments = shlex.split(line.split("the command is now: ")[1])
    assert (python, program) == ("python", "main.py")
    return arguments


def checked(arguments: list[str]) -> list[str]:
    """Parses a new command line by our own flags; returns it."""
    with flagsaver.flagsaver():
        flags.parse(["main.py", *arguments])
        flags.check()
    return arguments


@pytest.mark.parametrize("row", OLD, ids=lambda row: row.flag)
def test_every_old_flag_has_an_answer_that_our_flags_take(row):
    value = SPECIAL.get(row.flag, VALUES[row.takes])
    argv = [f"--{row.flag}={value}"]
    if row.now in ("--zone", "--project"):
        argv.append("--tpu=my-tpu")
    line = refuse(*argv).line
    assert line.startswith(f"unknown flag {argv[0]}: ")
    if row.how == "absent":
        assert f": not supported ({row.words}); " in line
    elif row.is_gone:
        assert f": gone, not needed because {row.words}; " in line
    checked(shlex.split(line.split("the command is now: python main.py")[1]))


def test_every_flag_of_the_original_is_in_the_table():
    assert len(MAIN) == 62
    for name in (*MAIN, *OTHERS):
        assert name in old_flags.table() or name in flags.FIELDS, name
    # In the table in the order of the original's help.
    of_tf1 = [row.flag for row in ROWS if row.project == "tf1"]
    assert of_tf1[:62] == list(MAIN)


def test_a_kept_flag_is_ours_and_a_new_one_exists():
    for row in ROWS:
        assert row.how in ("", "fixed", "absent") or callable(
            getattr(conversions, row.how)
        )
        for ours in re.findall(r"--(\w+)", f"{row.now} {row.words}"):
            assert ours in flags.FIELDS, row
        assert not (row.flag in flags.FIELDS and not row.is_kept)
        assert row.words or not row.is_gone


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--drop_connect_rate=0.2", "--survival_prob=0.8"),
        ("--drop_connect_rate 0", "--survival_prob=1"),
        ("--drop-path=.1", "--survival_prob=0.9"),
        ("--use_bfloat16=false", "--precision=float32"),
        ("--nouse_bfloat16", "--precision=float32"),
        ("--use_bfloat16", "--precision=bfloat16"),
        ("--num_label_classes=1001", "--num_classes=1001 --label_offset=1"),
        ("--num_label_classes=12", "--num_classes=12"),
        ("--use_tpu=true", "--device=tpu"),
        ("--use_tpu=true --tpu=local", "--tpu=local"),
        ("--use_tpu=False --tpu=", ""),
        ("--augment_name=", "--augment=none"),
        ("--autoaugment_name=v0", "--augment=autoaugment"),
        ("--optimizer=momentum --use_cache", "--optimizer=sgd"),
        ("--optimizer=lars", "--optimizer=rmsprop"),
        ("--mode=export_only", "--mode=export"),
        ("--image-size=64 --train-epochs 3", "--image_size=64 --train_epochs=3"),
        ("--input-size 3 64 64", "--image_size=64"),
        ("--scale 0.35 1.0 --noflip", "--crop_area_min=0.35 --noflip"),
        ("--lr 0.1 -b 512", "--learning_rate=0.05 --train_batch_size=512"),
        (
            "--aa rand-m9-n3-mstd0.5",
            "--augment=randaugment --randaugment_num_layers=3 "
            "--randaugment_magnitude=9",
        ),
        ("--epochs 5 --train_epochs=7", "--train_epochs=7"),
        ("--model b0 --use_cache", "--model=efficientnet-b0"),
        (
            "--model efficientnet-b1 --use_cache -seed=3",
            "--model=efficientnet-b1 --seed=3",
        ),
        ("--epochs 5 --num_epochs=7", "--train_epochs=5"),
        ("--model_name=EfficientNetB0", "--model=efficientnet-b0"),
        ("--model_name=tf_efficientnet_es", "--model=efficientnet-edgetpu-s"),
    ],
)
def test_values_are_converted(old, new):
    assert checked(translated(old)) == shlex.split(new)


@pytest.mark.parametrize("steps", [1, 218_949, 100, 500_000, 12_345])
@pytest.mark.parametrize(
    "given", ["", "--train_batch_size=1000", "--holdout_shards=20"]
)
def test_steps_become_epochs_of_as_many_steps(steps, given):
    arguments = translated(f"--train_steps={steps} --steps_per_eval={steps} {given}")
    values = dict(one.removeprefix("--").split("=") for one in arguments)
    batch = int(values.get("train_batch_size", 2048))
    images = 1_281_167 - (25_022 if "minival_shards" in values else 0)
    exact = Fraction(images, batch)
    assert int(Fraction(values["train_epochs"]) * exact) == steps
    assert -int(-Fraction(values["eval_epochs"]) * exact // 1) == steps


def test_the_papers_steps_are_350_epochs():
    assert translated("--train_steps=218949") == ["--train_epochs=350"]


@pytest.mark.parametrize(
    ("old", "told"),
    [
        ("--drop_connect_rate=1", "left out here (allowed is 0 to below 1)"),
        ("--drop_connect_rate=x", "left out here (allowed is a number)"),
        ("--model_name=efficientnet-bx", "left out here (--mode=list prints"),
        ("--train_steps=0", "left out here (steps, batch and images are above 0)"),
        ("--train_steps", "left out here (it has no value)"),
        ("--use_bfloat16=maybe", "left out here (allowed are true and false)"),
        ("--gcp_project=", "left out here (the value is empty)"),
    ],
)
def test_a_value_without_a_counterpart_is_left_out_and_said(old, told):
    assert told in refuse(old).line
    assert translated(old) == []


def test_all_unknown_flags_are_in_one_message():
    line = refuse("--drop_connect_rate=0.2", "--skip_host_calls", "--zzz=1").line
    assert "--drop_connect_rate=0.2: now --survival_prob=0.8" in line
    assert "--skip_host_calls (for --skip_host_call): gone" in line
    assert "--zzz" in line
    assert line.endswith("the command is now: python main.py --survival_prob=0.8")


@pytest.mark.parametrize(
    "unknown", ["zzz", "use_float", "transpose", "host_calls_skip", "notpu", "q", "é"]
)
def test_no_guess_is_made_where_nothing_is_alike(unknown):
    assert refuse(f"--{unknown}=1").line == f"unknown flag --{unknown}"


# The READMEs of tensorflow/tpu models/official/efficientnet and of its folders lite,
# edgetpu and condconv, and of tensorflow/models official/vision/image_classification.
COMMANDS = {
    "--tpu=my-tpu --data_dir=gs://bucket/d --model_dir=gs://bucket/m "
    "--augment_name=autoaugment": "--tpu=my-tpu --data_dir=gs://bucket/d "
    "--model_dir=gs://bucket/m --augment=autoaugment",
    "--tpu=my-tpu --data_dir=gs://bucket/d --model_dir=gs://bucket/m "
    "--model_name=efficientnet-b7 --augment_name=randaugment --randaug_num_layers=2 "
    "--randaug_magnitude=28": "--tpu=my-tpu --data_dir=gs://bucket/d "
    "--model_dir=gs://bucket/m --model=efficientnet-b7 --augment=randaugment "
    "--randaugment_num_layers=2 --randaugment_magnitude=28",
    "--tpu=my-tpu --data_dir=gs://bucket/d --model_dir=gs://bucket/m "
    "--autoaugment_name=v0": "--tpu=my-tpu --data_dir=gs://bucket/d "
    "--model_dir=gs://bucket/m --augment=autoaugment",
    "--model_name=efficientnet-b0 --ckpt_dir=efficientnet-b0 --example_img=panda.jpg "
    "--labels_map_file=labels_map.txt": "--model=efficientnet-b0 "
    "--weights=efficientnet-b0 --mode=predict panda.jpg",
    "--model_name=efficientnet-edgetpu-S --ckpt_dir=efficientnet-edgetpu-S "
    "--example_img=panda.jpg --labels_map_file=labels_map.txt "
    "--include_background_label": "--model=efficientnet-edgetpu-s "
    "--weights=efficientnet-edgetpu-S --mode=predict panda.jpg --label_offset=1",
    "--model_name=efficientnet-lite0 --ckpt_dir=efficientnet-lite0 "
    "--data_dir=/path/to/representative_dataset/ "
    "--output_tflite=efficientnet-lite0_quant.tflite": "--model=efficientnet-lite0 "
    "--weights=efficientnet-lite0 --mode=export --export_formats=litert "
    "--export_dir=efficientnet-lite0_quant",
    "--model_name=efficientnet-lite0 --ckpt_dir=ckpt "
    "--output_saved_model_dir=/tmp/saved --output_tflite=float.tflite "
    "--quantize=False": "--model=efficientnet-lite0 --weights=ckpt --mode=export "
    "--export_dir=/tmp/saved --export_formats=litert",
    "--tpu=my-tpu --data_dir=gs://bucket/d --model_dir=gs://bucket/m "
    "--model_name=efficientnet-b0 --skip_host_call=true --train_batch_size=2048 "
    "--train_steps=218949": "--tpu=my-tpu --data_dir=gs://bucket/d "
    "--model_dir=gs://bucket/m --model=efficientnet-b0 --train_batch_size=2048 "
    "--train_epochs=350",
    "--mode=train_and_eval --model_type=efficientnet --dataset=imagenet --tpu=my-tpu "
    "--model_dir=gs://bucket/m --data_dir=gs://bucket/d "
    "--config_file=configs/examples/efficientnet/imagenet/efficientnet-b0-tpu.yaml": (
        "--mode=train_and_eval --dataset=imagenet --tpu=my-tpu "
        "--model_dir=gs://bucket/m --data_dir=gs://bucket/d --model=efficientnet-b0"
    ),
    "/imagenet --model efficientnet_b2 -b 128 --sched step --epochs 450 "
    "--decay-epochs 2.4 --decay-rate .97 --opt rmsproptf --opt-eps .001 -j 8 "
    "--warmup-lr 1e-6 --weight-decay 1e-5 --drop 0.3 --drop-path 0.2 --model-ema "
    "--model-ema-decay 0.9999 --aa rand-m9-mstd0.5 --remode pixel --reprob 0.2 --amp "
    "--lr .016": "--data_dir=/imagenet --model=efficientnet-b2 --train_batch_size=128 "
    "--lr_schedule=exponential --train_epochs=450 --lr_decay_epochs=2.4 "
    "--lr_decay_rate=.97 --optimizer=rmsprop --rmsprop_epsilon=.001 "
    "--weight_decay=1e-5 --dropout_rate=0.3 --survival_prob=0.8 "
    "--moving_average_decay=0.9999 --augment=randaugment --randaugment_num_layers=2 "
    "--randaugment_magnitude=9 --random_erasing=0.2 --precision=bfloat16 "
    "--learning_rate=0.032",
}


@pytest.mark.parametrize("old", COMMANDS)
def test_the_commands_of_other_projects_are_answered_with_one_that_runs(old):
    assert checked(translated(old)) == shlex.split(COMMANDS[old])


def test_the_originals_first_command_is_ours():
    argv = ["--tpu=my-tpu", "--data_dir=gs://bucket/d", "--model_dir=gs://bucket/m"]
    assert checked(argv) == argv


def test_words_with_spaces_are_quoted():
    arguments = translated("--gcp_project='a b;c' --train_steps=9 --cam_class='x y'")
    assert "--project=a b;c" in arguments
    assert "--cam_class=x y" in arguments


def test_the_guide_has_the_table():
    guide = (ROOT / "docs/coming_from_tf1.md").read_text()
    for project in {row.project for row in ROWS}:
        assert f"\n{old_flags.markdown(project)}\n" in guide


def test_the_guides_example_is_what_main_says():
    guide = (ROOT / "docs/coming_from_tf1.md").read_text()
    old, said = re.search(r"\$ python main.py (.*)\nerror: (.*)", guide).groups()
    assert refuse(*shlex.split(old)).line == said
