"""Images of many requests in one batch; each request gets its own rows."""

import concurrent.futures
import threading
import time
import types

import numpy as np
import pytest
import serve_support

from efficientnet_tf.serve import batcher as batcher_module
from efficientnet_tf.serve import service
from efficientnet_tf.serve.batcher import Batcher
from efficientnet_tf.serve.settings import Serving

IMAGES = np.arange(20, dtype="uint8")[:, np.newaxis]


class Model:
    """Doubles; counts the images of its batches, of which the first waits."""

    def __init__(self):
        self.sizes = []
        self.began, self.may_go = threading.Event(), threading.Event()

    def predict(self, batch):
        self.sizes.append(len(batch))
        self.began.set()
        assert self.may_go.wait(60)
        return batch.astype("float32") * 2


@pytest.fixture
def model():
    return Model()


def batcher(model, **settings):
    chosen = {"prepare": np.asarray, "max_batch": 8, "window_s": 0.0} | settings
    return Batcher(model.predict, **chosen)


def test_images_that_come_meanwhile_are_one_batch(model):
    found = batcher(model)
    results = [found.submit(IMAGES[0])]
    assert model.began.wait(60)
    results += [found.submit(image) for image in IMAGES[1:]]
    model.may_go.set()
    assert [one.result(60).tolist() for one in results] == (IMAGES * 2.0).tolist()
    assert model.sizes == [1, 8, 8, 3]
    found.close()


def test_the_first_image_waits_for_others_within_the_window(model):
    model.may_go.set()
    found = batcher(model, window_s=60.0, max_batch=3)
    results = [found.submit(image) for image in IMAGES[:3]]
    assert [one.result(60)[0] for one in results] == [0, 2, 4]
    assert model.sizes == [3]
    found.close()


def test_the_time_in_which_the_model_was_busy_counts_as_waiting(model, monkeypatch):
    clock = types.SimpleNamespace(monotonic=lambda: 0.0)
    monkeypatch.setattr(batcher_module, "time", clock)
    found = batcher(model, window_s=100.0, max_batch=2)
    results = [found.submit(image) for image in IMAGES[:2]]
    assert model.began.wait(60)
    results.append(found.submit(IMAGES[2]))
    clock.monotonic = lambda: 100.0
    model.may_go.set()
    assert [one.result(60)[0] for one in results] == [0, 2, 4]
    assert model.sizes == [2, 1]
    found.close()


def test_several_batches_are_predicted_at_once(model):
    found = batcher(model, max_batch=2, batches=3)
    results = [found.submit(image) for image in IMAGES]
    while len(model.sizes) < 3:  # none of them has ended
        time.sleep(0.001)
    assert not any(one.done() for one in results)
    model.may_go.set()
    assert [one.result(60).tolist() for one in results] == (IMAGES * 2.0).tolist()
    assert sum(model.sizes) == len(IMAGES) and max(model.sizes) == 2
    assert found.is_alive
    found.close()
    assert not found.is_alive


def test_an_image_that_cannot_be_prepared_fails_alone(model):
    def prepare(number):
        if number == 2:
            raise ValueError("image 2")
        return IMAGES[number]

    found = batcher(model, prepare=prepare, window_s=60.0, max_batch=4)
    results = [found.submit(number) for number in range(4)]
    model.may_go.set()
    with pytest.raises(ValueError, match="image 2"):
        results.pop(2).result(60)
    assert [one.result(60)[0] for one in results] == [0, 2, 6]
    assert model.sizes == [3]
    found.close()


def test_a_result_that_is_cancelled_is_not_predicted(model):
    found = batcher(model)
    found.submit(IMAGES[0])
    assert model.began.wait(60)
    first, second = found.submit(IMAGES[1]), found.submit(IMAGES[2])
    assert first.cancel()
    model.may_go.set()
    assert second.result(60) == [4]
    assert model.sizes == [1, 1]
    found.close()


def test_closing_answers_what_is_in_the_queue(model):
    found = batcher(model, window_s=60.0)
    results = [found.submit(image) for image in IMAGES]
    model.may_go.set()
    found.close()
    assert [one.result(0)[0] for one in results] == (IMAGES[:, 0] * 2.0).tolist()
    assert not found.is_alive


def test_an_error_reaches_its_batch_alone(model):
    model.may_go.set()
    found = batcher(model, max_batch=1)
    wrong, right = found.submit(np.array(["a"])), found.submit(IMAGES[3])
    with pytest.raises(ValueError, match="could not convert"):
        wrong.result(60)
    assert right.result(60) == [6]
    found.close()


def test_a_pool_prepares_the_images_of_a_batch_at_the_same_time(model):
    meet = threading.Barrier(3)

    def prepare(number):
        meet.wait(60)
        return IMAGES[number]

    model.may_go.set()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        settings = {"window_s": 60.0, "max_batch": 3, "spread": pool.map}
        found = batcher(model, prepare=prepare, **settings)
        results = [found.submit(number) for number in range(3)]
        assert [one.result(60)[0] for one in results] == [0, 2, 4]
        found.close()


@pytest.mark.parametrize(
    ("size", "given", "most"),
    [(32, None, 32), (300, None, 32), (600, None, 8), (600, 50, 50)],
)
def test_a_batch_holds_fewer_large_images_unless_told(size, given, most):
    model = types.SimpleNamespace(image_size=size)
    assert service.largest_batch(model, Serving(max_batch=given)) == most


@pytest.mark.parametrize(
    ("size", "batches", "most"),
    [
        *[(224, 2, 8), (300, 4, 4), (300, 16, 2), (380, 2, 2), (600, 2, 1)],
        *[(224, 64, 1), (32, 4, 32), (224, 1, 32), (600, 1, 8)],
    ],
)
def test_batches_at_once_hold_no_more_pixels_than_one(size, batches, most):
    model = types.SimpleNamespace(image_size=size)
    assert service.largest_batch(model, Serving(), batches) == most
    assert service.largest_batch(model, Serving(max_batch=50), batches) == 50


def test_requests_of_many_clients_share_batches(model, classifier):
    served = serve_support.served.ServedClassifier(classifier)
    photos = [serve_support.photo(number) for number in range(24)]
    answers = [None] * len(photos)

    def ask(number):
        answer = server.post("/v1/predict?top_k=6", photos[number], "image/png")
        answers[number] = answer.json["results"][0]["predictions"]

    with serve_support.running(served, max_batch=8, batch_window_ms=300) as server:
        threads = [threading.Thread(target=ask, args=[n]) for n in range(len(photos))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        batches = server.service.metrics.total("serve_batch_images_count")
        assert server.service.metrics.total("serve_batch_images_sum") == len(photos)
        assert batches <= 6
    images = np.stack([served.prepare(photo) for photo in photos])
    for predictions, row in zip(answers, classifier.predict(images), strict=True):
        found = {one["class"]: one["probability"] for one in predictions}
        np.testing.assert_allclose([found[n] for n in range(6)], row, atol=1e-6)
