"""Fixtures that several files of this folder share."""

import pytest
from planning_support import lowered

from efficientnet_tf.planning import own_process


@pytest.fixture(scope="module")
def module():
    return lowered(train_batch_size=32, replicas=2)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def in_this_process(monkeypatch):
    """Lowers here: another process takes 8 s to import TensorFlow."""
    monkeypatch.setattr(
        own_process, "call", lambda call, *args, **kw: call(*args, **kw)
    )
