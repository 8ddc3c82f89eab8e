"""Ctrl-C and SIGTERM during a run: it saves and stops; a second Ctrl-C ends it at once.

A step of a large network takes seconds and its compilation minutes. Python runs its
handlers only between two calls, so a thread reads the signals as they come.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from efficientnet_tf import interruption
from efficientnet_tf.hardware import agreement

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Stop:
    """Whether a run is to stop, as all its hosts see it.

    Args:
        hosts: the hosts of the run.
        received: the signals that this host has received so far.
    """

    def __init__(self, hosts: agreement.Hosts, received: list[int]):
        self._hosts = hosts
        self._received = received

    def requested(self) -> signal.Signals | None:
        """Returns the signal that any host has received; None if there was none.

        All hosts call it after the same steps, so they stop after the same step.
        """
        if not self._hosts.any(bool(self._received)):
            return None
        by_ctrl_c = self._hosts.any(signal.SIGINT in self._received)
        return signal.SIGINT if by_ctrl_c else signal.SIGTERM


@contextlib.contextmanager
def noticed(hosts: agreement.Hosts) -> Iterator[Stop]:
    """Notes signals within a `with` block instead of ending the process."""
    received: list[int] = []
    with _woken() as thread_reads:
        thread_reads.start()
        previous = {
            number: signal.signal(number, lambda found, _: received.append(found))
            for number in NAMES
        }
        try:
            yield Stop(hosts, received)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def _woken() -> Iterator[threading.Thread]:
    """Yields a thread that gets the number of each signal at once."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    previous = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=[read], daemon=True)
    try:
        yield thread
    finally:
        signal.set_wakeup_fd(previous)
        os.close(write)  # which ends the thread
        thread.join()
        os.close(read)


def _watch(read: int) -> None:
    presses = 0
    while number := os.read(read, 1):
        if number[0] != signal.SIGINT:
            continue
        presses += 1
        if presses == 1:
            print(
                "Ctrl-C: the run saves and stops; Ctrl-C again ends it at once",
                file=sys.stderr,
                flush=True,
            )
        if presses > 1:
            os._exit(interruption.CODE)
