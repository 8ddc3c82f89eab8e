"""Runs main.py and stops it where a test says; run by test_resume.py.

python interrupted_run.py "SIGNAL PLACE COUNT SECONDS" ARGUMENT ...

PLACE is a function that a run calls repeatedly. At its COUNT-th call the process gets
the signal: SIGTERM or SIGINT when the call is over, SIGKILL SECONDS after it began. If
the call ends earlier, the run waits for the signal, so the call is the last on any
machine.
"""

import os
import pathlib
import runpy
import signal
import sys
import threading

import orbit
import tensorflow as tf
from tensorflow.python.checkpoint import checkpoint_management

PLACES = {
    "loop": (orbit.Controller, "train"),
    "evaluation": (orbit.Controller, "evaluate"),
    "save": (tf.train.CheckpointManager, "save"),
    # The file that names the checkpoints; a save writes it before and after it deletes
    # the oldest one.
    "record": (checkpoint_management, "update_checkpoint_state_internal"),
}


def interrupt(name: str, place: str, count: int, seconds: float) -> None:
    """Makes this process stop at the `count`-th call of a place."""
    owner, attribute = PLACES[place]
    call = getattr(owner, attribute)
    calls = iter(range(1, count + 1))

    def counted(*args, **kwargs):
        if next(calls, None) != count:
            return call(*args, **kwargs)
        if name == "SIGKILL":
            threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
            call(*args, **kwargs)
            threading.Event().wait()
        result = call(*args, **kwargs)
        os.kill(os.getpid(), signal.Signals[name])
        return result

    setattr(owner, attribute, counted)


if __name__ == "__main__":
    name, place, count, seconds = sys.argv[1].split()
    interrupt(name, place, int(count), float(seconds))
    sys.argv[:] = ["main.py", *sys.argv[2:]]
    root = str(pathlib.Path(__file__).parents[1])
    sys.path[0] = root  # as Python itself for main.py
    runpy.run_path(f"{root}/main.py", run_name="__main__")
