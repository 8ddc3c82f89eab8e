"""Fixtures that several files of this folder share."""

import pytest
import serve_support

from efficientnet_tf.serve import served


@pytest.fixture(scope="module")
def classifier():
    return serve_support.classifier()


@pytest.fixture(scope="module")
def model(classifier):
    return served.ServedClassifier(classifier)


@pytest.fixture(scope="module")
def server(model):
    """A server with small limits."""
    limits = {"max_request_mb": 0.2, "max_pixels": 40_000, "request_timeout_s": 1.0}
    with serve_support.running(model, queue=8, max_batch=4, **limits) as found:
        yield found
