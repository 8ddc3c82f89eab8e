"""Disks that are small, full or cannot be written, where the right to mount exists."""

import contextlib
import subprocess

import pytest


@contextlib.contextmanager
def small_disk(folder, size):
    """Mounts an empty disk at a folder; skips the test without the right to.

    Args:
        folder: path of a folder, which is made if need be.
        size: the disk's size, such as "128k".
    """
    folder.mkdir(exist_ok=True)
    _command("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def change(folder, options):
    """Mounts a small disk anew, as `ro` or with another `size=`."""
    _command("mount", "-o", f"remount,{options}", folder)


@contextlib.contextmanager
def unchangeable(path):
    """Makes a file or a folder immutable; skips the test without the right to."""
    _command("chattr", "+i", path)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def _command(*words):
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"{words[0]} is not installed")
    if done.returncode:
        pytest.skip(f"no right to {words[0]}: {done.stderr.decode().strip()}")
