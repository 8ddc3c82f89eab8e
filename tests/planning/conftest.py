"""Fixtures that several files of this folder share."""

import pytest

from efficientnet_tf.planning import own_process


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def in_this_process(monkeypatch):
    """Lowers here: another process takes 8 s to import TensorFlow."""
    monkeypatch.setattr(
        own_process, "call", lambda call, *args, **kw: call(*args, **kw)
    )
