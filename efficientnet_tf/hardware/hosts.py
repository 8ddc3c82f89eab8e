"""The hosts of a run, as TF_CONFIG names them; needs no TensorFlow.

TF_CONFIG is tf.distribute's own environment variable: JSON with the addresses of all
processes, one for each host, and which of them this process is.
"""

import dataclasses
import json
import socket
from collections.abc import Mapping
from typing import Any

_EXAMPLE = (
    '{"cluster": {"worker": ["HOST:PORT", "HOST:PORT"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_JOBS = ("chief", "worker")  # in this order: the first task of all is the chief


class HostLostError(Exception):
    """Another host of the run is gone, and this one cannot go on without it."""


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The hosts of a run, the chief first.

    Attributes:
        addresses: "HOST:PORT" by name, such as "worker 0".
        name: name of this host.
    """

    addresses: dict[str, str]
    name: str

    @property
    def port(self) -> int:
        """The port that this host listens on."""
        return int(self.addresses[self.name].rpartition(":")[2])

    def waiting(self) -> str:
        """Returns the message for the user while other hosts are missing."""
        others = [
            f"{name} at {address}"
            for name, address in self.addresses.items()
            if name != self.name
        ]
        return f"{self.name} waits for {', '.join(others)}"


def of_environment(environ: Mapping[str, str]) -> Cluster | None:
    """Reads the cluster of TF_CONFIG; None where it names no other host.

    Raises:
        ValueError: if TF_CONFIG is damaged, or asks for what a run does not do.
    """
    text = environ.get("TF_CONFIG", "")
    stated = _object(text) if text.strip() else {}
    if not stated:
        return None
    addresses = _addresses(stated.get("cluster"))
    name = _task(stated.get("task"), addresses)
    return Cluster(addresses, name) if len(addresses) > 1 else None


def check_port(cluster: Cluster) -> None:
    """Raises ValueError if another process listens on this host's port."""
    with socket.socket() as ours:
        # Without this, connections of a process that has ended would count too.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            ours.bind(("", cluster.port))
        except OSError as error:
            raise _wrong(
                f"{cluster.name} cannot listen on port {cluster.port} "
                f"({error.strerror}); end the process that has it, or name another "
                "port on every host"
            ) from None


def _object(text: str) -> dict:
    try:
        stated = json.loads(text)
    except ValueError as error:
        raise _wrong(f"is not JSON ({error}); it must be like {_EXAMPLE}") from None
    if not isinstance(stated, dict):
        raise _wrong(f"is no JSON object; it must be like {_EXAMPLE}")
    return stated


def _addresses(jobs: Any) -> dict[str, str]:
    """Maps each host's name to its address."""
    if not isinstance(jobs, dict) or not jobs:
        raise _wrong(f"names no cluster; it must be like {_EXAMPLE}")
    unknown = sorted(set(jobs) - set(_JOBS))
    if unknown:
        raise _wrong(
            f"cluster has the job {unknown[0]}; allowed are worker and one chief, who "
            "train and evaluate together"
        )
    found: dict[str, str] = {}
    for job in _JOBS:
        tasks = jobs.get(job, [])
        if not isinstance(tasks, list):
            raise _wrong(f"{job} is no list of addresses; it must be like {_EXAMPLE}")
        found |= {f"{job} {index}": task for index, task in enumerate(tasks)}
    if "chief 1" in found:
        raise _wrong("cluster has more than one chief; allowed is one")
    _check_addresses(found)
    return found


def _check_addresses(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        host, _, port = str(address).rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise _wrong(f"{name} has the address {address!r}; allowed is HOST:PORT")
    if len(set(addresses.values())) < len(addresses):
        raise _wrong("cluster has the same address twice; allowed is one a host")


def _task(task: Any, addresses: dict[str, str]) -> str:
    """Returns this host's name."""
    if not isinstance(task, dict) or not {"type", "index"} <= task.keys():
        raise _wrong(f"names no task; it must be like {_EXAMPLE}")
    name = f"{task['type']} {task['index']}"
    if name not in addresses:
        raise _wrong(f"task {name} is not in the cluster of {', '.join(addresses)}")
    return name


def _wrong(message: str) -> ValueError:
    return ValueError(f"TF_CONFIG: {message}")
