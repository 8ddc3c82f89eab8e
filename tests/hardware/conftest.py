"""Machines that tests lay out as files."""

import machines
import pytest

from efficientnet_tf.hardware import machine


@pytest.fixture
def lay_out(tmp_path, monkeypatch):
    """Lays out the machine that the package looks at, with nothing of this one's."""
    for name in machines.VARIABLES:
        # So that what a test sets is gone after it, whether it was there or not.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def lay_out(*devices, **kwargs):
        root = machines.lay_out(tmp_path, *devices, **kwargs)
        monkeypatch.setattr(machine, "ROOT", root)
        return tmp_path

    return lay_out
