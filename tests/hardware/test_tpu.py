"""What must hold to reach a TPU, on machines that are laid out for it."""

import fcntl
import multiprocessing
import os
import socket

import machines
import pytest

from efficientnet_tf.hardware import failures, packages, preflight, tpu
from efficientnet_tf.hardware.settings import Hardware


@pytest.fixture
def lay_out(lay_out, monkeypatch):
    """Lays a machine out whose environment has TensorFlow's TPU build."""
    monkeypatch.setattr(packages, "is_tpu_build", lambda: True)
    monkeypatch.setattr(packages, "libtpu_path", lambda: "/site/libtpu/libtpu.so")
    return lay_out


@pytest.mark.parametrize(
    ("accelerator", "generation"),
    [
        *[("v2-8", "v2"), ("v3-8", "v3"), ("v3-32", "v3"), ("v4-8", "v4")],
        *[("v4-128", "v4"), ("v5litepod-1", "v5e"), ("v5litepod-256", "v5e")],
        *[("v5e-8", "v5e"), ("v5p-8", "v5p"), ("v6e-4", "v6e"), ("v6e", "v6e")],
        *[("tpu-v5-lite-podslice", "v5e"), ("tpu-v6e-slice", "v6e")],
        *[("tpu-v4-podslice", "v4"), ("tpu7x-8", "v7x"), ("v5", "v5")],
        *[("nvidia-h100", None), ("", None), ("v", None), ("tpu", None)],
    ],
)
def test_an_accelerator_type_says_its_generation(accelerator, generation):
    assert tpu.generation(accelerator) == generation


@pytest.mark.parametrize(
    ("stated", "runtime"),
    [
        *[("v2-8", "stream_executor"), ("v3-8", "stream_executor")],
        *[("v4-8", "stream_executor"), ("v5litepod-4", "pjrt"), ("v5p-8", "pjrt")],
        *[("v6e-8", "pjrt"), ("tpu7x-8", "pjrt")],
    ],
)
def test_the_runtime_goes_by_the_accelerator_type(
    lay_out, monkeypatch, stated, runtime
):
    lay_out()
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", stated)
    assert tpu.choose_runtime() == (runtime, stated)


@pytest.mark.parametrize(
    ("chip", "runtime"), [(machines.V4, "stream_executor"), (machines.V5E, "pjrt")]
)
def test_the_runtime_goes_by_the_chips_where_no_type_is_stated(lay_out, chip, runtime):
    lay_out(machines.GVNIC, chip, chip, chip, chip)
    generation = "v4" if chip == machines.V4 else "v5e"
    assert tpu.choose_runtime() == (runtime, f"4 chips of {generation}")


def test_the_flag_decides_before_the_machine(lay_out):
    lay_out(machines.V4)
    assert tpu.choose_runtime("pjrt") == ("pjrt", "--tpu_runtime")


@pytest.mark.parametrize("stated", [None, "quantum-8"])
def test_a_machine_that_does_not_say_needs_the_flag(lay_out, monkeypatch, stated):
    lay_out(files={"dev/accel0": ""})
    if stated:
        monkeypatch.setenv("TPU_ACCELERATOR_TYPE", stated)
    with pytest.raises(ValueError, match=r"tpu_runtime=auto: .*allowed are pjrt"):
        tpu.choose_runtime()


PJRT = {
    "PJRT_DEVICE": "TPU",
    "NEXT_PLUGGABLE_DEVICE_USE_C_API": "true",
    "TF_PLUGGABLE_DEVICE_LIBRARY_PATH": "/site/libtpu/libtpu.so",
    "TF_XLA_FLAGS": "--tf_mlir_enable_mlir_bridge=true "
    "--tf_mlir_enable_convert_control_to_data_outputs_pass=true "
    "--tf_mlir_enable_merge_control_flow_pass=true",
}


def environment():
    return {name: os.environ[name] for name in machines.VARIABLES if name in os.environ}


def test_pjrt_sets_its_variables_and_says_so(lay_out):
    lay_out(machines.V5E)
    lines = tpu.prepare("local")
    assert environment() == PJRT
    assert lines[0] == "TPU runtime   pjrt, by 1 chips of v5e"
    assert lines[1:] == [f"  {name}={value}" for name, value in PJRT.items()]


def test_a_variable_that_the_user_set_stays(lay_out, monkeypatch):
    lay_out(machines.V5E)
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=2")
    lines = tpu.prepare(None)
    assert environment() == PJRT | {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}
    assert lines[-1] == "  TF_XLA_FLAGS=--tf_xla_auto_jit=2 (set by you)"


def test_the_stream_executor_needs_no_variables(lay_out):
    lay_out(machines.V4)
    assert tpu.prepare("local") == ["TPU runtime   stream_executor, by 1 chips of v4"]
    assert environment() == {}


def test_a_coordinator_leaves_libtpu_to_the_slices_hosts(lay_out):
    lay_out()
    assert tpu.prepare("slice")[1:] == ["  TPU_LOAD_LIBRARY=0"]
    assert environment() == {"TPU_LOAD_LIBRARY": "0"}


def test_a_machine_without_a_chip_sets_nothing(lay_out):
    # With PJRT's variables TensorFlow crashes there.
    lay_out(machines.GVNIC, google=True)
    for chosen in tpu.RUNTIMES:
        with pytest.raises(ValueError, match="tpu=local: this machine has no TPU chip"):
            tpu.prepare("local", runtime=chosen)
    assert environment() == {}


def test_a_build_without_tpu_support_is_named(lay_out, monkeypatch):
    lay_out(machines.V4)
    monkeypatch.setattr(packages, "is_tpu_build", lambda: False)
    for name in ("local", "slice", "grpc://10.0.0.2:8470"):
        with pytest.raises(ValueError, match=f"tpu={name}: .*no TPU support.*pip inst"):
            tpu.prepare(name)


def test_the_process_that_uses_the_tpu_is_named(lay_out):
    root = lay_out(machines.V4, files={"proc/77/cmdline": "python3\0other.py\0"})
    (root / "proc/77/fd").mkdir()
    (root / "proc/77/fd/4").symlink_to("/dev/accel0")
    with pytest.raises(ValueError, match=r"process 77 \(python3 other.py\) is using"):
        tpu.prepare("local")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TPU_CHIPS_PER_PROCESS_BOUNDS", "1,1,1"),
        ("ALLOW_MULTIPLE_LIBTPU_LOAD", "true"),
        ("TPU_LOAD_LIBRARY", "1"),
    ],
)
def test_processes_may_divide_the_chips(lay_out, monkeypatch, name, value):
    root = lay_out(machines.V4, files={"proc/77/cmdline": "python3\0other.py\0"})
    (root / "proc/77/fd").mkdir()
    (root / "proc/77/fd/4").symlink_to("/dev/accel0")
    monkeypatch.setenv(name, value)
    tpu.check_local_chips()


def _hold(path, held, done):
    with open(path, "w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        held.set()
        done.wait(60)


def test_a_lock_that_another_process_holds_is_named(lay_out):
    root = lay_out(machines.V4, files={"tmp/libtpu_lockfile": ""})
    tpu.prepare("local")  # the file alone is no lock
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    path = str(root / "tmp/libtpu_lockfile")
    holder = context.Process(target=_hold, args=(path, held, done))
    holder.start()
    try:
        assert held.wait(60)
        with pytest.raises(ValueError, match=r"holds /tmp/libtpu_lockfile\).*lsof"):
            tpu.prepare("local")
    finally:
        done.set()
        holder.join()
    tpu.prepare("local")  # the lock ends with its process


@pytest.mark.parametrize(
    "text",
    [
        *("grpc://", "grpc://host", "grpc://host:port", "grpc://:8470"),
        *("grpc://host:0", "grpc://host:65536", "grpc://a:1,b:2", "grpc://a:1,"),
        *("10.0.0.2:8470", "10.0.0.2", "http://10.0.0.2:8470", "a:1"),
        *("Local", "LOCAL", "my tpu", "my_tpu", "-a", "a-", "1a", " local", "a,b"),
        "projects/p/locations/z/nodes/n",
    ],
)
def test_what_is_neither_a_name_nor_an_address_is_named(text):
    with pytest.raises(ValueError) as refused:
        tpu.check_spelling(text)
    assert str(refused.value).startswith(f"tpu={text}: is no TPU's name and no address")


@pytest.mark.parametrize(
    "text",
    [
        *("local", "n", "my-tpu-1", "NAME", "locals"),
        *("grpc://10.0.0.2:8470", "grpc://host.zone:1", "grpc://[::1]:65535"),
        "grpc://10.0.0.2:8470,grpc://10.0.0.3:8470",
    ],
)
def test_names_and_addresses_are_taken(text):
    tpu.check_spelling(text)


def test_an_address_where_nothing_answers_is_named():
    with socket.socket() as bound:  # and not listening
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        with pytest.raises(
            ValueError, match=rf"tpu=.*: nothing answers at 127.0.0.1:{port} \(.*refus"
        ):
            tpu.check_address(f"grpc://127.0.0.1:{port}")
    with socket.create_server(("127.0.0.1", 0)) as server:
        tpu.check_address(f"grpc://127.0.0.1:{server.getsockname()[1]}")


@pytest.mark.parametrize(
    ("devices", "google", "skips"),
    [((), False, "1"), ((), True, None), ((machines.V4,), False, None)],
)
def test_no_metadata_server_is_asked_where_there_is_none(
    lay_out, monkeypatch, devices, google, skips
):
    lay_out(*devices, google=google)
    monkeypatch.setattr(packages, "check_import", lambda: None)
    preflight.before_import()
    assert os.environ.get("TPU_SKIP_MDS_QUERY") == skips


def test_the_plain_build_needs_no_such_variable(lay_out, monkeypatch):
    lay_out()
    monkeypatch.setattr(packages, "is_tpu_build", lambda: False)
    preflight.before_import()
    assert environment() == {}


def test_chips_are_taken_where_no_device_is_named(lay_out):
    lay_out(machines.V4)
    device, lines = preflight.prepare(Hardware())
    assert device == "tpu"
    assert lines == ["TPU runtime   stream_executor, by 1 chips of v4"]


def test_chips_that_the_build_cannot_drive_are_told(lay_out, monkeypatch):
    lay_out(machines.V4)
    monkeypatch.setattr(packages, "is_tpu_build", lambda: False)
    device, (line,) = preflight.prepare(Hardware())
    assert device == "auto"
    assert line.endswith(packages.INSTALL)
    assert preflight.prepare(Hardware(device="cpu")) == ("cpu", [])


# As TensorFlow 2.20 prints them; the first two were seen on a machine without a TPU,
# the third and fourth stand in tpu_initializer_helper.cc.
TEXTS = [
    (
        "RET_CHECK failure (tensorflow/core/tpu/kernels/tpu_configuration_ops.cc:231) "
        "tensorflow::tpu::OpsApiFn() platform [[{{node disconnect_tpu_host/_1}}]]",
        "finds no TPU on this machine",
    ),
    (
        "No OpKernel was registered to support Op 'ConfigureDistributedTPU' used by "
        "{{node ConfigureDistributedTPU}} with these attrs: []\n<no registered "
        "kernels>\n\n\t [[ConfigureDistributedTPU]]",
        "no TPU support; pip install",
    ),
    (
        "The TPU is already in use by process with pid 4242. Not attempting to load "
        "libtpu.so in this process.",
        "another process is using the TPU",
    ),
    (
        "TPUs not found in the cluster. Failed in initialization: No matching devices "
        "found for '/device:TPU_SYSTEM:0' [Op:__inference__tpu_init_fn_4]",
        "sees no TPU: there is none, or another process has it",
    ),
    ("TPU_LOAD_LIBRARY=0, not loading libtpu", "TPU_LOAD_LIBRARY=0 is set"),
    (
        "Op type not registered 'XlaSparseCoreAdagrad' in binary running on t1v-n-0. "
        "Make sure the Op and Kernel are registered",
        "another version of TensorFlow than 2.20",
    ),
    (
        "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.0.2:8470: "
        "Failed to connect to remote host: Connection refused",
        "do not answer",
    ),
    ("Couldn't open device: /dev/accel0 (Operation not permitted)", "no permission to"),
    (
        "something new {{node a/b}} [[c]]\nsecond line",
        "cannot reach the TPU (something",
    ),
]


@pytest.mark.parametrize(("text", "meaning"), TEXTS)
def test_what_tensorflow_says_becomes_one_line(text, meaning):
    line = failures.of_tpu(RuntimeError(text), "local")
    assert line.startswith("tpu=local: ")
    assert meaning in line
    assert not {"\n", "{{", "[["} & {
        part for part in ("\n", "{{", "[[") if part in line
    }


def test_a_long_text_is_cut_and_an_empty_one_named():
    assert len(failures.first_line(RuntimeError("x" * 1000))) == 200
    assert failures.first_line(RuntimeError()) == "RuntimeError"
