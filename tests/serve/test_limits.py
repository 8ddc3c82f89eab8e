"""Statuses: each names what is wrong in one line."""

import base64
import threading
import time
from unittest import mock

import numpy as np
import pytest
import serve_support
from serve_support import form, photo

PHOTO = photo()
BASE64 = base64.b64encode(PHOTO).decode()
TF_SERVING = "/v1/models/own:predict"


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"{", "the body is no JSON: Expecting property name"),
        (b"\xff\xfe", "the body is no JSON: "),
        (b"[" * 100_000, "the body is no JSON: nested too deeply"),
        (b"[]", "the body is a JSON list; allowed is an object"),
        (b"{}", "images: allowed is a list of files as base64"),
        (b'{"images": "a"}', "images: allowed is a list"),
        (b'{"images": []}', "the request holds no image"),
        (
            b'{"images": [], "url": "file:///etc/passwd"}',
            "url: allowed are images, top_k",
        ),
        (b'{"images": ["aa=="], "top_k": 0}', "top_k=0: allowed is 1 to "),
        (b'{"images": ["aa=="], "top_k": true}', "top_k=True: allowed is 1 to "),
        (b'{"images": ["aa=="], "top_k": 1.5}', "top_k=1.5: allowed is 1 to "),
        (b'{"images": ["aa=="], "top_k": "\xc2\xb2"}', "top_k=²: allowed is 1 to "),
    ],
)
def test_wrong_json_is_status_400(server, body, line):
    answer = server.post("/v1/predict", body)
    assert (answer.status, answer.error[: len(line)]) == (400, line)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, "allowed is one of instances and inputs"),
        ({"instances": [], "inputs": []}, "allowed is one of instances and inputs"),
        ({"instances": []}, "allowed is a list of one or more of"),
        ({"instances": [{"b64": BASE64}, 1]}, "instances[1]: allowed is "),
        ({"inputs": [{"b64": "?"}]}, "inputs[0]: no base64"),
        ({"instances": [1], "signature_name": "x"}, "signature_name=x: allowed is "),
    ],
)
def test_a_wrong_request_of_tensorflow_serving_is_status_400(server, body, line):
    answer = server.post(TF_SERVING, body)
    assert (answer.status, answer.error[: len(line)]) == (400, line)


def test_tensorflow_serving_answers_all_images_or_none(server):
    instances = [{"b64": BASE64}, {"b64": base64.b64encode(b"GIF8").decode()}]
    answer = server.post(TF_SERVING, {"instances": instances})
    assert answer.status == 422
    assert answer.error == "image 2 is refused: a GIF cut short after 4 bytes"


@pytest.mark.parametrize(
    ("body", "kind", "line"),
    [
        (b"", "multipart/form-data", "the form cannot be read: Missing boundary"),
        (b"x", "multipart/form-data; boundary=a", "the form cannot be read: "),
        (*form([]), "the request holds no image"),
        (
            *form([("a", PHOTO)], path="/etc/passwd"),
            "path: allowed are files and top_k",
        ),
        (*form([("a", PHOTO)], top_k="-1"), "top_k=-1: allowed is 1 to "),
        (*form([("a", PHOTO)] * 9), "the form cannot be read: Too many files"),
    ],
)
def test_a_wrong_form_is_status_400(server, body, kind, line):
    answer = server.post("/v1/predict", body, kind)
    assert (answer.status, answer.error[: len(line)]) == (400, line)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", None]
)
@pytest.mark.parametrize("path", ["/v1/predict", "/v1/cam"])
def test_another_content_type_is_status_415(server, path, kind):
    answer = server.ask("POST", path, PHOTO, kind)
    assert answer.status == 415
    assert answer.error.startswith(
        f"Content-Type: {kind or ''}: allowed are application"
    )


@pytest.mark.parametrize(
    ("method", "path", "status", "line"),
    [
        (
            "GET",
            "/../etc/passwd",
            404,
            "/../etc/passwd: there is nothing at this address",
        ),
        ("GET", "/healthz/", 404, "/healthz/: there is nothing at this address"),
        ("GET", "/v1/models/other", 404, "model other is not served; allowed is own"),
        ("GET", "/v1/predict", 405, "GET /v1/predict: allowed is POST"),
        ("DELETE", "/", 405, "DELETE /: allowed is GET, HEAD"),
    ],
)
def test_a_wrong_address_or_method(server, method, path, status, line):
    answer = server.ask(method, path)
    assert (answer.status, answer.error[: len(line)]) == (status, line)


def test_too_many_bytes_are_status_413(server):
    answer = server.post("/v1/predict", bytes(200_001), "image/png")
    assert answer.status == 413
    line = "a body of 200,001 bytes or more; allowed are 200,000 (--max_request_mb)"
    assert answer.error == line


def test_too_many_bytes_that_no_header_announces_are_status_413(server):
    chunks = (bytes(50_000) for _ in range(8))
    assert server.ask("POST", "/v1/predict", chunks, "image/png").status == 413


def test_too_many_pixels_are_status_422(server):
    answer = server.post("/v1/predict", photo(size=(400, 101), kind="GIF"), "image/gif")
    assert answer.status == 422
    told = "a GIF of 400x101 pixels; allowed are 40,000 in all"
    assert answer.error == f"image 1 is refused: {told}"
    assert server.post("/v1/cam", b"%PDF", "image/png").status == 422


def test_a_map_is_of_one_image(server):
    answer = server.post("/v1/cam", *form([("a", PHOTO), ("b", PHOTO)]))
    assert (answer.status, answer.error) == (400, "2 images; allowed is one for a map")


def test_more_images_than_the_queue_ever_holds_are_status_413(server):
    answer = server.post("/v1/predict", {"images": [BASE64] * 9})
    assert answer.status == 413
    assert answer.error == "9 images; allowed are 8 in one request"


class Slow:
    """A model that waits until it may go on."""

    name, class_names, label_offset = "slow", ("a", "b"), 0
    multi_label = has_maps = False
    image_size = 32

    def __init__(self):
        self.may_go = threading.Event()

    def prepare(self, encoded):
        return [np.zeros([1], "uint8") for _ in encoded]

    def predict(self, batch):
        assert self.may_go.wait(60)
        return np.full([len(batch), 2], 0.5, "float32")


def test_a_full_queue_is_status_429_and_empties_again():
    model, found = Slow(), []

    def ask():
        found.append(server.post("/v1/predict", PHOTO, "image/png").status)

    with serve_support.running(model, queue=3, max_batch=1) as server:
        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        wait(lambda: server.service.room.images == 3)
        answer = server.post("/v1/predict", PHOTO, "image/png")
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        assert answer.error.startswith("the server is busy: 3 images wait already")
        assert server.get("/readyz").status == 200
        model.may_go.set()
        for thread in threads:
            thread.join()
        assert found == [200] * 3
        assert server.post("/v1/predict", PHOTO, "image/png").status == 200


def test_a_client_that_goes_leaves_the_queue():
    model = Slow()
    with serve_support.running(model, queue=3, max_batch=1) as server:
        for _ in range(3):
            with server.connect() as client:
                client.sendall(head(len(PHOTO)) + PHOTO)
                wait(lambda: server.service.room.images == 1)
            wait(lambda: server.service.room.images == 0)
        model.may_go.set()
        assert server.post("/v1/predict", PHOTO, "image/png").status == 200
        # The first one was being predicted when its client went; the others were not.
        assert server.service.metrics.total("serve_batch_images_sum") == 2


def test_bodies_that_fill_the_memory_are_status_429(model):
    with serve_support.running(model, max_request_mb=0.01) as server:
        server.service.room.size = 32 * 10_000
        answer = server.post("/v1/predict", b"abc", "image/png")
        assert answer.status == 429
        server.service.room.size = 0


def test_a_model_that_fails_is_status_500_and_serves_on(model, caplog):
    with serve_support.running(model, batch_window_ms=0) as server:
        wrong = [np.zeros([2], "uint8")]
        served = server.service.served
        with mock.patch.object(served, "prepare", lambda _: wrong):
            answer = server.post("/v1/predict", PHOTO, "image/png")
        assert answer.status == 500
        assert answer.error == "the server failed at this request; its log tells why"
        assert server.post("/v1/predict", PHOTO, "image/png").status == 200


def head(length: int, more: str = "") -> bytes:
    return (
        "POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\n"
        f"Content-Length: {length}\r\n{more}\r\n"
    ).encode()


def wait(condition) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
