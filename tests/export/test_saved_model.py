"""The SavedModel's signatures and the names of its classes."""

import dataclasses
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.protobuf import saved_model_pb2

from efficientnet_tf.data import digits
from efficientnet_tf.export import artifact, inference_graph, network

NAMES = ("ant", "bee", "Käfer", "dog", "eel", "fly")


@pytest.fixture(scope="module")
def exported(classifier, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    assert artifact.save(classifier, str(folder))["export_dir"] == str(folder)
    return folder


def test_labels_name_every_output(exported):
    text = (exported / "labels.txt").read_text(encoding="utf-8")
    assert text.splitlines() == ["background", *NAMES]


def test_a_rest_client_can_ask_for_names(exported):
    # {"instances": [{"b64": ...}]} needs one string input; the answer's rows need the
    # batch for the first axis of every output, and text in every string.
    serve = tf.saved_model.load(str(exported)).signatures["serving_default"]
    (encoded,) = serve.structured_input_signature[1].values()
    assert (encoded.name, encoded.dtype, encoded.shape) == (
        "encoded",
        tf.string,
        [None],
    )
    found = {
        name: (spec.dtype.name, spec.shape.as_list())
        for name, spec in serve.structured_outputs.items()
    }
    assert found == {
        "probabilities": ("float32", [None, 7]),
        "classes": ("int64", [None]),
        "class_names": ("string", [None]),
        "top_k_classes": ("int32", [None, 5]),
        "top_k_names": ("string", [None, 5]),
        "top_k_probabilities": ("float32", [None, 5]),
        "valid": ("bool", [None]),
        "reason": ("int32", [None]),
    }


def test_names_are_those_of_the_ranked_classes(exported, classifier):
    images = [np.full((8, 8), grey) for grey in (0, 5, 16)]
    encoded = [digits.encode_jpeg(image) for image in images]
    serve = tf.saved_model.load(str(exported)).signatures["serving_default"]
    outputs = {name: x.numpy() for name, x in serve(tf.constant(encoded)).items()}
    labels = np.array(["background", *NAMES])
    for ranked, names in (("classes", "class_names"), ("top_k_classes", "top_k_names")):
        told = np.vectorize(bytes.decode)(outputs[names])
        np.testing.assert_array_equal(told, labels[outputs[ranked]])
    np.testing.assert_array_equal(outputs["classes"], outputs["top_k_classes"][:, 0])
    expected = classifier.predict([classifier.preparation.decode(e) for e in encoded])
    np.testing.assert_allclose(outputs["probabilities"], expected, atol=1e-5)


def test_each_weight_is_written_once(exported, classifier):
    graph = saved_model_pb2.SavedModel.FromString(
        (exported / "saved_model.pb").read_bytes()
    ).meta_graphs[0]
    functions = graph.graph_def.library.function
    nodes = [node for function in functions for node in function.node_def]
    constants = [node.attr["value"].tensor for node in nodes if node.op == "Const"]
    sizes = [tf.make_ndarray(one).size for one in constants if one.dtype == 1]
    model = inference_graph.build(classifier.model)
    weights = [weight.numpy().size for weight in model.weights]
    # Other constants are the mean of a row of pixels and a few single numbers.
    sizes.remove(32 * 3)
    assert sorted(s for s in sizes if s > 4) == sorted(s for s in weights if s > 4)
    assert model.count_params() < classifier.model.count_params()
    # Nothing is left to load beside the graph.
    written = tf.train.load_checkpoint(str(exported / "variables/variables"))
    assert set(written.get_variable_to_shape_map()) == {"_CHECKPOINTABLE_OBJECT_GRAPH"}


def test_weights_that_no_graph_holds_stay_variables(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(network, "CONSTANT_BYTES", 1000)
    artifact.save(classifier, str(tmp_path / "model"))
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    got = loaded.signatures["tensor"](tf.constant(images))["logits"]
    expected = classifier.model(images, training=False)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert len(loaded.weights) == len(inference_graph.build(classifier.model).weights)
    # TensorFlow Serving and the C API load it as a session does.
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        info = tf.compat.v1.saved_model.load(
            session, ["serve"], str(tmp_path / "model")
        )
        tensor = info.signature_def["tensor"]
        got = session.run(
            tensor.outputs["logits"].name, {tensor.inputs["images"].name: images}
        )
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_images_are_turned_upright_as_predict_and_cam_turn_them(
    exported, classifier, tmp_path
):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned clockwise for display
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    Image.fromarray(np.rot90(pixels, -1)).save(tmp_path / "upright.png")
    paths = [tmp_path / "photo.png", tmp_path / "upright.png"]
    images = [classifier.read_image(str(path)) for path in paths]
    np.testing.assert_array_equal(*images)
    serve = tf.saved_model.load(str(exported)).signatures["serving_default"]
    served = serve(tf.constant([path.read_bytes() for path in paths]))
    np.testing.assert_allclose(
        served["probabilities"], classifier.predict(images), atol=1e-5
    )


def test_a_model_without_names_serves_numbers(tmp_path, classifier):
    model = classifier.model
    named = model.passport
    model.passport = dataclasses.replace(named, class_names=None)
    try:
        unnamed = dataclasses.replace(classifier)
        artifact.save(unnamed, str(tmp_path / "model"))
    finally:
        model.passport = named
    lines = (tmp_path / "model/labels.txt").read_text().splitlines()
    assert lines == ["background", *(f"class {number}" for number in range(6))]


def test_an_export_with_labels_is_replaced(tmp_path, exported, classifier):
    folder = pathlib.Path(tmp_path, "model")
    for _ in range(2):
        artifact.save(classifier, str(folder))
    assert (folder / "labels.txt").read_bytes() == (
        exported / "labels.txt"
    ).read_bytes()


def test_a_folder_of_labels_alone_is_no_export(tmp_path, classifier):
    (tmp_path / "labels.txt").write_text("the user's own\n")
    with pytest.raises(ValueError, match=r"holds labels\.txt and no SavedModel"):
        artifact.save(classifier, str(tmp_path))
    assert (tmp_path / "labels.txt").read_text() == "the user's own\n"
