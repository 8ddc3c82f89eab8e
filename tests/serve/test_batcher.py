"""Images of many requests in one batch; each request gets its own rows."""

import asyncio
import threading
import time
import types
from unittest import mock

import batcher_support
import numpy as np
import pytest
import serve_support

from efficientnet_tf.serve import batcher as batcher_module
from efficientnet_tf.serve import service
from efficientnet_tf.serve.batcher import Batcher
from efficientnet_tf.serve.settings import Serving
from efficientnet_tf.serve.uploads import Upload

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


@pytest.fixture
def loop():
    """An event loop in a thread of its own, as the server's is."""
    found = asyncio.new_event_loop()
    thread = threading.Thread(target=found.run_forever)
    thread.start()
    yield found
    found.call_soon_threadsafe(found.stop)
    thread.join()
    found.close()


@pytest.fixture
def batcher(loop):
    def make(model, **settings):
        chosen = {"prepare": np.asarray, "max_batch": 8, "window_s": 0.0} | settings
        return batcher_support.Asked(loop, model.predict, **chosen)

    return make


def test_images_that_come_meanwhile_are_one_batch(model, batcher):
    found = batcher(model)
    results = [found.submit(IMAGES[0])]
    assert model.began.wait(60)
    results += [found.submit(image) for image in IMAGES[1:]]
    model.may_go.set()
    assert [one.result(60).tolist() for one in results] == (IMAGES * 2.0).tolist()
    assert model.sizes == [1, 8, 8, 3]
    found.close()


def test_the_first_image_waits_for_others_within_the_window(model, batcher):
    model.may_go.set()
    found = batcher(model, window_s=60.0, max_batch=3)
    results = [found.submit(image) for image in IMAGES[:3]]
    assert [one.result(60)[0] for one in results] == [0, 2, 4]
    assert model.sizes == [3]
    found.close()


def test_the_time_in_which_the_model_was_busy_counts_as_waiting(
    model, batcher, monkeypatch
):
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


def test_several_batches_are_predicted_at_once(model, batcher):
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


def test_an_image_that_makes_prepare_fail_does_so_alone(model, batcher):
    def prepare(numbers):
        if 2 in numbers:
            raise ValueError(f"image 2 of {len(numbers)}")
        return IMAGES[numbers]

    found = batcher(model, prepare=prepare, window_s=60.0, max_batch=4)
    results = [found.submit(number) for number in range(4)]
    model.may_go.set()
    with pytest.raises(ValueError, match="image 2 of 1"):
        results.pop(2).result(60)
    assert [one.result(60)[0] for one in results] == [0, 2, 6]
    assert model.sizes == [3]
    found.close()


def test_an_image_that_is_refused_is_answered_with_the_reason(model, batcher):
    def prepare(numbers):
        return [f"no {n}" if n in (0, 2, 3) else IMAGES[n] for n in numbers]

    model.may_go.set()
    found = batcher(model, prepare=prepare, window_s=60.0, max_batch=3)
    results = [found.submit(number) for number in range(3)]
    assert [one.result(60) for one in results] == ["no 0", [2], "no 2"]
    results = [found.submit(3) for _ in range(3)]
    assert [one.result(60) for one in results] == ["no 3"] * 3
    assert model.sizes == [1]
    found.close()


def test_the_event_loop_wakes_up_once_for_a_batch(model, batcher, loop):
    model.may_go.set()
    found = batcher(model, window_s=60.0, max_batch=5)
    results = [found.submit(image) for image in IMAGES[:4]]
    with mock.patch.object(
        loop, "call_soon_threadsafe", wraps=loop.call_soon_threadsafe
    ) as calls:
        results.append(found.submit(IMAGES[4]))
        found.close()
    assert [one.result(60)[0] for one in results] == [0, 2, 4, 6, 8]
    assert calls.call_count == 2  # the last image, and the batch


def test_a_loop_that_is_closed_does_not_end_the_threads(model, batcher):
    other = asyncio.new_event_loop()

    async def submit():
        Batcher.submit(found, IMAGES[1])

    found = batcher(model)
    other.run_until_complete(submit())
    assert model.began.wait(60)
    other.close()
    model.may_go.set()
    assert found.submit(IMAGES[2]).result(60) == [4]
    assert found.is_alive
    found.close()


def test_a_result_that_is_cancelled_is_not_predicted(model, batcher):
    found = batcher(model)
    found.submit(IMAGES[0])
    assert model.began.wait(60)
    first, second = found.submit(IMAGES[1]), found.submit(IMAGES[2])
    assert first.cancel()
    model.may_go.set()
    assert second.result(60) == [4]
    assert model.sizes == [1, 1]
    found.close()


def test_closing_answers_what_is_in_the_queue(model, batcher):
    found = batcher(model, window_s=60.0)
    results = [found.submit(image) for image in IMAGES]
    model.may_go.set()
    found.close()
    assert [one.result(0)[0] for one in results] == (IMAGES[:, 0] * 2.0).tolist()
    assert not found.is_alive


def test_an_error_reaches_its_batch_alone(model, batcher):
    model.may_go.set()
    found = batcher(model, max_batch=1)
    wrong, right = found.submit(np.array(["a"])), found.submit(IMAGES[3])
    with pytest.raises(ValueError, match="could not convert"):
        wrong.result(60)
    assert right.result(60) == [6]
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


@pytest.mark.parametrize(("cores", "batches"), [(3, 1), (3, 2), (2, 2), (1, 1)])
def test_fewer_batches_than_cores_are_decoded_on_all_cores(
    loop, monkeypatch, cores, batches
):
    """The photos of a batch come in order, whoever decodes them."""
    monkeypatch.setattr(service.machine, "cores", lambda: cores)
    shares = cores if batches < cores else 1
    meet, photos = threading.Barrier(shares), [serve_support.photo(n) for n in range(7)]

    def prepare(encoded):
        meet.wait(60)  # until each share has a thread
        return [np.float32([photos.index(one)]) for one in encoded]

    served = types.SimpleNamespace(image_size=32, prepare=prepare, predict=np.square)
    settings = Serving(max_batch=7, batch_window_ms=60_000)
    found = service.Service(served, settings, batches)
    uploads = [Upload(photo) for photo in photos]
    rows = asyncio.run_coroutine_threadsafe(found.predict(uploads), loop).result(60)
    assert rows == [0, 1, 4, 9, 16, 25, 36]
    found.close()


def test_photos_of_a_batch_are_decoded_as_alone(classifier):
    served = serve_support.served.ServedClassifier(classifier)
    photos = [serve_support.photo(n, kind) for n, kind in enumerate(("PNG", "JPEG"))]
    found = served.prepare([photos[0], photos[1][:-20], photos[1], b"GIF8", photos[0]])
    told = ["a JPEG cut short: it has no end marker", "a GIF cut short after 4 bytes"]
    assert [one for one in found if isinstance(one, str)] == told
    alone = [served.prepare([photo])[0] for photo in photos]
    for n, expected in ((0, alone[0]), (2, alone[1]), (4, alone[0])):
        np.testing.assert_array_equal(found[n], expected)
    assert np.abs(alone[0].astype(int) - alone[1]).mean() > 20


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
    images = np.stack(served.prepare(photos))
    for predictions, row in zip(answers, classifier.predict(images), strict=True):
        found = {one["class"]: one["probability"] for one in predictions}
        np.testing.assert_allclose([found[n] for n in range(6)], row, atol=1e-6)
