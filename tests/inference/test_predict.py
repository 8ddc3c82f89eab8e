"""Predictions of image files, however many there are."""

import networks
import numpy as np
import PIL.Image
import pytest
import weight_helpers

import efficientnet_tf as en
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.inference import predict
from efficientnet_tf.inference.classifier import Classifier

WHOLE = Preparation(32, 1.0, "bicubic")  # images of 32x32 pixels as they are


def test_an_image_of_another_file_system_is_named():
    with pytest.raises(
        ValueError, match=r"image file s3://b/x\.jpg: allowed are paths"
    ):
        Classifier(None, WHOLE).read_image("s3://b/x.jpg")


@pytest.mark.parametrize("count", [1, 32, 33])
def test_every_file_gets_what_its_image_gets_alone(count, tmp_path):
    model = en.EfficientNet(
        networks.own(*networks.TINY.split(",")),
        classes=7,
        input_shape=(32, 32, 3),
        classifier_activation=None,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), "uint8")
    weight_helpers.randomize(model, seed=1)
    weight_helpers.calibrate(model, weight_helpers.images(32, batch=8))
    paths = [str(tmp_path / f"{number}.png") for number in range(count)]
    for path, image in zip(paths, pixels, strict=True):
        PIL.Image.fromarray(image).save(path)
    found = predict.predict_files(Classifier(model, WHOLE), paths, top_k=7)
    assert [one["file"] for one in found] == paths
    for image, one in zip(pixels, found, strict=True):
        logits = np.asarray(model(image[np.newaxis]))[0].astype("float64")
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        ranked = {p["class"]: p["probability"] for p in one["predictions"]}
        assert list(ranked) == np.argsort(-expected).tolist()
        got = [ranked[number] for number in range(7)]
        np.testing.assert_allclose(got, expected, atol=1e-5)
