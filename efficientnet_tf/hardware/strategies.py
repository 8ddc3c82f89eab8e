"""Opens the hardware that the settings name, and keeps its hosts together."""

import contextlib
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from efficientnet_tf.hardware import preflight
from efficientnet_tf.hardware.settings import Hardware


@contextlib.contextmanager
def opened(hardware: Hardware) -> Iterator[tuple[Any, Any]]:
    """Finds the hardware, makes the strategy and keeps the hosts together.

    TensorFlow is imported here; code that uses devices has to come later.

    Yields:
        The `tf.distribute.Strategy` and its `agreement.Hosts`.

    Raises:
        ValueError: naming what is missing, and what to do.
        HostLostError: if another host is gone.
    """
    cluster = preflight.find_cluster(hardware)
    device, lines = preflight.prepare(hardware)
    _tell([*lines, *([cluster.waiting()] if cluster else [])])
    from efficientnet_tf.hardware import agreement, devices

    strategy = devices.make_strategy(
        device,
        tpu=hardware.tpu,
        zone=hardware.zone,
        project=hardware.project,
        num_cpu_devices=hardware.num_cpu_devices,
        cluster=cluster,
    )
    if device == "auto":
        _tell(filter(None, [devices.unused_card(strategy)]))
    with agreement.together(strategy) as hosts:
        yield strategy, hosts


def _tell(lines: Iterable[str]) -> None:
    """Prints lines to stderr; stdout is for results."""
    for line in lines:
        print(line, file=sys.stderr, flush=True)
