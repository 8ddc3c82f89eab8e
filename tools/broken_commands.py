"""Starts commands that meet a full disk, a signal or a wrong flag."""

import json
import pathlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator

import disks
import small_run
import tries
import wrong_flags

from efficientnet_tf.data import digits
from efficientnet_tf.experiments import interruptions

_SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
_SECONDS = 60  # for a refusal, which takes less than one


def full_disks(folder: str, *, seed: int, count: int) -> Iterator[tries.Try]:
    """Trains on disks that become full at a random byte, then on larger ones.

    Args:
        folder: an empty folder.
        seed: int, decides the sizes of the disks.
        count: int, disks.

    Raises:
        unittest.SkipTest: without the right to mount.
    """
    whole, disk = f"{folder}/undisturbed", pathlib.Path(folder, "disk")
    with disks.small_disk(disk, "64k"):
        pass  # skipped before any training
    digits.prepare(f"{folder}/digits")
    command = small_run.command(f"{folder}/digits")
    _succeed(interruptions.run(command(whole), whole))
    size = sum(path.stat().st_size for path in pathlib.Path(whole).rglob("*"))
    draw = random.Random(seed)
    for _ in range(count):
        kilobytes = draw.randrange(16, size // 1024)
        with disks.small_disk(disk, f"{kilobytes}k"):
            run = f"{disk}/run"
            ended = interruptions.run(command(run), run)
            outcome = tries.of_output(ended.code, ended.output, names=str(disk))
            if ended.code == 0:
                outcome = tries.RIGHT
            disks.change(disk, f"size={4 * size}")
            again = interruptions.run(command(run), run)
            faults = (
                interruptions.other_values(run, whole)
                if not again.code
                else [f"the next command ends with {again.output[-200:]}"]
            )
        yield tries.Try("disk full", f"{kilobytes} kB", "; ".join(faults) or outcome)


def _succeed(ended: interruptions.Ended) -> None:
    if ended.code:
        raise ValueError(f"the undisturbed training fails: {ended.output[-500:]}")


def signals(folder: str, *, seed: int, count: int) -> Iterator[tries.Try]:
    """Stops trainings at random moments, and continues them.

    Args:
        folder: an empty folder.
        seed: int, decides the moments.
        count: int, signals: SIGKILL, SIGINT and SIGTERM in turn.
    """
    digits.prepare(f"{folder}/digits")
    found = interruptions.trials(
        small_run.command(f"{folder}/digits"),
        root=f"{folder}/runs",
        numbers=[_SIGNALS[number % len(_SIGNALS)] for number in range(count)],
        seed=seed,
    )
    for trial in found:
        words = f"{trial.signal.name} after {trial.cpu_seconds:.2f} CPU s"
        outcome = "; ".join(trial.faults) or tries.RIGHT
        yield tries.Try(f"signal: {trial.signal.name}", words, outcome)


def flags(folder: str, *, seed: int, count: int) -> Iterator[tries.Try]:
    """Starts main.py with one wrong flag at a time.

    Args:
        folder: an empty folder, in which the commands are started.
        seed: int, decides the flags.
        count: int, wrong flags.
    """
    for flag in wrong_flags.drawn(seed=seed, count=count):
        yield tries.Try("wrong flag", flag.text[:100], _refused(folder, flag))


def _refused(folder: str, flag: wrong_flags.WrongFlag) -> str:
    command = [sys.executable, small_run.MAIN, flag.text, "--json"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=folder, timeout=_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_SECONDS} seconds"
    outcome = tries.of_output(done.returncode, done.stderr, names=f"--{flag.name}")
    if outcome != tries.LINE:
        return outcome
    if len(done.stderr.splitlines()) > 1:
        return f"several lines: {done.stderr[-200:]!r}"
    try:
        told = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return f"no line of JSON: {done.stdout[-200:]!r}"
    is_named = told["kind"] in ("flag", "file") and told["path"]
    return tries.LINE if is_named else f"a line of JSON that names nothing: {told}"
