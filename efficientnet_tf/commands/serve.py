"""--mode=serve: answers requests over HTTP until a signal comes."""

import contextlib
import gc
from typing import Any

import numpy as np
import tensorflow as tf

from efficientnet_tf.inference import classifier
from efficientnet_tf.serve import listening, served, server, shares
from efficientnet_tf.serve.service import Service, largest_batch
from efficientnet_tf.serve.settings import Serving


def run(*, serving: Serving, saved_model: str | None = None, **origin: Any) -> dict:
    """Serves a model, and prints its address once requests are answered.

    Args:
        serving: where to listen, and limits.
        saved_model: folder of a SavedModel; None opens a classifier.
        **origin: the keyword arguments of `classifier.open_classifier`.

    Returns:
        "address", and how many "requests" were answered and "images" predicted.
    """
    with contextlib.closing(listening.listen(serving.host, serving.port)) as taken:
        batches = shares.divide(serving.batches_at_once)
        model = _open(saved_model, origin)
        _warm(model, largest_batch(model, serving, batches))
        service, address = Service(model, serving, batches), listening.url(taken)

        def ready() -> None:
            print(f"serving       {model.name} at {address}", flush=True)

        server.Server(service, ready).run([taken])
        service.close()
    metrics = service.metrics
    requests = int(metrics.total("serve_requests_total"))
    images = int(metrics.total("serve_images_total", result="predicted"))
    print(f"stopped       after {requests:,} requests and {images:,} images")
    return {"address": address, "requests": requests, "images": images}


def _open(saved_model: str | None, origin: dict[str, Any]) -> served.Served:
    if saved_model:
        return served.ServedSavedModel(saved_model)
    return served.ServedClassifier(classifier.open_classifier(**origin))


def _warm(model: served.Served, max_batch: int) -> None:
    """Lets the first requests not wait for what a first call does."""
    blank = tf.io.encode_png(np.zeros([8, 8, 3], "uint8")).numpy()
    for images in {1, max_batch}:
        model.predict(np.stack(model.prepare([blank] * images)))
    # TensorFlow makes half a million objects. To look through them in each collection
    # took a quarter of the time of the server's own code.
    gc.collect()
    gc.freeze()
