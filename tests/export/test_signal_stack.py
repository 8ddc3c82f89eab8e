"""OpenVINO leaves the stack on which Ctrl-C is handled as it was."""

import ctypes
import sys

import numpy as np
import pytest

from efficientnet_tf.export import network, openvino, runtimes


def stack() -> bytes:
    """This thread's stack for signals: address, flags and size."""
    found = ctypes.create_string_buffer(24)
    assert ctypes.CDLL(None).sigaltstack(None, found) == 0
    return found.raw


@pytest.mark.skipif(sys.platform != "linux", reason="the plugin does it on Linux")
def test_networks_that_overlap_leave_it_alone(classifier, photos, tmp_path):
    before = stack()
    made = network.Network.of(classifier)
    pixels = [np.asarray(classifier.read_image(path)) for path in photos[:2]]
    openvino.write(made, f"{tmp_path}/a.xml", precision="int8", photos=pixels)
    assert stack() == before
    first = runtimes.open_network("openvino", f"{tmp_path}/a.xml")
    second = runtimes.open_network("openvino_bf16", f"{tmp_path}/a.xml")
    assert stack() == before
    del first
    del second
    assert stack() == before
