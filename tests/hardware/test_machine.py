"""What a machine has, read from files laid out as Linux lays them out."""

import http.server
import os
import threading
import urllib.request

import machines
import pytest

from efficientnet_tf.hardware import machine


@pytest.mark.parametrize(
    ("device", "generation"),
    [
        ("0x0027", "v3"),
        ("0x005e", "v4"),
        ("0x0062", "v5p"),
        ("0x0063", "v5e"),
        ("0x006f", "v6e"),
        ("0x0076", "v7x"),
    ],
)
def test_a_chip_is_told_by_its_pci_device(lay_out, device, generation):
    chip = ("0x1ae0", device, "0x120000")
    lay_out(machines.GVNIC, chip, chip)
    assert machine.tpu_chips() == [generation] * 2


def test_a_network_card_of_google_is_no_chip(lay_out):
    lay_out(machines.GVNIC, google=True)
    assert machine.tpu_chips() == []
    assert machine.is_google_vm()


def test_a_device_file_stands_for_a_chip_that_is_not_known(lay_out):
    # The second is the folder of Linux's own accelerators, such as Intel's.
    lay_out(files={"dev/accel0": "", "dev/accel/accel0": ""})
    assert machine.tpu_chips() == ["unknown"]


def test_a_bare_machine_has_nothing(lay_out):
    lay_out()
    assert machine.tpu_chips() == machine.tpu_users() == []
    assert machine.nvidia_cards() == 0
    assert machine.nvidia_driver() is machine.accelerator_type() is None
    assert not machine.is_google_vm()


def test_who_holds_a_chip_open_is_named(lay_out):
    root = lay_out(
        machines.V4,
        files={
            "proc/11/cmdline": "python3\0train.py\0",
            "proc/12/cmdline": "bash\0",
            "proc/13/cmdline": "python3\0serve.py\0",
            f"proc/{os.getpid()}/cmdline": "python3\0main.py\0",
        },
    )
    targets = {11: "/dev/accel0", 12: "/dev/null", 13: "/dev/vfio/2"}
    for pid, target in (targets | {os.getpid(): "/dev/accel0"}).items():
        (root / f"proc/{pid}/fd").mkdir()
        (root / f"proc/{pid}/fd/3").symlink_to(target)
    assert machine.tpu_users() == [
        machine.Process(11, "python3 train.py"),
        machine.Process(13, "python3 serve.py"),
    ]


def test_the_environment_states_the_accelerator_type(lay_out, monkeypatch):
    lay_out()
    monkeypatch.setenv("ACCELERATOR_TYPE", "v3-8")
    assert machine.accelerator_type() == "v3-8"
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-4")
    assert machine.accelerator_type() == "v5litepod-4"


@pytest.fixture
def metadata(monkeypatch):
    """A metadata server on this machine; returns the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append((self.path, self.headers["Metadata-Flavor"]))
            if asked[-1][1] != "Google":
                return self.send_error(403)
            self.send_response(200)
            self.end_headers()
            return self.wfile.write(b"v6e-8\n")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # must not be used
    yield asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_metadata_server_states_the_accelerator_type(lay_out, metadata):
    lay_out(google=True)
    assert machine.accelerator_type() == "v6e-8"
    path = "/computeMetadata/v1/instance/attributes/accelerator-type"
    assert metadata == [(path, "Google")]


def test_only_googles_machines_ask_the_metadata_server(lay_out, metadata, monkeypatch):
    lay_out()
    assert machine.accelerator_type() is None
    lay_out(google=True)
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")
    assert machine.accelerator_type() is None
    assert metadata == []


def test_a_metadata_server_that_does_not_answer_is_given_up(lay_out, monkeypatch):
    lay_out(google=True)
    waited = []

    def never_answers(opener, request, timeout):
        waited.append(timeout)
        raise TimeoutError

    monkeypatch.setattr(urllib.request.OpenerDirector, "open", never_answers)
    assert machine.accelerator_type() is None
    # To connect and to answer may take this long each: two seconds in all.
    assert waited == [1.0]


@pytest.mark.parametrize(
    ("devices", "files", "cards"),
    [
        ([machines.H100, machines.NVLINK_SWITCH, machines.H100], {}, 2),
        ([machines.NVLINK_SWITCH], {}, 0),
        ([], {"dev/nvidia0": "", "dev/nvidiactl": "", "dev/nvidia-uvm": ""}, 1),
        ([], {"dev/dxg": ""}, 1),
    ],
)
def test_nvidia_cards_are_counted(lay_out, devices, files, cards):
    lay_out(*devices, files=files)
    assert machine.nvidia_cards() == cards


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Thu Feb 22 01:44:30 UTC\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build\n",
    ],
)
@pytest.mark.parametrize("version", ["470.256.02", "550.54.14", "580.95"])
def test_the_drivers_version_is_read(lay_out, text, version):
    lay_out(files={"proc/driver/nvidia/version": text.format(version)})
    assert machine.nvidia_driver() == version


def test_the_cores_of_a_process_are_those_that_it_may_use():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        assert machine.cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert machine.cores() == len(allowed)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx2 bmi2", False),
        ("avx2 avx512f avx512_vnni", True),
        ("avx2 avx_vnni", True),
        ("avx2 avx512_vnni_like", False),
        ("", False),
    ],
)
def test_vnni_is_read_from_the_processors_flags(lay_out, flags, expected):
    lay_out(files={"proc/cpuinfo": f"model name\t: X\nflags\t\t: {flags}\n"})
    assert machine.has_vnni() == expected
