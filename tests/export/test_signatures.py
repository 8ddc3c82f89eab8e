"""What a SavedModel answers to images and pixels, good and bad."""

import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from efficientnet_tf.export import artifact, network, saved_model
from efficientnet_tf.inference import cam

_MAX_PIXELS = 5_000


@pytest.fixture(scope="module")
def signatures(classifier, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("export") / "model")
    artifact.save(classifier, folder, max_pixels=_MAX_PIXELS)
    loaded = tf.saved_model.load(folder)
    yield loaded.signatures
    assert loaded is not None  # its functions need it


def encode(image, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def image(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.fixture(scope="module")
def good():
    return [encode(image(40, 50)), encode(image(64, 48, 1), "JPEG")]


def answers(signatures, encoded):
    found = signatures["serving_default"](encoded=tf.constant(encoded, tf.string))
    return {name: tensor.numpy() for name, tensor in found.items()}


BAD = {
    "text": b"no image at all",
    "empty": b"",
    "GZIP": b"\x1f\x8b\x08\x00" + bytes(40),
    "PNG cut short": encode(image(40, 50))[:900],
    "JPEG cut short": encode(image(64, 48), "JPEG")[:300],
    "JPEG of a header": b"\xff\xd8\xff\xe0\x00\x10JFIF",
    "PNG of a header": b"\x89PNG\r\n\x1a\n",
    "WebP of a header": b"RIFF\x10\x00\x00\x00WEBPVP8 ",
    "BMP of a header": b"BM",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_image_does_not_fail_its_batch(signatures, classifier, good, bad, place):
    encoded = list(good)
    encoded.insert(place, bad)
    found = answers(signatures, encoded)
    expected = [number != place for number in range(3)]
    np.testing.assert_array_equal(found["valid"], expected)
    assert found["reason"][place] == saved_model.NO_IMAGE
    assert (found["classes"][place], found["class_names"][place]) == (-1, b"")
    np.testing.assert_array_equal(found["probabilities"][place], np.zeros(7))
    others = np.delete(found["probabilities"], place, 0)
    images = [classifier.preparation.decode(one) for one in good]
    np.testing.assert_allclose(others, classifier.predict(images), atol=1e-5)
    assert set(np.delete(found["reason"], place)) == {saved_model.ANSWERED}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize(("height", "width"), [(50, 100), (51, 100), (100, 51)])
def test_an_image_of_too_many_pixels_is_not_decoded(signatures, kind, height, width):
    found = answers(signatures, [encode(image(height, width), kind)])
    is_small = height * width <= _MAX_PIXELS
    assert found["valid"].tolist() == [is_small]
    assert found["reason"].tolist() == [0 if is_small else saved_model.TOO_LARGE]


def test_a_batch_of_bad_images_alone_is_answered(signatures):
    found = answers(signatures, list(BAD.values()))
    assert not found["valid"].any()
    assert np.isfinite(found["probabilities"]).all()


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("tensor", {"logits": (0, 7), "probabilities": (0, 7)}),
        ("tensor_uint8", {"logits": (0, 7), "probabilities": (0, 7)}),
        ("features", {"features": (0, 32)}),
        ("cam", {"maps": (0, 8, 8), "classes": (0,)}),
    ],
)
def test_a_batch_of_no_images_is_answered(signatures, name, outputs):
    dtype = tf.uint8 if name == "tensor_uint8" else tf.float32
    found = signatures[name](images=tf.zeros([0, 32, 32, 3], dtype))
    assert {key: tuple(value.shape) for key, value in found.items()} == outputs


def test_decoded_files_are_what_tensor_takes(signatures, classifier, good):
    found = signatures["decode"](encoded=tf.constant([good[0], b"", good[1]]))
    assert found["valid"].numpy().tolist() == [True, False, True]
    images = found["images"].numpy()
    expected = [classifier.preparation.decode(one) for one in good]
    np.testing.assert_array_equal(images[[0, 2]], expected)
    np.testing.assert_array_equal(images[1], 0)
    predicted = signatures["tensor_uint8"](images=found["images"])["probabilities"]
    served = answers(signatures, [good[0], b"", good[1]])["probabilities"]
    np.testing.assert_allclose(predicted.numpy()[[0, 2]], served[[0, 2]], atol=1e-6)


def test_a_batch_of_no_files_is_answered(signatures):
    found = answers(signatures, [])
    assert {len(value) for value in found.values()} == {0}


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (1, 32, 31, 3), (1, 32, 32, 1)])
@pytest.mark.parametrize("name", ["tensor", "tensor_uint8", "features", "cam"])
def test_pixels_of_another_size_are_refused(signatures, name, shape):
    dtype = tf.uint8 if name == "tensor_uint8" else tf.float32
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="32,32,3"):
        signatures[name](images=tf.zeros(shape, dtype))


def test_features_and_maps_are_those_of_the_keras_model(signatures, classifier):
    images = np.stack([image(32, 32, seed) for seed in range(3)]).astype("float32")
    expected = cam.cam(classifier.model, images)
    found = signatures["cam"](images=tf.constant(images))
    np.testing.assert_array_equal(found["classes"], expected.classes)
    np.testing.assert_allclose(found["maps"], expected.raw, rtol=1e-4, atol=1e-4)
    # The mean of a map and the class's bias are its logit.
    logits = signatures["tensor"](images=tf.constant(images))["logits"].numpy()
    kernel, bias = classifier.model.layers[-1].get_weights()
    means = found["maps"].numpy().mean((1, 2)) + bias[expected.classes]
    np.testing.assert_allclose(means, logits.max(1), rtol=1e-4)
    features = signatures["features"](images=tf.constant(images))["features"]
    np.testing.assert_allclose(features @ kernel + bias, logits, rtol=1e-4, atol=1e-4)


def test_a_network_without_a_head_has_no_maps(classifier, tmp_path):
    model = network.Network.of(classifier).model
    other = keras.Model(model.inputs, keras.layers.Activation("tanh")(model.outputs[0]))
    other = keras.Model(model.inputs, other.outputs[0] + 0.0)
    headless = network.Network(other, 32)
    saved_model.write(classifier, headless, str(tmp_path), max_pixels=100)
    loaded = tf.saved_model.load(str(tmp_path))
    expected = {"serving_default", "decode", "tensor", "tensor_uint8"}
    assert set(loaded.signatures) == expected
