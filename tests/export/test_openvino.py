"""OpenVINO's files: what is stored in 16 bits, and what is computed in float32."""

import keras
import numpy as np
import openvino
import pytest

import efficientnet_tf as en
from efficientnet_tf.export import bfloat16, inference_graph
from efficientnet_tf.export import openvino as written
from efficientnet_tf.export.network import Network
from efficientnet_tf.hardware import machine

# What reads the stem's outputs, up to convolutions; a skip connection does not count.
FIRST = {
    "efficientnet-b0": ["Add", "Swish", "GroupConvolution"],
    "efficientnet-lite0": ["Add", "Clamp", "GroupConvolution"],
    "efficientnetv2-s": ["Add", "Swish", "Convolution"],
    "mobilenet-v2": ["Add", "Clamp", "GroupConvolution"],
    "resnet-50": ["Add", "Relu", "Pad", "MaxPool", "Convolution", "Convolution"],
}


@pytest.fixture(scope="module")
def pixels(classifier, photos):
    return [classifier.read_image(path).numpy() for path in photos]


@pytest.fixture(scope="module")
def folder(classifier, pixels, tmp_path_factory):
    """The same network in three precisions."""
    folder = tmp_path_factory.mktemp("openvino")
    network = Network.of(classifier)
    for precision in ("float32", "bfloat16", "int8"):
        path = str(folder / f"{precision}.xml")
        written.write(network, path, precision=precision, photos=pixels[:20])
    return folder


def convolutions(path, precision):
    """The precision of each convolution as the runtime computes it, in order."""
    hint = {"INFERENCE_PRECISION_HINT": precision}
    runtime = openvino.Core().compile_model(path, "CPU", hint).get_runtime_model()
    found = [operation.get_rt_info() for operation in runtime.get_ordered_ops()]
    return [
        info["runtimePrecision"].astype(str)
        for info in found
        if info["layerType"].astype(str) in ("Convolution", "GroupConvolution")
    ]


def marked(path):
    file = openvino.Core().read_model(path)
    return [
        node.get_type_name()
        for node in file.get_ordered_ops()
        if any("DisablePrecision" in key for key in node.get_rt_info())
    ]


@pytest.mark.parametrize("name", FIRST)
def test_what_reads_the_stem_is_kept_in_float32(tmp_path, name):
    model = en.EfficientNet(name, input_shape=(64, 64, 3), classifier_activation=None)
    built = inference_graph.build(model)
    stem = next(one for one in built.layers if isinstance(one, keras.layers.Conv2D))
    stem.bias.assign(stem.bias + 1)  # of zeros, OpenVINO drops the Add
    path = str(tmp_path / "model.xml")
    written.write(Network(built, 64), path, precision="bfloat16")
    assert marked(path) == FIRST[name]


def test_the_runtime_computes_the_rest_in_bfloat16(folder):
    able = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    short = "bf16" if "BF16" in able else "f32"
    found = convolutions(f"{folder}/bfloat16.xml", "bf16")
    assert [found[0], *found[2:]] == [short] * (len(found) - 1)
    assert found[1] == "f32"
    assert set(convolutions(f"{folder}/bfloat16.xml", "f32")) == {"f32"}


def test_the_first_two_convolutions_have_no_8_bits(folder):
    found = convolutions(f"{folder}/int8.xml", "f32")
    assert found[:2] == ["f32", "f32"]
    assert set(found[2:]) <= {"u8", "i8"}


@pytest.mark.parametrize(
    ("avx2", "vnni", "most"),
    [(True, False, 64), (True, True, 128), (False, False, 128)],
)
def test_weights_of_8_bits_do_not_overflow_without_vnni(
    classifier, pixels, tmp_path, monkeypatch, avx2, vnni, most
):
    monkeypatch.setattr(machine, "has_avx2", lambda: avx2)
    monkeypatch.setattr(machine, "has_vnni", lambda: vnni)
    path = str(tmp_path / "model.xml")
    written.write(Network.of(classifier), path, precision="int8", photos=pixels[:4])
    weights = [
        np.abs(node.data.astype(int)).max()
        for node in openvino.Core().read_model(path).get_ordered_ops()
        if node.get_type_name() == "Constant"
        and node.get_element_type() == openvino.Type.i8
        and len(node.shape) < 5  # a depthwise convolution adds no channels up
    ]
    assert len(weights) >= 4
    assert most / 2 < max(weights) <= most


def test_rounded_weights_are_stored_in_16_bits(folder, classifier, pixels):
    rounded = bfloat16.rounded(Network.of(classifier), pixels[:20])
    whole, half = (
        (folder / f"{name}.bin").stat().st_size for name in ("float32", "bfloat16")
    )
    assert 0.48 * whole < half < 0.55 * whole
    network = openvino.Core().compile_model(
        f"{folder}/bfloat16.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    for image in pixels[20:24]:
        image = image[np.newaxis].astype("float32")
        expected = np.asarray(rounded.model(image, training=False))
        found = network({"images": image})["logits"]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_without_photos_weights_stay_as_they_are(classifier, pixels, tmp_path):
    path = str(tmp_path / "model.xml")
    written.write(Network.of(classifier), path, precision="bfloat16")
    network = openvino.Core().compile_model(
        path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    image = pixels[0][np.newaxis].astype("float32")
    expected = np.asarray(classifier.model(image, training=False))
    found = network({"images": image})["logits"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
