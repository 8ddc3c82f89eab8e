"""Damages each file of a run's folder, then serves the run and trains on in it."""

import contextlib
import io
import random
import shutil
from collections.abc import Callable, Iterator

import numpy as np
import small_run
import tries
from absl import logging

from efficientnet_tf import config as config_lib
from efficientnet_tf.commands import train
from efficientnet_tf.data import digits
from efficientnet_tf.experiments import interruptions, run_damage
from efficientnet_tf.hardware import strategies
from efficientnet_tf.hardware.settings import Hardware
from efficientnet_tf.inference.classifier import Classifier
from efficientnet_tf.weights import model_layout


def tries_of_all(
    folder: str, *, seed: int, count: int | None = None
) -> Iterator[tries.Try]:
    """Damages copies of a run.

    Args:
        folder: an empty folder.
        seed: int, decides what is random.
        count: int, damages, drawn by the seed; None takes each kind for each file.
    """
    logging.set_verbosity(logging.WARNING)  # as main.py does, because of orbit
    digits.prepare(f"{folder}/digits")
    with strategies.opened(Hardware(device="cpu")) as devices:
        whole = _Whole(folder, small_run.settings(f"{folder}/digits"), devices)
        found = list(run_damage.damages(whole.run, seed=seed))
        if count is not None:
            found = random.Random(seed).sample(found, min(count, len(found)))
        for damage in found:
            words = f"{damage.file} {damage.kind}"
            yield tries.Try(f"run: {damage.kind}", words, whole.outcome(damage))


class _Whole:
    """A run that nothing has damaged, and what its commands compute.

    Args:
        folder: the folder that gets the run and its copies.
        config: configuration of the run.
        devices: the strategy and its hosts.
    """

    def __init__(self, folder: str, config: config_lib.Config, devices: tuple):
        self.run, self._copy = f"{folder}/run", f"{folder}/copy"
        self._train = lambda path: train.run(*devices, config=config, model_dir=path)
        _printed(lambda: self._train(self.run))
        self._trained = interruptions.variables(f"{self.run}/checkpoints")
        self._served = _weights(self.run)
        shutil.copytree(self.run, self._copy)
        shutil.rmtree(f"{self._copy}/best")
        _, self._latest = _printed(lambda: _weights(self._copy))
        shutil.rmtree(self._copy)

    def outcome(self, damage: run_damage.Damage) -> str:
        """Damages copies, and judges serving and training.

        Args:
            damage: what happens to one file.
        """
        return tries.worst(
            [self._judged(damage, self._serve), self._judged(damage, self._go_on)]
        )

    def _judged(self, damage: run_damage.Damage, command: Callable[[], str]) -> str:
        shutil.copytree(self.run, self._copy)
        damage.do(self._copy)
        try:
            printed, outcome = _printed(command)
        except Exception as error:
            printed, outcome = tries.told(error) or "", tries.LINE
            if not printed:
                return f"a traceback: {error!r:.200}"
        finally:
            shutil.rmtree(self._copy)
        name = f"{self._copy}/{damage.file.split('.')[0]}"
        named = [line for line in printed.splitlines() if name in line]
        if outcome == tries.LINE and len(named) != 1:
            return f"no line, or several, name the file: {printed[-200:]!r}"
        return tries.LINE if outcome == tries.RIGHT and named else outcome

    def _serve(self) -> str:
        found = _weights(self._copy)
        if tries.are_same(found, self._served):
            return tries.RIGHT
        return tries.LINE if tries.are_same(found, self._latest) else "other weights"

    def _go_on(self) -> str:
        self._train(self._copy)
        found = interruptions.variables(f"{self._copy}/checkpoints")
        same = tries.are_same(found, self._trained)
        return tries.RIGHT if same else "trained to other weights"


def _weights(run: str) -> dict[str, np.ndarray]:
    return model_layout.values(Classifier.of_run(run).model)


def _printed(command: Callable) -> tuple[str, object]:
    """Returns what a command prints to stderr, and its result."""
    stderr = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(stderr):
        result = command()
    return stderr.getvalue(), result
