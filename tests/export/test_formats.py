"""Formats predict what the Keras model predicts, and those that do not are refused."""

import dataclasses
import importlib.util
import json
import pathlib
import runpy
import sys

import networks
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import efficientnet_tf as en
from efficientnet_tf.export import (
    artifact,
    client,
    formats,
    litert,
    network,
    parity,
    runtimes,
)

ALL = list(formats.FORMATS.values())


@pytest.fixture(scope="module")
def exported(classifier, photos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "all"
    result = artifact.save(
        classifier, str(folder), formats=ALL, photos=photos, is_gated=False
    )
    return folder, result["formats"]


@pytest.fixture(scope="module")
def pixels(classifier, photos):
    return np.stack([classifier.read_image(path) for path in photos])


@pytest.mark.parametrize("one", ALL, ids=lambda one: one.name)
def test_each_format_predicts_what_the_model_predicts(
    exported, classifier, pixels, one
):
    folder, _ = exported
    predict = runtimes.open_network(one.runtime, f"{folder}/{one.file}")
    found = [predict(x[np.newaxis].astype("float32")) for x in pixels]
    logits, probabilities = (np.concatenate(x) for x in zip(*found, strict=True))
    expected = classifier.predict(pixels)
    raw = np.asarray(classifier.model(pixels.astype("float32"), training=False))
    scale = np.abs(raw).max()
    exact = {"float32": 1e-5, "float16": 2e-3}
    if one.precision in exact:
        bound = exact[one.precision]
        np.testing.assert_allclose(logits, raw, atol=bound * scale)
        np.testing.assert_allclose(probabilities, expected, atol=bound)
    # The random classifier, 30 times as large, shows single logits far off at 8 bits.
    assert np.median(np.abs(logits - raw)) < 0.05 * scale
    if one.precision in ("float16", "bfloat16", "int8"):
        assert np.abs(logits - raw).max() > 1e-5 * scale  # the precision is another


@pytest.mark.parametrize("name", ["saved_model", "onnx"])
def test_batches_of_any_size_are_taken(exported, pixels, name):
    one = formats.FORMATS[name]
    predict = runtimes.open_network(one.runtime, f"{exported[0]}/{one.file}")
    for count in (1, 3, 8):
        singly = [predict(x[np.newaxis].astype("float32"))[1] for x in pixels[:count]]
        together = predict(pixels[:count].astype("float32"))[1]
        np.testing.assert_allclose(together, np.concatenate(singly), atol=1e-6)


@pytest.mark.parametrize("name", ["openvino", "openvino_int8"])
def test_openvino_files_are_reshaped_for_batches(exported, pixels, name):
    import openvino

    one = formats.FORMATS[name]
    path = f"{exported[0]}/{one.file}"
    singly = runtimes.open_network(one.runtime, path)
    model = openvino.Core().read_model(path)
    model.reshape([-1, 32, 32, 3])
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    together = openvino.compile_model(model, "CPU", hint)
    for count in (1, 3):
        images = pixels[:count].astype("float32")
        found = together({"images": images})["probabilities"]
        expected = [singly(image[np.newaxis])[1] for image in images]
        np.testing.assert_allclose(found, np.concatenate(expected), atol=1e-6)


def test_the_rows_say_how_formats_differ(exported, classifier, pixels):
    folder, rows = exported
    assert json.loads((folder / "report.json").read_text()) == rows
    assert list(rows) == list(formats.FORMATS)
    assert {row["images"] for row in rows.values()} == {20}  # 20 more are calibrated on
    for name, row in rows.items():
        bound = formats.FORMATS[name].difference
        assert 0 < row["mean_difference"] <= row["largest_difference"]
        assert row["mean_difference"] < bound
        assert row["latency_ms"] > 0


def test_an_export_has_all_that_a_server_needs(exported):
    folder, _ = exported
    text = (folder / "README.md").read_text()
    for one in ALL:
        assert f"client.py {one.file or '.'} photo.jpg" in text
    names = {path.name for path in folder.iterdir()}
    assert {"labels.txt", "preparation.json", "client.py", "report.json"} < names
    prepared = json.loads((folder / "preparation.json").read_text())
    told = {name: prepared[name] for name in ("image_size", "crop_fraction", "resize")}
    assert told == {"image_size": 32, "crop_fraction": 1.0, "resize": "bicubic"}


@pytest.mark.parametrize("one", ALL[:8], ids=lambda one: one.name)
def test_the_client_names_the_likeliest_classes(
    exported, classifier, photos, one, capsys, monkeypatch
):
    folder, _ = exported
    path = str(folder / one.file)
    monkeypatch.setattr(sys, "argv", ["client.py", path, photos[0], photos[1]])
    runpy.run_path(str(folder / "client.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == photos[0]
    assert lines[6] == photos[1]
    probabilities = classifier.predict([classifier.read_image(photos[0])])[0]
    if one.precision == "float32":
        expected = [
            f"{probabilities[k]:8.2%}  {classifier.class_names[k]}"
            for k in np.argsort(-probabilities)[:5]
        ]
        assert lines[1:6] == expected


@pytest.mark.parametrize("resize", ["bicubic", "bilinear"])
@pytest.mark.parametrize("fraction", [1.0, 0.875])
@pytest.mark.parametrize(("height", "width"), [(20, 61), (33, 32), (200, 150), (1, 9)])
def test_the_client_prepares_photos_as_evaluation_does(
    classifier, tmp_path, resize, fraction, height, width
):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 8
    path = str(tmp_path / "photo.png")
    Image.fromarray(pixels).save(path, exif=exif)
    preparation = dataclasses.replace(
        classifier.preparation, resize=resize, crop_fraction=fraction
    )
    expected = preparation.decode(pathlib.Path(path).read_bytes()).numpy()
    found = client.prepare(path, dataclasses.asdict(preparation))
    # One level where float32 and float64 round to different sides.
    assert np.abs(found[0] - expected).max() <= 1
    assert np.mean(found[0] != expected) < 0.01


@pytest.mark.parametrize(
    ("names", "photos", "message"),
    [
        (["onyx"], (), "export_formats=onyx: allowed are saved_model, .*mean onnx"),
        (["litert_int8"], (), "export_formats=litert_int8: name photos"),
        (["onnx", "openvino_int8"], (), "export_formats=openvino_int8: name photos"),
    ],
)
def test_formats_that_cannot_be_written_are_named(names, photos, message):
    with pytest.raises(ValueError, match=message):
        formats.find(names, photos=photos)


def test_missing_packages_are_named(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "nncf" else found(name),
    )
    with pytest.raises(ValueError, match=r"openvino_int8: needs nncf; pip install"):
        formats.find(["openvino", "openvino_int8"], photos=["a.jpg"])
    assert [one.name for one in formats.find(["openvino"])] == ["openvino"]


def row(**changes):
    return {
        "images": 50,
        "made_up": False,
        "agreement": 1.0,
        "mean_difference": 0.0,
        "largest_difference": 0.0,
    } | changes


@pytest.mark.parametrize(
    ("name", "changes", "told"),
    [
        ("litert", {}, None),
        ("litert", {"agreement": 0.99, "mean_difference": 9.9e-5}, None),
        ("litert", {"agreement": 0.98}, "litert agrees .* on 98.0% of 50 photos"),
        ("onnx", {"mean_difference": 1.1e-4}, "onnx changes probabilities by 0.00011"),
        ("litert_int8", {"agreement": 0.98}, None),
        ("litert_int8", {"agreement": 0.979}, "litert_int8 agrees .* 97.9%"),
        ("litert_int8", {"mean_difference": 0.06}, "litert_int8 .* by 0.06 on average"),
        ("litert", {"mean_difference": float("nan")}, "litert changes .* by nan"),
        # Made-up images have no likely class.
        ("litert", {"agreement": 0.1, "made_up": True}, None),
        ("litert", {"mean_difference": 0.1, "made_up": True}, "litert changes"),
    ],
)
def test_the_gate_refuses_what_differs_too_much(name, changes, told, capsys):
    rows = {"saved_model": row(), name: row(**changes)}
    if told is None:
        parity.check(rows, is_gated=True)
        return
    with pytest.raises(ValueError, match=f"export_formats: {told}"):
        parity.check(rows, is_gated=True)
    parity.check(rows, is_gated=False)
    assert capsys.readouterr().err.startswith(f"warning: {name} ")


def test_a_refused_export_leaves_the_one_before(
    classifier, photos, tmp_path, monkeypatch
):
    folder = tmp_path / "out"
    artifact.save(classifier, str(folder))
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    strict = dataclasses.replace(formats.FORMATS["litert_float16"], difference=1e-9)
    monkeypatch.setitem(formats.FORMATS, "litert_float16", strict)
    with pytest.raises(ValueError, match="litert_float16 changes probabilities"):
        artifact.save(classifier, str(folder), formats=[strict], photos=photos)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    after = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert after == before


def test_formats_without_a_saved_model_are_replaced_too(classifier, tmp_path):
    folder = tmp_path / "out"
    for name in ("onnx", "litert"):
        artifact.save(classifier, str(folder), formats=formats.find([name]))
    names = {path.name for path in folder.iterdir()}
    assert "model.tflite" in names
    assert "model.onnx" not in names


@pytest.mark.parametrize("size", [32, 24])
def test_a_smaller_network_has_the_same_weights(classifier, size):
    built = network.Network.smaller(classifier, size)
    images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3))
    logits, _ = built.predict(tf.constant(images, tf.float32))
    rebuilt = en.EfficientNet(
        networks.own(networks.ONE),
        classes=7,
        input_shape=(size, size, 3),
        classifier_activation=None,
    )
    rebuilt.set_weights(classifier.model.get_weights())
    np.testing.assert_allclose(logits, rebuilt(images), rtol=1e-4, atol=1e-5)


def test_layers_are_examined_with_fewer_pixels(
    classifier, photos, tmp_path, monkeypatch
):
    monkeypatch.setattr(artifact, "EXAMINED_SIZE", 24)
    asked = []
    examine = litert.layer_errors
    monkeypatch.setattr(
        litert, "layer_errors", lambda *of: asked.append(of) or examine(*of)
    )
    only = [formats.FORMATS["litert_int8"]]
    saved = artifact.save(
        classifier, str(tmp_path / "out"), formats=only, photos=photos, is_gated=False
    )
    ((built, pixels),) = asked
    assert built.image_size == 24 and {one.shape for one in pixels} == {(24, 24, 3)}
    names = {layer.name for layer in built.model.layers}
    assert {one["layer"] for one in saved["formats"]["litert_int8"]["layers"]} & names


def test_the_layer_that_eight_bits_break_is_found(classifier, pixels):
    built = network.Network.of(classifier)
    before = litert.layer_errors(built, list(pixels[:4]))
    assert {one["layer"] for one in before} & {one.name for one in built.model.layers}
    # One channel 100 times as large takes the range of all others.
    layer = built.model.get_layer("block1a_project_bn")
    kernel, bias = layer.get_weights()
    kernel[..., 0] *= 100
    layer.set_weights([kernel, bias])
    after = litert.layer_errors(built, list(pixels[:4]))
    noise = {one["layer"]: one["noise"] for one in before}
    assert after[0]["layer"] == layer.name
    assert after[0]["noise"] > 20 * noise[layer.name]
    assert after == sorted(after, key=lambda one: -one["noise"])
