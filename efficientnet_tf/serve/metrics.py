"""What the server counts, in Prometheus's text format."""

from collections.abc import Callable
from typing import Any

import prometheus_client as prometheus

from efficientnet_tf.serve.batcher import Batch

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The server's counters, in a registry of their own.

    Args:
        waiting: returns the images that are being read, wait or are predicted.
    """

    def __init__(self, waiting: Callable[[], float]):
        self._registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=self._registry)
        of: dict[str, Any] = {"namespace": "serve", "registry": self._registry}
        told = "Answers by route and status"
        self._requests = prometheus.Counter("requests", told, ["route", "status"], **of)
        told = "Seconds from a request's head to the end of its answer"
        self._seconds = prometheus.Histogram(
            "request_seconds", told, ["route"], buckets=_SECONDS, **of
        )
        told = "Images by result: predicted or refused"
        self.images = prometheus.Counter("images", told, ["result"], **of)
        told = "Images that the model took at once"
        self._batches = prometheus.Histogram(
            "batch_images", told, buckets=_IMAGES, **of
        )
        told = "Seconds in which the model predicted"
        self._model_seconds = prometheus.Counter("model_seconds", told, **of)
        told = "Images that are being read, wait or are predicted"
        prometheus.Gauge("queue_images", told, **of).set_function(waiting)

    def count_batch(self, batch: Batch) -> None:
        """Counts a batch that was predicted."""
        self._batches.observe(batch.images)
        self._model_seconds.inc(batch.seconds)

    def count_request(self, route: str, status: int, seconds: float) -> None:
        """Counts an answer.

        Args:
            route: name of the route; never a path, which clients choose.
            status: int, the answer's status.
            seconds: float, from the request's head to the end of the answer.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def total(self, name: str, **labels: str) -> float:
        """Returns a counter's sum over the labels that are not given."""
        return sum(
            sample.value
            for family in self._registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def text(self) -> bytes:
        """Returns everything in Prometheus's text format."""
        return prometheus.generate_latest(self._registry)
