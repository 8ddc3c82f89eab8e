"""How many batches are predicted at once, and on how many threads."""

import functools
import types

import pytest
import tensorflow as tf

from efficientnet_tf.hardware import machine
from efficientnet_tf.serve import shares


@pytest.mark.parametrize(
    ("cores", "gpus", "given", "batches", "intra", "inter"),
    [
        (2, [], None, 2, 1, 3),
        (1, [], None, 1, 1, 2),
        (16, ["GPU:0"], None, 1, 16, 17),
        (16, [], 4, 4, 4, 17),
        (16, ["GPU:0"], 3, 3, 5, 17),
        (2, [], 5, 5, 1, 6),
    ],
)
def test_each_batch_gets_its_cores(
    monkeypatch, cores, gpus, given, batches, intra, inter
):
    found = {}
    threading_of = types.SimpleNamespace(
        set_intra_op_parallelism_threads=functools.partial(found.__setitem__, "intra"),
        set_inter_op_parallelism_threads=functools.partial(found.__setitem__, "inter"),
    )
    monkeypatch.setattr(machine, "cores", lambda: cores)
    monkeypatch.setattr(tf.config, "list_physical_devices", {"GPU": gpus}.get)
    monkeypatch.setattr(tf.config, "threading", threading_of)
    assert shares.divide(given) == batches
    assert found == {"intra": intra, "inter": inter}
