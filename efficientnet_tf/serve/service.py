"""The model at work for many clients: decoding, batches, maps, and room for them."""

import asyncio
import concurrent.futures
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from starlette.exceptions import HTTPException

from efficientnet_tf.hardware import machine
from efficientnet_tf.inference import batch_sizes, predict
from efficientnet_tf.serve import upload_checks
from efficientnet_tf.serve.batcher import Batch, Batcher
from efficientnet_tf.serve.metrics import Metrics
from efficientnet_tf.serve.room import Room
from efficientnet_tf.serve.served import Served
from efficientnet_tf.serve.settings import Serving
from efficientnet_tf.serve.uploads import Upload

_BODIES = 32  # requests of the largest size whose bodies the memory is meant for
_MAPS = 16  # maps that may wait; each takes about ten times a prediction's time


def largest_batch(served: Served, settings: Serving, batches: int = 1) -> int:
    """Returns how many images a batch holds at most, if `batches` are predicted."""
    size = served.image_size
    return settings.max_batch or batch_sizes.largest(size, size, batches)


class Service:
    """Answers what requests ask of a model; call it from one event loop.

    Args:
        served: the model.
        settings: batches and limits.
        batches: int, how many are predicted at once.
    """

    def __init__(self, served: Served, settings: Serving, batches: int = 1):
        self.served = served
        self.settings = settings
        self.stopping = False  # whether new requests are refused
        size = _BODIES * int(settings.max_request_mb * 1e6)
        self.room = Room(settings.queue, size)
        self.map_room = Room(_MAPS, size)
        self.metrics = Metrics(lambda: self.room.images)
        self._batches = batches
        # TensorFlow decodes an image on one core. Where each core has a batch, threads
        # that only decode made two busy cores of an AMD EPYC (Zen 5) 4% slower.
        self._shares = machine.cores() if batches < machine.cores() else 1
        self._decoders = concurrent.futures.ThreadPoolExecutor(self._shares)
        self._painter = concurrent.futures.ThreadPoolExecutor(1)
        self._batcher = Batcher(
            served.predict,
            self._prepare,
            max_batch=largest_batch(served, settings, batches),
            window_s=settings.batch_window_ms / 1e3,
            batches=batches,
            notice=self._notice,
        )

    @property
    def is_alive(self) -> bool:
        """Whether the model's threads work."""
        return self._batcher.is_alive

    async def predict(self, uploads: Sequence[Upload]) -> list[np.ndarray | str]:
        """Predicts images, each in any batch.

        Args:
            uploads: the images.

        Returns:
            For each image float32 [classes], its probabilities, or the reason why it
            has none.
        """
        answers = await asyncio.gather(*map(self._batcher.submit, uploads))
        results = list(map(_finite, answers))
        refused = sum(isinstance(one, str) for one in results)
        self.metrics.images.labels("refused").inc(refused)
        self.metrics.images.labels("predicted").inc(len(results) - refused)
        return results

    async def overlay(self, upload: Upload) -> bytes:
        """Draws an image's map; see `Served.overlay`.

        Raises:
            HTTPException: 422 with the reason why the image cannot be decoded.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._painter, self._draw, upload)

    def rank(self, probabilities: np.ndarray, top_k: int) -> list[dict]:
        """Ranks and names the classes of one image; see `predict.rank`."""
        (ranked,) = predict.rank(
            probabilities[np.newaxis],
            self.served.class_names,
            label_offset=self.served.label_offset,
            multi_label=self.served.multi_label,
            top_k=top_k,
        )
        return ranked

    def close(self) -> None:
        """Ends the threads, once nothing waits any more."""
        self._painter.shutdown()
        self._batcher.close()
        self._decoders.shutdown()

    def _prepare(self, uploads: list[Upload]) -> list[np.ndarray | str]:
        """Decodes the images of a batch, in one share or in one for each core."""
        if self._shares == 1:
            return self._decode(uploads)
        size = -(-len(uploads) // self._shares)
        shares = [uploads[n : n + size] for n in range(0, len(uploads), size)]
        return [*itertools.chain(*self._decoders.map(self._decode, shares))]

    def _decode(self, uploads: list[Upload]) -> list[np.ndarray | str]:
        """Makes images ready for the model, or says why one is refused."""
        found: list[Any] = list(map(self._reason, uploads))
        allowed = [n for n, reason in enumerate(found) if reason is None]
        if allowed:
            images = self.served.prepare([uploads[n].encoded for n in allowed])
            for n, image in zip(allowed, images, strict=True):
                found[n] = image
        return found

    def _reason(self, upload: Upload) -> str | None:
        """Says why an image is refused before it is decoded."""
        most = self.settings.max_pixels
        return upload.error or upload_checks.reason(upload.encoded, most)

    def _draw(self, upload: Upload) -> bytes:
        (image,) = self._decode([upload])
        if isinstance(image, str):
            raise HTTPException(422, image)
        return self.served.overlay(image)

    def _notice(self, batch: Batch) -> None:
        self.room.seconds_per_image = batch.seconds / batch.images / self._batches
        self.metrics.count_batch(batch)


def _finite(row: np.ndarray | str) -> np.ndarray | str:
    """Returns an answer, or says that the model gave none."""
    if isinstance(row, str) or np.isfinite(row).all():
        return row
    return "the model's answer is not finite"
