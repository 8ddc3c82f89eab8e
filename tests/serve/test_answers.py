"""What the server answers is what the classifier predicts, in every form."""

import base64
import io
import re

import numpy as np
import pytest
import serve_support
from PIL import Image

from efficientnet_tf.inference import cam, cam_pictures

PHOTOS = [serve_support.photo(number) for number in range(3)]
TF_SERVING = "/v1/models/own"


@pytest.fixture(scope="module")
def expected(classifier, tmp_path_factory):
    """What the classifier predicts of the photos' files, float32 [3, 6]."""
    folder = tmp_path_factory.mktemp("photos")
    images = []
    for number, photo in enumerate(PHOTOS):
        path = folder / f"{number}.png"
        path.write_bytes(photo)
        images.append(classifier.read_image(str(path)))
    return classifier.predict(images)


def base64_of(photo: bytes) -> str:
    return base64.b64encode(photo).decode()


def check(predictions, probabilities, count=5):
    """Compares a ranked list with the probabilities of all classes."""
    order = np.argsort(-probabilities)[:count].tolist()
    assert [one["class"] for one in predictions] == order
    assert [one["name"] for one in predictions] == [
        serve_support.NAMES[number] for number in order
    ]
    found = [one["probability"] for one in predictions]
    np.testing.assert_allclose(found, probabilities[order], atol=1e-6)


def test_json(server, expected):
    images = [base64_of(photo) for photo in PHOTOS]
    answer = server.post("/v1/predict", {"images": images, "top_k": 6})
    assert answer.status == 200
    results = answer.json["results"]
    for result, probabilities in zip(results, expected, strict=True):
        check(result["predictions"], probabilities, 6)
    assert answer.json["milliseconds"] > 0


def test_a_form_repeats_the_names_of_its_files(server, expected):
    files = [(f"{number}.png", photo) for number, photo in enumerate(PHOTOS)]
    answer = server.post("/v1/predict", *serve_support.form(files, top_k="2"))
    assert answer.status == 200
    for number, result in enumerate(answer.json["results"]):
        assert result["file"] == f"{number}.png"
        check(result["predictions"], expected[number], 2)


@pytest.mark.parametrize("kind", ["image/png", "image/*", "application/octet-stream"])
def test_an_image_alone(server, expected, kind):
    answer = server.post("/v1/predict?top_k=3", PHOTOS[1], kind)
    (result,) = answer.json["results"]
    check(result["predictions"], expected[1], 3)


def test_an_image_that_cannot_be_decoded_does_not_stop_the_others(server, expected):
    images = [base64_of(PHOTOS[0]), base64_of(b"II*\0"), "?", 7, base64_of(PHOTOS[2])]
    answer = server.post("/v1/predict", {"images": images})
    assert answer.status == 200 and "error" not in answer.json
    first, *wrong, last = answer.json["results"]
    check(first["predictions"], expected[0])
    check(last["predictions"], expected[2])
    lines = [one["error"] for one in wrong]
    assert lines[0].startswith("image 2 is refused: a TIFF; allowed are JPEG")
    assert lines[1].startswith("image 3 is refused: no base64")
    assert lines[2] == "image 4 is refused: int in place of a text of base64"


def test_tensorflow_servings_rows(server, expected):
    instances = [
        {"b64": base64_of(PHOTOS[0])},
        {"encoded": {"b64": base64_of(PHOTOS[1])}},
    ]
    request = {"signature_name": "serving_default", "instances": instances}
    answer = server.post(f"{TF_SERVING}:predict", request)
    assert answer.status == 200
    for one, probabilities in zip(answer.json["predictions"], expected, strict=False):
        np.testing.assert_allclose(one["probabilities"], probabilities, atol=1e-6)
        order = np.argsort(-probabilities)[:5].tolist()
        names = [serve_support.NAMES[number] for number in order]
        assert (one["classes"], one["top_k_classes"]) == (order[0], order)
        assert (one["class_names"], one["top_k_names"]) == (names[0], names)
        best = probabilities[order]
        np.testing.assert_allclose(one["top_k_probabilities"], best, atol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_tensorflow_servings_columns(server, expected, nested):
    inputs = [{"b64": base64_of(photo)} for photo in PHOTOS]
    request = {"inputs": {"encoded": inputs} if nested else inputs}
    answer = server.post(f"{TF_SERVING}:predict", request)
    outputs = answer.json["outputs"]
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-6)
    assert outputs["classes"] == expected.argmax(1).tolist()


def test_tensorflow_servings_state(server):
    (state,) = server.get(TF_SERVING).json["model_version_status"]
    assert state["state"] == "AVAILABLE"


def test_a_map_is_the_one_of_the_command(server, classifier):
    answer = server.post("/v1/cam", PHOTOS[0], "image/png")
    assert (answer.status, answer.headers["content-type"]) == (200, "image/png")
    (image,) = server.service.served.prepare([PHOTOS[0]])
    found = cam.cam(classifier.model, image[np.newaxis])
    with Image.open(io.BytesIO(answer.body)) as drawn:
        expected = cam_pictures.overlay(image, found.maps[0])
        np.testing.assert_array_equal(np.asarray(drawn), expected)


def test_health_readiness_and_metrics(server):
    assert server.get("/healthz").json == {"status": "ok"}
    assert server.get("/readyz").json == {"status": "ready"}
    server.post("/v1/predict", PHOTOS[0], "image/png")
    text = server.get("/metrics").body.decode()
    predicted = re.search(
        r'^serve_images_total\{result="predicted"\} (\S+)', text, re.M
    )
    assert float(predicted[1]) >= 1
    assert 'serve_requests_total{route="predict",status="200"}' in text
    assert "serve_queue_images 0.0" in text
    assert "serve_batch_images_count" in text


def test_every_address_is_described(server):
    paths = set(server.get("/openapi.json").json["paths"])
    assert paths == {
        *("/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"),
        *("/v1/predict", "/v1/cam", TF_SERVING, f"{TF_SERVING}:predict"),
    }
    shown = server.get("/docs").body.decode()
    assert all(f"{path}</code>" in shown for path in paths)


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_pages_load_nothing_and_escape_names(server, path):
    answer = server.get(path)
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    text = answer.body.decode()
    assert not re.search(r"(src|href|action)=.(https?:)?//|url\(|@import", text)
    assert "<b>roses" not in text
