"""An exported model answers as the classifier that it was exported from."""

import base64
import shutil

import numpy as np
import pytest
import serve_support
import tensorflow as tf

from efficientnet_tf.export import artifact
from efficientnet_tf.serve import served

NAME = "own"  # of the network
PHOTOS = [serve_support.photo(number) for number in range(3)]


@pytest.fixture(scope="module")
def folder(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "flowers"
    return artifact.save(classifier, str(path))["export_dir"]


def test_it_predicts_what_the_classifier_predicts(classifier, folder):
    model = served.ServedSavedModel(f"{folder}/")
    assert (model.name, model.image_size) == (NAME, serve_support.SIZE)
    assert model.class_names == serve_support.NAMES
    images = served.ServedClassifier(classifier)
    expected = classifier.predict(np.stack(images.prepare(PHOTOS)))
    files = [base64.b64encode(one).decode() for one in (PHOTOS[0], b"GIF8", PHOTOS[2])]
    with serve_support.running(model) as server:
        answer = server.post("/v1/predict", {"images": files, "top_k": 6})
        first, wrong, last = answer.json["results"]
        for result, row in ((first, expected[0]), (last, expected[2])):
            found = {one["class"]: one["probability"] for one in result["predictions"]}
            np.testing.assert_allclose([found[n] for n in range(6)], row, atol=1e-6)
        assert "a GIF cut short" in wrong["error"]
        half = PHOTOS[1][: len(PHOTOS[1]) // 2]
        assert server.post("/v1/predict", half, "image/png").status == 422
        assert server.get(f"/v1/models/{NAME}").status == 200


def test_rest_answers_have_the_outputs_of_the_saved_model(classifier, folder):
    signature = tf.saved_model.load(folder).signatures["serving_default"]
    direct = signature(encoded=tf.constant(PHOTOS))
    model = served.ServedClassifier(classifier)
    files = [{"b64": base64.b64encode(one).decode()} for one in PHOTOS]
    with serve_support.running(model) as server:
        path = f"/v1/models/{NAME}:predict"
        rows = server.post(path, {"instances": files}).json["predictions"]
    assert {name for row in rows for name in row} == set(direct)
    for name, values in direct.items():
        expected = np.vectorize(bytes.decode)(values) if "names" in name else values
        found = np.array([row[name] for row in rows])
        if values.dtype == tf.float32:
            np.testing.assert_allclose(found, expected, atol=1e-6)
        else:
            np.testing.assert_array_equal(found, expected)


def test_it_draws_the_maps_that_the_classifier_draws(classifier, folder):
    models = served.ServedClassifier(classifier), served.ServedSavedModel(folder)
    assert models[0].has_maps and models[1].has_maps
    for photo in PHOTOS:
        drawn = [model.overlay(model.prepare([photo])[0]) for model in models]
        first, second = (tf.io.decode_png(one).numpy().astype(int) for one in drawn)
        assert first.shape == (serve_support.SIZE, serve_support.SIZE, 3)
        assert np.abs(first - second).max() <= 2
        assert np.ptp(first) > 20


def test_an_export_of_an_older_version_is_refused(folder, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    (old / "preparation.json").unlink()
    with pytest.raises(ValueError, match=r"no preparation\.json; export it anew"):
        served.ServedSavedModel(str(old))


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=f"export_dir={tmp_path}: holds no SavedModel"):
        served.ServedSavedModel(str(tmp_path))
