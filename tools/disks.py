"""Disks that are small, full or cannot be written, where the right to mount exists.

Imported by tools and tests. Without the right, everything here raises
`unittest.SkipTest`, which pytest knows too.
"""

import contextlib
import pathlib
import subprocess
import unittest
from collections.abc import Iterator


@contextlib.contextmanager
def small_disk(folder: pathlib.Path, size: str) -> Iterator[None]:
    """Mounts an empty disk at a folder for a `with` block.

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


def change(folder: pathlib.Path, options: str) -> None:
    """Mounts a small disk anew, as `ro` or with another `size=`."""
    _command("mount", "-o", f"remount,{options}", folder)


@contextlib.contextmanager
def unchangeable(path: pathlib.Path) -> Iterator[None]:
    """Makes a file or a folder immutable for a `with` block."""
    _command("chattr", "+i", path)
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", str(path)], check=True)


def _command(*words: object) -> None:
    try:
        done = subprocess.run([str(word) for word in words], capture_output=True)
    except FileNotFoundError:
        raise unittest.SkipTest(f"{words[0]} is not installed") from None
    if done.returncode:
        reason = done.stderr.decode().strip()
        raise unittest.SkipTest(f"no right to {words[0]}: {reason}")
