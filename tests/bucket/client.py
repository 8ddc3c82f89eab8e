"""TensorFlow's client in a process of its own, and what tests ask of it.

It needs a process of its own: the client holds Python's lock while it closes some
files, so a server in the same process could not answer.
"""

import concurrent.futures
import contextlib
import gc
import multiprocessing
import os
from collections.abc import Iterator
from unittest import mock

from bucket import server as servers
from efficientnet_tf import imports


@contextlib.contextmanager
def start(server: servers.Server) -> Iterator:
    """A function (function, *arguments) that runs another in a client's process."""
    # What the client reads when TensorFlow is imported has to be there before.
    settings = {
        **server.environment(),
        "GCS_STAT_CACHE_MAX_AGE": "0",
        "GCS_READ_CACHE_BLOCK_SIZE_MB": "1",
    }
    spawned = multiprocessing.get_context("spawn")
    with (
        mock.patch.dict(os.environ, settings),
        concurrent.futures.ProcessPoolExecutor(
            1, mp_context=spawned, initializer=imports.tensorflow
        ) as pool,
    ):
        yield lambda *call: pool.submit(_called, *call).result()


def _called(function, *arguments):
    # An error, and the one it was raised from, keep what was in use where they were
    # raised, also a file that could not be closed. TensorFlow tries to close it once
    # more when it goes, in the midst of other tests.
    try:
        return function(*arguments)
    except Exception as error:
        raised = error.with_traceback(None)
        raised.__context__ = raised.__cause__ = None
    gc.collect()
    raise raised


def gfile(name: str, *arguments):
    """Calls a function of tf.io.gfile."""
    import tensorflow as tf

    return getattr(tf.io.gfile, name)(*arguments)


def write(path: str, content: bytes, mode: str = "wb") -> None:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, mode) as file:
        file.write(content)


def read(path: str, start: int = 0) -> bytes:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as file:
        file.seek(start)
        return file.read()


def size(path: str) -> int:
    return gfile("stat", path).length
