"""One run alone holds a folder, until its process ends."""

import dataclasses
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from unittest import mock

import psutil
import pytest

from efficientnet_tf import disk
from efficientnet_tf.runs import holder as holders
from efficientnet_tf.runs import run_lock
from efficientnet_tf.runs.holder import Holder

HOLD = """
import sys, time
from efficientnet_tf.runs import run_lock
with run_lock.held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "run")


@pytest.fixture
def other(folder):
    """A process that holds the folder."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def refusal(folder) -> str:
    with pytest.raises(ValueError) as error, run_lock.held(folder):
        pass
    return str(error.value)


def elsewhere(**changed) -> Holder:
    """A holder on another machine."""
    return dataclasses.replace(Holder.new(), host="far", kernel="another", **changed)


def leave(folder, holder, *, seconds=0.0):
    """Leaves what a process that was killed so long ago leaves."""
    os.makedirs(folder)
    path = f"{folder}/{run_lock.NAME}"
    with open(path, "w") as file:
        file.write(holder if isinstance(holder, str) else holder.dumps())
    then = time.time() - seconds
    os.utime(path, (then, then))


def no_locks(*_):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def test_a_second_run_is_refused_until_the_process_of_the_first_ends(folder, other):
    line = refusal(folder)
    assert line.startswith(f"model_dir={folder}: process {other.pid} on ")
    assert "another model_dir" in line
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert os.path.exists(f"{folder}/{run_lock.NAME}")
    with run_lock.held(folder) as check:
        check()
    assert os.listdir(folder) == []


def test_a_second_run_in_the_same_process_is_refused_too(folder):
    with run_lock.held(folder):
        assert f"process {os.getpid()} on " in refusal(folder)
    with run_lock.held(folder):
        pass


def test_no_folder_is_left_that_was_made_in_vain(tmp_path):
    with run_lock.held(f"{tmp_path}/a/b"):
        assert os.path.isdir(tmp_path / "a/b")
    assert os.listdir(tmp_path) == []
    os.makedirs(tmp_path / "mine")
    with run_lock.held(f"{tmp_path}/mine"):
        pass
    assert os.listdir(tmp_path) == ["mine"]


def test_where_a_disk_has_no_locks_the_process_is_looked_for(folder, other):
    with mock.patch.object(fcntl, "flock", no_locks):
        assert f"process {other.pid} on " in refusal(folder)
        os.kill(other.pid, signal.SIGKILL)
        assert psutil.Process(other.pid).wait(10) is not None
        with run_lock.held(folder):
            assert f"process {os.getpid()} on " in refusal(folder)


@pytest.mark.parametrize("locks", [True, False])
def test_a_holder_on_another_machine_is_gone_once_it_is_silent(folder, locks):
    # Some network disks lock for one machine alone, so that this process is let in.
    leave(folder, elsewhere(pid=7), seconds=run_lock.SILENT - 60)
    with mock.patch.object(fcntl, "flock", fcntl.flock if locks else no_locks):
        line = refusal(folder)
        assert "process 7 on far" in line and f"{run_lock.SILENT:.0f} seconds" in line
        then = time.time() - run_lock.SILENT - 1
        os.utime(f"{folder}/{run_lock.NAME}", (then, then))
        with run_lock.held(folder):
            pass


def test_the_kernel_knows_that_a_process_of_another_container_has_ended(folder):
    gone = dataclasses.replace(Holder.new(), pid_namespace="another", key="its")
    leave(folder, gone)
    with mock.patch.object(fcntl, "flock", no_locks):
        assert f"process {gone.pid} on " in refusal(folder)
    with run_lock.held(folder):
        pass


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"pid": 1}', "\udcff\x00"], ids=repr
)
def test_a_lock_that_names_nobody_holds_nothing(folder, text):
    os.makedirs(folder)
    with open(f"{folder}/{run_lock.NAME}", "wb") as file:
        file.write(os.fsencode(text))
    with run_lock.held(folder):
        pass


def test_a_number_that_another_process_has_got_is_not_the_holder(folder):
    ours = Holder.new()
    assert not ours.has_ended and holders.loads(ours.dumps()) == ours
    assert dataclasses.replace(ours, began=ours.began - 100).has_ended


def test_a_lock_that_is_no_file_is_named(folder):
    os.makedirs(f"{folder}/{run_lock.NAME}")
    assert refusal(folder).startswith(f"{folder}/{run_lock.NAME}: cannot be opened (")


@pytest.fixture
def quick():
    with mock.patch.object(run_lock, "RENEWED", 0.01):
        yield


def wait_until(is_so):
    until = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_a_lock_is_renewed(folder, quick):
    with run_lock.held(folder):
        path = f"{folder}/{run_lock.NAME}"
        os.utime(path, (0, 0))
        wait_until(lambda: os.stat(path).st_mtime > time.time() - 60)


def test_a_run_notices_that_another_has_taken_its_folder(folder, quick):
    with run_lock.held(folder) as check:
        check()
        path = f"{folder}/{run_lock.NAME}"
        with open(path, "w") as file:
            file.write(elsewhere(pid=7).dumps())

        def is_lost():
            try:
                check()
            except ValueError as error:
                assert "process 7 on far" in str(error) and folder in str(error)
                return True

        wait_until(is_lost)
    assert os.path.exists(path)  # the other run's


class Lock:
    """A lock of which each reading finds the next holder."""

    model_dir = "/run"

    def __init__(self, *found):
        self.read = iter(found).__next__


def test_a_folder_is_lost_for_good_even_if_the_other_run_has_ended():
    ours = Holder.new()
    renewal = run_lock._Renewal(Lock(None, ours, elsewhere(pid=7), None, ours), ours)
    renewal.check()  # the file may be gone for a moment
    renewal.check()
    for _ in range(3):
        with pytest.raises(ValueError, match="process 7 on far"):
            renewal.check()


def test_a_lock_on_a_full_disk_is_named(folder):
    lock = run_lock._File(folder)
    lock._file = mock.Mock()
    lock._file.flush.side_effect = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(disk.WriteError) as error:
        lock.write(Holder.new())
    assert error.value.path == f"{folder}/{run_lock.NAME}"
