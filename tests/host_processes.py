"""Processes on this machine that stand in for hosts."""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[1]


def environments(count: int) -> list[dict[str, str]]:
    """Each host's; of one host, one without TF_CONFIG."""
    plain = {k: v for k, v in os.environ.items() if k != "TF_CONFIG"}
    plain |= {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    if count == 1:
        return [plain]
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(count)]}
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [
        plain | {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}
        for task in tasks
    ]


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, all different."""
    with contextlib.ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


@contextlib.contextmanager
def started(commands: list[list]) -> Iterator[list[subprocess.Popen]]:
    """Starts a process for each host; none is left at the end."""
    processes = []
    try:
        for command, env in zip(commands, environments(len(commands)), strict=True):
            processes.append(
                subprocess.Popen(
                    [sys.executable, *map(str, command)],
                    cwd=ROOT,
                    env=env,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()  # closes the pipes


def finish(processes: list[subprocess.Popen], *, timeout: float = 300) -> list:
    """Waits for all to succeed; returns each one's (stdout, stderr)."""
    outputs = [process.communicate(timeout=timeout) for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs
