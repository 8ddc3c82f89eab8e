"""Asks a batcher from a thread that has no event loop."""

import asyncio
import concurrent.futures

from efficientnet_tf.serve.batcher import Batcher


class Result:
    """A result of the batcher, for a thread that has no event loop."""

    def __init__(self, loop, future):
        self._loop = loop
        self._future = future

    def done(self):
        return self._future.done()

    def cancel(self):
        return in_loop(self._loop, self._future.cancel)

    def result(self, timeout):
        async def wait():
            return await asyncio.wait_for(self._future, timeout)

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(60)


def in_loop(loop, function, *args):
    """Calls a function in an event loop's thread, and returns what it returns."""
    found = concurrent.futures.Future()
    loop.call_soon_threadsafe(lambda: found.set_result(function(*args)))
    return found.result(60)


class Asked(Batcher):
    """A batcher that a test asks from its own thread."""

    def __init__(self, loop, *args, **settings):
        super().__init__(*args, **settings)
        self._loop = loop

    def submit(self, image):
        return Result(self._loop, in_loop(self._loop, super().submit, image))
