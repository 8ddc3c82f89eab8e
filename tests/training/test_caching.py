"""A run's cache, by its configuration."""

import folder_support
import pytest
import tensorflow as tf

from efficientnet_tf import config
from efficientnet_tf.training import build, caching


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    folder_support.fill(folder / "train", (3, 3, 3))
    folder_support.fill(folder / "val", (2, 2, 2), first=100)
    return str(folder)


def _begun(folder, cache, **kwargs):
    wanted = config.create(data_dir=folder, cache=cache)
    strategy = tf.distribute.get_strategy()
    source = build.open_source(wanted)
    return source, *caching.begin(wanted, source, strategy, **kwargs)


def test_a_run_has_the_cache_that_it_asks_for(folder):
    source, same, lines = _begun(folder, "none", validate=True)
    assert same is source and not lines
    _, encoded, (line,) = _begun(folder, "encoded", validate=True)
    assert encoded.cache.pixels is None and "encoded" in line
    _, decoded, (line,) = _begun(folder, "decoded", validate=False)
    assert decoded.cache.pixels is not None and "decoded" in line
    assert decoded.splits.train.files == source.splits.train.files
