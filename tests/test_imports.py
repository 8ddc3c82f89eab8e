"""Imports that leave out packages which no command uses."""

import gc
import sys

import pytest

from efficientnet_tf import imports


@pytest.fixture(autouse=True)
def unused(monkeypatch):
    """Lets the block leave out two modules of the standard library."""
    monkeypatch.setattr(imports, "UNUSED", ("colorsys", "json"))
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)


def test_a_block_leaves_out_what_is_not_imported_yet():
    with imports.fast():
        with pytest.raises(ImportError):
            import colorsys
        assert not gc.isenabled()

    import colorsys

    assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)
    assert gc.isenabled()


def test_a_block_keeps_what_is_imported_already():
    import json

    with imports.fast():
        assert sys.modules["json"] is json
    assert sys.modules["json"] is json


def test_an_error_in_a_block_ends_it():
    with pytest.raises(KeyError), imports.fast():
        raise KeyError
    assert "colorsys" not in sys.modules
    assert gc.isenabled()
