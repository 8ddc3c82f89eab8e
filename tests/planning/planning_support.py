"""Steps and modules that tests of plans share."""

import importlib.util
import pathlib

import networks
import pytest

from efficientnet_tf import config as config_lib
from efficientnet_tf.planning import (
    hlo,
    lowering,
    own_process,
)

ROOT = pathlib.Path(__file__).parents[2]


needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is for Linux on x86-64; pip install -e '.[plan]'",
)


def small_config(**fields):
    tiny = {"model": "efficientnet-test", "blocks": networks.TINY}
    batch = {"train_batch_size": 16, "eval_batch_size": 16}
    data = {"dataset": "fake", "num_classes": 10}
    return config_lib.create(**(tiny | batch | data | fields))


def lowered(**case):
    return hlo.parse(_lower(**case))


def all_lowered(cases: dict[str, dict]) -> dict:
    """Lowers in one other process, because a process keeps 70 MB of each step."""
    modules = own_process.call(_lower_all, list(cases.values()))
    return dict(zip(cases, map(hlo.parse, modules), strict=True))


def _lower_all(cases: list[dict]) -> list[bytes]:
    return [_lower(**case) for case in cases]


def _lower(*, step="train", replicas=1, **fields) -> bytes:
    prepared = lowering.prepare(small_config(**fields), step=step, replicas=replicas)
    return lowering.lower(prepared)


def model_size(**fields) -> int:
    from efficientnet_tf import counting

    variant = small_config(**fields).variant
    return counting.count(variant, classes=10).trainable_params
