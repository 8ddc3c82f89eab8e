"""Ctrl-C ends every command with one line and exit code 130, whenever it comes."""

import concurrent.futures
import json
import multiprocessing
import operator
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from unittest import mock

import command_line
import pytest

import flags
from efficientnet_tf import interruption
from efficientnet_tf.commands import list as list_command
from efficientnet_tf.experiments import trials
from efficientnet_tf.planning import own_process
from efficientnet_tf.scaling import compound

ROOT = pathlib.Path(__file__).parents[1]
LINE = "error: stopped by Ctrl-C\n"

# Sends itself Ctrl-C when a module is about to be imported.
IMPORTING = """
import os, runpy, signal, sys
class Finder:
    def find_spec(name, *_):
        if name == wanted:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder)
_, wanted, name, *arguments = sys.argv
sys.path[0] = os.path.dirname(os.path.abspath(name))
sys.argv[:] = [name, *arguments]
runpy.run_path(name, run_name="__main__")
"""

TWICE = """
import os, signal, time
from efficientnet_tf import interruption
with interruption.raised():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    finally:
        print("undone", flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
"""


def press(*_, **__):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)


def python(script, *arguments) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("absl", ["main.py", "--mode=list"]),
        ("flags", ["main.py"]),
        ("tensorflow", ["main.py", "--mode=devices"]),
        ("absl.flags", ["tools/convert_weights.py"]),
        ("efficientnet_tf.scaling", ["tools/compound_scaling.py"]),
    ],
)
def test_while_modules_are_imported(module, command):
    ended = python(IMPORTING, module, *command)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", LINE)


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_while_a_command_runs(as_json):
    # All modes come here; this one takes no arguments.
    chosen = types.SimpleNamespace(command="list", on_devices=False), {}
    with (
        mock.patch.object(flags, "mode", return_value=chosen),
        mock.patch.object(list_command, "run", press),
    ):
        ended = command_line.run(*as_json)
    assert (ended.returncode, ended.stderr) == (130, LINE)
    told = {"error": "stopped by Ctrl-C", "kind": "interrupt", "path": None}
    assert [json.loads(line) for line in ended.stdout.splitlines()] == (
        [told] if as_json else []
    )


def test_while_a_tool_runs():
    with mock.patch.object(compound, "scale", press):
        ended = command_line.tool("compound_scaling", "--json")
    assert (ended.returncode, ended.stderr) == (130, LINE)
    assert ended.json["kind"] == "interrupt"


def test_a_second_one_waits_for_nothing():
    began = time.monotonic()
    ended = python(TWICE)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "undone\n", LINE)
    assert time.monotonic() - began < 50


def test_processes_started_meanwhile_ignore_it():
    with interruption.ignored():
        os.kill(os.getpid(), signal.SIGINT)
        child = subprocess.Popen(
            [sys.executable, "-c", "print('begun', flush=True); input(); print('end')"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    with child:
        assert child.stdout.readline() == "begun\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate("\n")[0] == "end\n"
    with pytest.raises(KeyboardInterrupt):
        press()


def test_workers_end_with_the_pool(monkeypatch):
    monkeypatch.setattr(trials, "_start_worker", operator.is_)  # imports nothing
    before = multiprocessing.active_children()
    with pytest.raises(KeyboardInterrupt), trials.worker_pool(1) as pool:
        job = pool.submit(time.sleep, 600)
        while not job.running():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert isinstance(job.exception(), concurrent.futures.process.BrokenProcessPool)
    assert multiprocessing.active_children() == before


def test_a_process_of_its_own_ends_with_its_caller(monkeypatch):
    monkeypatch.setattr(own_process.imports, "tensorflow", time.time)

    def work(caller):  # nested, so that the process need not import this module
        time.sleep(0.5)  # until the caller waits for the result
        os.kill(caller, signal.SIGINT)
        time.sleep(600)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        own_process.call(work, os.getpid())
    assert time.monotonic() - began < 100
