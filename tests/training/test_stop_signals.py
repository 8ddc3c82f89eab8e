"""Signals during a run are noted; a second Ctrl-C ends the process at once."""

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import warnings

import pytest
import tensorflow as tf

from efficientnet_tf.hardware import agreement
from efficientnet_tf.training import stop_signals


@pytest.fixture
def hosts():
    return agreement.Hosts(tf.distribute.OneDeviceStrategy("/cpu:0"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_noted_and_its_handlers_come_back(hosts, number, capfd):
    before = [signal.getsignal(s) for s in stop_signals.NAMES]
    threads = threading.active_count()
    with stop_signals.noticed(hosts) as stop:
        assert stop.requested() is None
        os.kill(os.getpid(), number)
        assert stop.requested() == number
        time.sleep(0.1)  # for the thread that speaks
    assert [signal.getsignal(s) for s in stop_signals.NAMES] == before
    assert threading.active_count() == threads
    told = capfd.readouterr().err.splitlines()
    assert len(told) == (number == signal.SIGINT)
    assert all("saves" in line and "again" in line for line in told)


def test_a_step_of_minutes_ends_at_the_second_ctrl_c(hosts):
    with child(lambda: wait_for_ever_in_c(hosts)) as (process, stderr):
        assert stderr.readline() == "begun\n"
        os.kill(process, signal.SIGINT)
        assert "Ctrl-C again" in stderr.readline()
        os.kill(process, signal.SIGINT)
        assert stderr.read() == ""
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 130


def wait_for_ever_in_c(hosts):
    """As TensorFlow does while it compiles: no handler of Python's can run."""
    mutex, lock = ctypes.create_string_buffer(64), ctypes.CDLL(None).pthread_mutex_lock
    with stop_signals.noticed(hosts):
        print("begun", file=sys.stderr, flush=True)
        lock(mutex)
        lock(mutex)


@contextlib.contextmanager
def child(work):
    """A copy of this process that does some work, and its stderr."""
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the work needs none of TensorFlow's threads
        process = os.fork()
    if process == 0:
        try:
            sys.stderr = os.fdopen(write, "w")
            work()
        finally:
            os._exit(1)
    os.close(write)
    with os.fdopen(read) as stderr:
        try:
            yield process, stderr
        finally:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
