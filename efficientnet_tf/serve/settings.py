"""The settings of the server."""

import dataclasses

from efficientnet_tf.data import image_headers
from efficientnet_tf.settings import Allowed, Section, above, at_least, setting

_DAY = 86_400  # seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serving(Section):
    """Where the server listens, how it batches, and what it refuses."""

    host: str = setting(
        "address to listen at; 0.0.0.0 lets other machines connect", default="127.0.0.1"
    )
    port: int = setting(
        "port to listen at; 0 takes a free one",
        Allowed("0 to 65535", lambda value: 0 <= value <= 65_535),
        default=8000,
    )
    batches_at_once: int | None = setting(
        "batches that are predicted at once, each on its share of the cores; if unset, "
        "one on each core, or 1 in all on a GPU. 1 answers a single request of a large "
        "network sooner",
        at_least(1, 1024),
        default=None,
    )
    max_batch: int | None = setting(
        "most images of a batch; if unset, 32, or fewer if these have more pixels than "
        "32 of 300x300, or than 8 of 224x224 where several batches run at once",
        at_least(1, 4096),
        default=None,
    )
    batch_window_ms: float = setting(
        "milliseconds that an image waits for others of its batch; the time in which "
        "the model is busy counts",
        at_least(0, 60_000),
        default=0.0,
    )
    max_request_mb: float = setting(
        "most megabytes (10^6 bytes) of a request's body",
        above(0, 1000),
        default=16.0,
    )
    max_pixels: int = setting(
        "most pixels of an image that the server or an exported SavedModel decodes",
        at_least(1, image_headers.MOST_PIXELS),
        default=image_headers.SERVED_PIXELS,
    )
    queue: int = setting(
        "most images that are being read, wait or are predicted; further ones are "
        "refused with status 429",
        at_least(1, 1_000_000),
        default=512,
    )
    request_timeout_s: float = setting(
        "seconds that a client may take to send a request's head, and again its body",
        above(0, _DAY),
        default=20.0,
    )
