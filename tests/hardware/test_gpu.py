"""Why there is no GPU, on machines that are laid out without one thing each."""

import sys

import machines
import pytest
import tensorflow as tf

from efficientnet_tf.hardware import devices, gpu, machine, preflight
from efficientnet_tf.hardware.settings import Hardware

DRIVER = "550.54.14"


@pytest.fixture
def lay_out(tmp_path, monkeypatch):
    """Lays a machine out with no CUDA library but those in its `wheels`."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    site = tmp_path / "site-packages"
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(site))

    def lay_out(*devices, wheels=(), **kwargs):
        monkeypatch.setattr(
            machine, "ROOT", machines.lay_out(tmp_path / "root", *devices, **kwargs)
        )
        for name in wheels:
            path = site / "nvidia" / name.split(".")[0] / "lib" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()

    return lay_out


ALL = (
    *("libcudart.so.12", "libcublas.so.12", "libcudnn.so.9", "libcufft.so.11"),
    *("libcusolver.so.11", "libcusparse.so.12"),
)


def test_no_card_is_told_before_tensorflow_looks(lay_out):
    lay_out(machines.NVLINK_SWITCH)
    if sys.platform == "linux":
        with pytest.raises(ValueError, match="device=gpu: this machine has no NVIDIA"):
            preflight.prepare(Hardware(device="gpu"))
    lay_out(machines.H100)
    assert preflight.prepare(Hardware(device="gpu")) == ("gpu", [])


def test_a_card_without_a_driver_is_named(lay_out):
    lay_out(machines.H100, wheels=ALL)
    assert "no NVIDIA driver is loaded; install driver 525.60.13" in gpu.reason()


@pytest.mark.parametrize("driver", ["470.256.02", "525.60.12", "525.59"])
def test_an_old_driver_is_named_with_the_one_it_takes(lay_out, driver):
    lay_out(machines.H100, driver=driver, wheels=ALL)
    assert gpu.reason().startswith(f"the NVIDIA driver {driver} is too old for CUDA 12")
    assert "525.60.13 or a newer one" in gpu.reason()


@pytest.mark.parametrize("driver", ["525.60.13", "525.85.05", "580.95", DRIVER])
def test_a_driver_of_cuda_12_is_not_blamed(lay_out, driver):
    lay_out(machines.H100, driver=driver)
    assert gpu.driver_fault() is None


@pytest.mark.parametrize("missing", ALL)
def test_each_missing_library_is_named_with_the_command(lay_out, missing):
    wheels = [name for name in ALL if name != missing]
    lay_out(machines.H100, driver=DRIVER, wheels=wheels)
    assert gpu.missing_libraries() == [missing]
    assert f"({missing}); install them with pip install -e '.[gpu]'" in gpu.reason()


def test_a_library_of_the_system_counts_in_its_version_only(lay_out, monkeypatch):
    lay_out(machines.H100, driver=DRIVER, wheels=ALL[1:])
    for found, missing in [("libcudart.so.11.0", [ALL[0]]), ("libcudart.so.12", [])]:
        monkeypatch.setattr("ctypes.util.find_library", lambda name, f=found: f)
        assert gpu.missing_libraries() == missing


def test_a_library_on_the_path_counts(lay_out, monkeypatch, tmp_path):
    lay_out(machines.H100, driver=DRIVER, wheels=ALL[1:])
    (tmp_path / ALL[0]).touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", f"/nowhere:{tmp_path}")
    assert gpu.missing_libraries() == []


def test_windows_cards_need_no_linux_driver(lay_out):
    lay_out(files={"dev/dxg": ""}, wheels=ALL)
    assert gpu.driver_fault() is None


def test_hidden_cards_are_told(lay_out, monkeypatch):
    lay_out(machines.H100, driver=DRIVER, wheels=ALL)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert gpu.reason() == "CUDA_VISIBLE_DEVICES=-1 hides the cards; unset it"


def test_what_cannot_be_told_says_how_to_find_out(lay_out):
    lay_out(machines.H100, driver=DRIVER, wheels=ALL)
    assert "TF_CPP_MIN_LOG_LEVEL=0" in gpu.reason()


def test_a_strategy_of_gpus_says_why_there_is_none(lay_out, monkeypatch):
    lay_out(machines.H100, driver="470.82.01")
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    with pytest.raises(ValueError, match=r"gpu: the NVIDIA driver 470\.82\.01 is"):
        devices.make_strategy("gpu")


def test_a_run_on_the_cpu_says_why_the_card_is_not_used(lay_out):
    on_cpu = tf.distribute.OneDeviceStrategy("CPU:0")
    lay_out()
    assert devices.unused_card(on_cpu) is None
    lay_out(machines.H100, driver=DRIVER)
    assert devices.unused_card(on_cpu).startswith("this run is on the CPU: TensorFlow")


@pytest.mark.parametrize(
    ("capability", "precision", "is_told"),
    [
        ((8, 0), "auto", True),
        ((9, 0), "float32", True),
        ((7, 5), "float32", False),
        ((9, 0), "float32_no_tf32", False),
        ((9, 0), "bfloat16", False),
    ],
)
def test_float32_says_that_it_is_tf32(monkeypatch, capability, precision, is_told):
    monkeypatch.setattr(devices, "kind", lambda strategy: "gpu")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["card"])
    monkeypatch.setattr(
        tf.config.experimental,
        "get_device_details",
        lambda card: {"compute_capability": capability},
    )
    note = devices.precision_note("strategy", precision)
    assert (note is not None) == is_told
    if is_told:
        assert "TF32" in note and "--precision=float32_no_tf32" in note


@pytest.mark.parametrize(
    ("precision", "allowed"), [("float32", True), ("float32_no_tf32", False)]
)
def test_tf32_is_off_only_where_it_is_asked_to_be(monkeypatch, precision, allowed):
    said = []
    monkeypatch.setattr(devices, "kind", lambda strategy: "gpu")
    monkeypatch.setattr(tf.config.optimizer, "set_jit", lambda mode: None)
    monkeypatch.setattr(
        tf.config.experimental, "enable_tensor_float_32_execution", said.append
    )
    assert devices.configure_numerics("strategy", precision) == "float32"
    assert said == [allowed]


def test_a_cpu_has_nothing_to_say_of_float32():
    on_cpu = tf.distribute.OneDeviceStrategy("CPU:0")
    assert devices.precision_note(on_cpu, "float32") is None


@pytest.mark.parametrize(
    ("precision", "device", "policy"),
    [
        *(("auto", "tpu", "mixed_bfloat16"), ("auto", "gpu", "float32")),
        *(("auto", "cpu", "float32"), ("bfloat16", "gpu", "mixed_bfloat16")),
        *(("float32", "tpu", "float32"), ("float32_no_tf32", "gpu", "float32")),
    ],
)
def test_precision_is_float32_unless_asked_for_or_on_a_tpu(precision, device, policy):
    assert devices.dtype_policy(precision, device) == policy
