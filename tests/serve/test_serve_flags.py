"""--mode=serve on the command line: what is refused before TensorFlow is imported."""

import importlib.util
import socket
from unittest import mock

import pytest
from flag_support import accept, refuse

from efficientnet_tf.serve import listening

RUN = ("--mode=serve", "--port=0")


@pytest.fixture
def export(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    return f"--export_dir={tmp_path}"


@pytest.mark.parametrize(
    ("flag", "line"),
    [
        ("--port=65536", "--port=65536: allowed is 0 to 65535"),
        ("--batches_at_once=0", "--batches_at_once=0: allowed is 1 and more"),
        ("--max_batch=0", "--max_batch=0: allowed is 1 and more"),
        ("--batch_window_ms=-1", "--batch_window_ms=-1.0: allowed is 0 and more"),
        ("--max_request_mb=0", "--max_request_mb=0.0: allowed is more than 0"),
        ("--max_pixels=178956971", "--max_pixels=178956971: allowed is at most"),
        ("--queue=0", "--queue=0: allowed is 1 and more"),
        ("--request_timeout_s=0", "--request_timeout_s=0.0: allowed is more than 0"),
        ("--host=no host", "--host=no host: is no address ("),
        ("--weights=x", "and --weights=x: --mode=serve takes one of them"),
        ("--model_dir=x", "and --model_dir=x: --mode=serve takes one of them"),
    ],
)
def test_a_wrong_flag_is_named(export, flag, line):
    assert line in refuse(*RUN, export, flag).line


def test_a_port_that_is_taken_is_named(export):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        line = refuse("--mode=serve", export, f"--port={port}").line
    assert line.startswith(f"--port={port}: cannot listen at 127.0.0.1 (")
    accept("--mode=serve", export, f"--port={port}")


def test_a_folder_without_a_saved_model_is_named(tmp_path):
    line = refuse(*RUN, f"--export_dir={tmp_path}").line
    assert line.startswith(f"--export_dir={tmp_path}: no saved_model.pb there")


def test_missing_packages_are_named_with_the_extra(export):
    with mock.patch.object(importlib.util, "find_spec", return_value=None):
        line = refuse(*RUN, export).line
    told = "starlette, uvicorn, python_multipart, prometheus_client"
    assert line == f"--mode=serve: needs {told}; pip install -e '.[serve]'"


def test_an_address_of_ipv6_is_shown_in_brackets():
    try:
        taken = listening.listen("::1", 0)
    except ValueError:
        pytest.skip("this machine has no IPv6")
    with taken:
        assert listening.url(taken).startswith("http://[::1]:")
