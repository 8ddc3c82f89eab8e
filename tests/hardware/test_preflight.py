"""Settings of the hardware that contradict each other, and folders out of reach."""

import dataclasses
import os

import pytest

from efficientnet_tf.hardware import preflight
from efficientnet_tf.hardware.settings import Hardware


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tpu": ""}, "tpu=: is empty; give a TPU's name"),
        ({"tpu": "10.0.0.2:8470"}, "tpu=10.0.0.2:8470: is no TPU's name and no "),
        ({"tpu": "n", "device": "gpu"}, "tpu=n contradicts --device=gpu"),
        ({"tpu": "local", "num_cpu_devices": 2}, "num_cpu_devices=2: allowed is 1"),
        ({"device": "gpu", "num_cpu_devices": 2}, "num_cpu_devices=2: allowed is 1"),
        ({"zone": "z"}, "zone=z: needs --tpu=NAME"),
        ({"tpu": "local", "zone": "z"}, "zone=z: needs --tpu=NAME"),
        ({"tpu": "grpc://h:1", "project": "p"}, "project=p: needs --tpu=NAME"),
        ({"tpu": "n", "tpu_runtime": "pjrt"}, "tpu_runtime=pjrt: applies to"),
    ],
)
def test_settings_that_contradict_are_named(settings, message):
    with pytest.raises(ValueError) as refused:
        Hardware(**settings)
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"device": "cpu", "num_cpu_devices": 4},
        {"device": "tpu"},
        {"device": "tpu", "tpu": "n", "zone": "z", "project": "p"},
        {"tpu": "local", "tpu_runtime": "stream_executor"},
        {"tpu": "grpc://10.0.0.2:8470"},
    ],
)
def test_settings_that_agree_pass(settings):
    assert dataclasses.asdict(Hardware(**settings)).items() >= settings.items()


@pytest.mark.parametrize("tpu", ["n", "grpc://10.0.0.2:8470"])
@pytest.mark.parametrize("name", ["data_dir", "model_dir", "export_dir"])
def test_a_remote_tpu_wants_folders_in_a_bucket(tpu, name):
    folders = dict.fromkeys(("data_dir", "model_dir", "export_dir"), "gs://bucket/x")
    preflight.check_paths(tpu, **folders)
    with pytest.raises(ValueError, match=f"{name}=/disk: the hosts of --tpu={tpu} do "):
        preflight.check_paths(tpu, **folders | {name: "/disk"})


@pytest.mark.parametrize("tpu", [None, "local"])
def test_a_tpu_of_this_machine_takes_any_folder(tpu):
    preflight.check_paths(tpu, data_dir="/disk", model_dir="runs", export_dir=None)


@pytest.mark.parametrize(
    ("flags", "given", "expected"),
    [
        ("fma avx avx2 bmi2", None, "1"),
        ("fma avx avx2 bmi2", "0", "0"),  # the user's own
        ("fma avx avx512_vnni", None, None),  # no word of its own
        ("", None, None),
    ],
)
def test_onednn_is_on_where_the_processor_has_avx2(
    lay_out, monkeypatch, flags, given, expected
):
    lay_out(files={"proc/cpuinfo": f"model name\t: X\nflags\t\t: {flags}\n"})
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if given:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", given)
    preflight.before_import()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == expected


@pytest.mark.parametrize(
    ("name", "value"), [("on_bad_record", "skip"), ("cache", "decoded")]
)
def test_what_needs_reading_here_is_refused_with_a_tpu_that_reads(name, value):
    with pytest.raises(ValueError, match=f"^{name}={value}: .*--tpu=my-tpu"):
        preflight.check_reading("my-tpu", **{name: value})
    preflight.check_reading("my-tpu", on_bad_record="error", cache="none")
    preflight.check_reading("my-tpu", **{name: None})
    preflight.check_reading(None, **{name: value})
