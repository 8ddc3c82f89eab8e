"""Stops trainings at random moments, and compares their ends with an undisturbed one's.

A moment is a number of CPU seconds since the run wrote its settings, so it is the same
place in the work on a busy machine.
"""

import contextlib
import dataclasses
import os
import random
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import psutil

from efficientnet_tf import interruption
from efficientnet_tf.runs import metrics

Command = Callable[[str], Sequence[str]]  # from a run's folder to the arguments

_POLL_SECONDS = 0.01
# The codes that a signal may end a command with, beside 0.
_CODES = {
    signal.SIGKILL: -signal.SIGKILL,
    signal.SIGINT: interruption.CODE,
    signal.SIGTERM: -signal.SIGTERM,
}
_FOLDERS = ("checkpoints", "best")
_SPEEDS = ("images_per_second", "first_loop_seconds")  # of a line of metrics.jsonl


@dataclasses.dataclass(frozen=True)
class Ended:
    """A command that has ended.

    Args:
        code: its exit code.
        output: what it printed.
        cpu_seconds: float, what it computed after it wrote its settings.
        was_stopped: whether it got the signal.
    """

    code: int
    output: str
    cpu_seconds: float
    was_stopped: bool


@dataclasses.dataclass(frozen=True)
class Trial:
    """A run that was stopped and continued.

    Args:
        signal: the signal that it got.
        cpu_seconds: float, the moment.
        was_stopped: whether it got the signal before its end.
        faults: what was wrong, a line each; () if it ended as the undisturbed run.
    """

    signal: signal.Signals
    cpu_seconds: float
    was_stopped: bool
    faults: tuple[str, ...]


def trials(
    command: Command, *, root: str, numbers: Sequence[signal.Signals], seed: int
) -> Iterator[Trial]:
    """Trains undisturbed, then stops and continues a training for each signal.

    Args:
        command: returns a command that trains in a folder, to the end.
        root: folder of the trials, which is empty or not there.
        numbers: SIGKILL, SIGINT (Ctrl-C) or SIGTERM for each trial.
        seed: int, decides the moments.

    Raises:
        ValueError: if the undisturbed training fails.
    """
    whole = f"{root}/undisturbed"
    ended = run(command(whole), whole)
    if ended.code:
        raise ValueError(f"{whole}: the training fails: {ended.output[-500:]}")
    draw = random.Random(seed)
    for place, number in enumerate(numbers):
        folder, moment = f"{root}/{place}", draw.uniform(0, ended.cpu_seconds)
        stopped = run(command(folder), folder, number=number, at=moment)
        faults = _faults(stopped, number)
        again = run(command(folder), folder)
        faults += _faults_of_the_next(stopped, again)
        if not again.code:
            faults += differences(folder, whole)
        yield Trial(number, moment, stopped.was_stopped, tuple(faults))


def run(
    command: Sequence[str],
    folder: str,
    *,
    number: signal.Signals | None = None,
    at: float = 0.0,
) -> Ended:
    """Runs a command, and sends it a signal at a moment.

    Args:
        command: the command's arguments.
        folder: folder of its run.
        number: the signal; None sends none.
        at: float, CPU seconds after the run's settings appear in the folder.
    """
    with (
        tempfile.TemporaryFile("w+", errors="replace") as printed,
        subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT) as process,
    ):
        used = _seconds_used(process, f"{folder}/config.json")
        seconds, was_stopped = 0.0, False
        for seconds in used:
            if number and seconds >= at and not was_stopped:
                process.send_signal(number)
                was_stopped = True
        printed.seek(0)
        return Ended(process.returncode, printed.read(), seconds, was_stopped)


def _seconds_used(process: subprocess.Popen, settings: str) -> Iterator[float]:
    """Yields the CPU seconds of a process since its settings appeared, to its end."""
    begun = None
    with contextlib.suppress(psutil.NoSuchProcess):
        asked = psutil.Process(process.pid)
        while process.poll() is None:
            times = asked.cpu_times()
            if begun is None and os.path.exists(settings):
                begun = times.user + times.system
            if begun is not None:
                yield times.user + times.system - begun
            time.sleep(_POLL_SECONDS)
    process.wait()


def _faults(stopped: Ended, number: signal.Signals) -> list[str]:
    """Says what is wrong with the end of a command that got a signal."""
    faults = []
    if stopped.code not in (0, _CODES[number]):
        faults.append(f"{number.name} ends it with {stopped.code}")
    if "Traceback" in stopped.output:
        faults.append(f"{number.name} prints a traceback")
    return faults


def _faults_of_the_next(stopped: Ended, again: Ended) -> list[str]:
    """Says what is wrong with how the next command goes on."""
    faults = []
    if again.code:
        faults.append(f"the next command ends with {again.code}")
    saved = re.search(r": saved at (step [1-9]\d*);", stopped.output)
    if saved and not re.search(rf", [a-z ]+ {saved[1]}\n", again.output):
        faults.append(f"the next command does not begin at {saved[1]}")
    return faults


def differences(folder: str, whole: str) -> list[str]:
    """Lists what distinguishes a run's folder from that of an undisturbed run.

    Args:
        folder: the run's folder.
        whole: the other one's.
    """
    faults = other_values(folder, whole)
    if _lines(folder) != _lines(whole):
        faults.append(f"{metrics.NAME}: other lines")
    more = _names(folder) - _names(whole)
    # A run that was stopped has saved once more. Its list names that checkpoint too,
    # and it is removed in its turn.
    listed = _listed(folder)
    return faults + [
        f"{path}: left over" for path in more if not path.startswith(listed)
    ]


def other_values(folder: str, whole: str) -> list[str]:
    """Lists the variables in which the last checkpoints of two runs differ by a bit.

    Args:
        folder: folder of a run.
        whole: folder of the other one.
    """
    faults = []
    for name in _FOLDERS:
        got, wanted = (variables(f"{place}/{name}") for place in (folder, whole))
        faults += [f"{name}: {n} is in one alone" for n in got.keys() ^ wanted.keys()]
        faults += [
            f"{name}: {n} differs"
            for n in got.keys() & wanted.keys()
            if got[n].tobytes() != wanted[n].tobytes()
        ]
    return faults


def variables(folder: str) -> dict[str, np.ndarray]:
    """Reads the last checkpoint of a folder, by TensorFlow's names.

    Args:
        folder: path of the folder.
    """
    import tensorflow as tf

    reader = tf.train.load_checkpoint(folder)
    return {
        name: np.asarray(reader.get_tensor(name))
        for name in reader.get_variable_to_shape_map()
        # A process counts its own saves; TensorFlow describes its objects in any order.
        if not name.startswith(("save_counter", "_CHECKPOINTABLE"))
    }


def _lines(folder: str) -> list[dict]:
    return [
        {name: value for name, value in line.items() if name not in _SPEEDS}
        for line in metrics.read(folder)
    ]


def _listed(folder: str) -> tuple[str, ...]:
    """Returns how the files of the checkpoints begin that a run's lists name."""
    from efficientnet_tf.runs import checkpoint_files

    return tuple(
        f"{name}/{os.path.basename(path)}."
        for name in _FOLDERS
        for path in checkpoint_files.recorded(f"{folder}/{name}")
    )


def _names(folder: str) -> set[str]:
    """Returns the files of a run, without events, of which each command writes some."""
    found = (
        os.path.relpath(f"{place}/{name}", folder)
        for place, _, names in os.walk(folder)
        for name in names
    )
    return {name for name in found if "tfevents" not in name}
