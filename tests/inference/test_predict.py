"""Predictions of image files, however many there are."""

import dataclasses
import os

import networks
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import weight_helpers
from slow_cases import slow

import efficientnet_tf as en
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.inference import classifier, predict
from efficientnet_tf.inference.classifier import Classifier

WHOLE = Preparation(32, 1.0, "bicubic")  # images of 32x32 pixels as they are


def test_an_image_of_another_file_system_is_named():
    with pytest.raises(
        ValueError, match=r"image file s3://b/x\.jpg: allowed are paths"
    ):
        Classifier(None, WHOLE).read_image("s3://b/x.jpg")


@pytest.fixture(scope="module")
def model():
    return en.EfficientNet(
        networks.own(*networks.TINY.split(",")),
        classes=7,
        input_shape=(32, 32, 3),
        classifier_activation=None,
    )


@pytest.mark.parametrize("count", [33, *slow(1, 32)])
def test_every_file_gets_what_its_image_gets_alone(model, count, tmp_path):
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
        assert all(p["name"] == f"class {p['class']}" for p in one["predictions"])
        assert list(ranked) == np.argsort(-expected).tolist()
        got = [ranked[number] for number in range(7)]
        np.testing.assert_allclose(got, expected, atol=1e-5)


def write(path, number=0):
    pixels = np.random.default_rng(number).integers(0, 256, (32, 32, 3), "uint8")
    PIL.Image.fromarray(pixels).save(path, "PNG")


def test_files_that_cannot_be_read_are_named_and_the_others_predicted(model, tmp_path):
    paths = [str(tmp_path / f"{number}.png") for number in range(40)]
    for path in paths:
        write(path)
    broken = {
        5: (b"no image", "cannot be decoded (no image of a known format"),
        6: (b"", "cannot be decoded (an empty file)"),
        39: (b"\xff\xd8\xff", "cannot be decoded ("),
    }
    for number, (content, _) in broken.items():
        with open(paths[number], "wb") as file:
            file.write(content)
    missing = str(tmp_path / "none.png")
    found = list(predict.predict_each(Classifier(model, WHOLE), [*paths, missing]))
    assert [one["file"] for one in found] == [*paths, missing]
    for number, one in enumerate(found[:40]):
        if number in broken:
            told = f"image file {paths[number]} {broken[number][1]}"
            assert one["error"].startswith(told) and "{{" not in one["error"]
        else:
            best, expected = one["predictions"][0], found[0]["predictions"][0]
            # Batches of other sizes add in another order.
            assert best == expected | {
                "probability": pytest.approx(expected["probability"], rel=1e-5)
            }
    assert found[40]["error"] == f"image file {missing} does not exist"
    with pytest.raises(ValueError) as error:
        predict.predict_files(Classifier(model, WHOLE), paths)
    assert str(error.value) == found[5]["error"]


def test_no_more_than_a_batch_of_images_is_held(model, tmp_path, monkeypatch):
    write(tmp_path / "photo.png")
    read, held = Classifier.read_image, []

    def counting(self, path):
        held.append(path)
        return read(self, path)

    monkeypatch.setattr(Classifier, "read_image", counting)
    paths = [str(tmp_path / "photo.png")] * 100
    found = predict.predict_each(Classifier(model, WHOLE), paths)
    for number, _ in enumerate(found):
        assert len(held) == min(100, (number // 32 + 1) * 32)


@pytest.mark.parametrize(("size", "most"), [(300, 32), (301, 31), (600, 8), (2000, 1)])
def test_fewer_large_images_are_predicted_at_once(size, most, monkeypatch):
    def counted(model, batch):
        count = tf.shape(batch)[0]
        return {"probabilities": tf.fill([count, 1], count)}

    monkeypatch.setattr(classifier, "classify", counted)
    preparation = Preparation(size, 1.0, "bicubic", exif=True)
    images = [np.zeros((size, size, 3), "uint8")] * (most + 1)
    found = Classifier(None, preparation).predict(images)
    assert found[:, 0].tolist() == [most] * most + [1]


def test_a_folder_that_is_no_file_and_a_name_that_is_no_text(model, tmp_path):
    path = os.fsencode(tmp_path) + b"/\xff.png"
    write(tmp_path / "photo.png")
    os.rename(tmp_path / "photo.png", path)
    names = [os.fsdecode(path), str(tmp_path)]
    one, folder = predict.predict_each(Classifier(model, WHOLE), names)
    assert os.fsencode(one["file"]) == path and len(one["predictions"]) == 5
    assert folder["error"].startswith(f"image file {tmp_path} cannot be read (")


def test_names_are_the_models_and_a_background_class_comes_before(model, tmp_path):
    names = ("ant", "bee", "cat", "dog", "eel", "fly")
    stated = model.passport
    model.passport = dataclasses.replace(stated, class_names=names)
    classifier = Classifier(model, WHOLE, label_offset=1)
    assert classifier.class_names == ("background", *names)
    write(tmp_path / "photo.png")
    (found,) = predict.predict_files(classifier, [str(tmp_path / "photo.png")], top_k=9)
    told = {one["class"]: one["name"] for one in found["predictions"]}
    assert told == {-1: "background", **dict(enumerate(names))}
    model.passport = stated
