"""Files of large networks: what is left out of a conversion, and what has no room."""

import gc
import weakref

import keras
import numpy as np
import pytest
from onnx import load, numpy_helper
from tensorflow.python.framework import ops

from efficientnet_tf.export import (
    artifact,
    bfloat16,
    formats,
    frozen_graph,
    litert,
    network,
    onnx,
    openvino,
    runtimes,
)


@pytest.fixture(scope="module")
def built(classifier):
    return network.Network.of(classifier)


@pytest.fixture
def file(built, tmp_path, monkeypatch) -> str:
    """An ONNX file of a network whose every weight the converter does not see."""
    monkeypatch.setattr(onnx, "_LARGE", 16)
    path = str(tmp_path / "model.onnx")
    onnx.write(built, path, precision="float32")
    return path


def test_weights_that_the_converter_does_not_see_are_in_the_file(built, file):
    images = np.random.default_rng(0).uniform(0, 255, (3, 32, 32, 3)).astype("float32")
    predict = runtimes.open_network("onnx", file)
    logits, probabilities = predict(images)
    expected = keras.ops.convert_to_numpy(built.model(images, training=False))
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    softmax = np.exp(expected - expected.max(-1, keepdims=True))
    softmax /= softmax.sum(-1, keepdims=True)
    np.testing.assert_allclose(probabilities, softmax, atol=1e-5)


def test_kernels_are_laid_out_in_the_file(built, file):
    graph = load(file).graph
    assert [one.name for one in graph.input] == ["images"]
    given = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Transpose", "Reshape"):
            assert node.input[0] not in given
    layer = built.model.get_layer("block1a_project_bn")
    kernels = (one for name, one in given.items() if layer.name in name)
    (kernel,) = (one for one in kernels if one.ndim == 4)
    np.testing.assert_array_equal(kernel, layer.get_weights()[0].transpose(3, 2, 0, 1))


@pytest.mark.parametrize("one", [litert, onnx, openvino])
def test_weights_that_no_file_holds_are_refused(built, tmp_path, monkeypatch, one):
    monkeypatch.setattr(frozen_graph, "GRAPH_BYTES", 2**26)
    with pytest.raises(ValueError, match="do not fit into one graph of 2 GB"):
        one.write(built, str(tmp_path / "model"), precision="float32")
    assert not list(tmp_path.iterdir())


def test_nothing_holds_a_network_that_is_written(classifier, tmp_path, monkeypatch):
    def noted(classifier):
        found = of(classifier)
        built.append(weakref.ref(found.model))
        return found

    of, built, registry = network.Network.of, [], ops.gradient_registry._registry
    before = set(registry)  # each gradient holds a graph with its variables
    monkeypatch.setattr(network, "CONSTANT_BYTES", 0)
    monkeypatch.setattr(network.Network, "of", noted)
    chosen = [formats.FORMATS[name] for name in ("saved_model", "litert", "onnx")]
    artifact.save(classifier, str(tmp_path / "export"), formats=chosen, photos=())
    gc.collect()
    assert [model() for model in built] == [None]
    assert set(registry) == before


def test_nothing_holds_a_rounded_copy(built):
    registry = ops.gradient_registry._registry
    before = set(registry)
    made = bfloat16.rounded(built, [np.zeros((32, 32, 3), np.uint8)])
    kernels = [weakref.ref(one) for one in made.model.weights]
    del made
    gc.collect()
    assert all(kernel() is None for kernel in kernels)
    assert set(registry) == before
