"""Writes a SavedModel that takes encoded images or pixels, as evaluation does."""

import contextlib
import functools
import os
import tempfile
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from efficientnet_tf import disk, files, label_sets
from efficientnet_tf.export import frozen_graph, inference_graph
from efficientnet_tf.inference.classifier import Classifier, classify
from efficientnet_tf.weights import model_layout

_SIGNATURES = ("serving_default", "tensor", "tensor_uint8")
# TensorFlow writes both; nothing else writes the fingerprint.
_FINGERPRINT, _GRAPH = "fingerprint.pb", "saved_model.pb"


def save(classifier: Classifier, export_dir: str) -> str:
    """Writes a SavedModel that needs no Python to load.

    Its signatures:
        serving_default: `encoded` string [batch], image files -> `probabilities`
            float32 [batch, classes]; `classes` int64 and `class_names` string [batch],
            the likeliest output and its name; `top_k_classes` int32, `top_k_names`
            string and `top_k_probabilities` float32 [batch, 5], or all classes if
            fewer. Every output has the batch for its first axis, which TensorFlow
            Serving's REST asks for. Decoding, turning upright (where the
            classifier does), cropping and resizing are evaluation's own.
        tensor: `images` float32 [batch, image_size, image_size, 3], RGB in [0, 255] ->
            `probabilities` and `logits`, float32 [batch, classes].
        tensor_uint8: the same for uint8.

    The network is its inference graph, with the weights as constants; see
    `inference_graph`. Beside the graph, labels.txt names every output, one a line.

    Args:
        classifier: the model, its preparation and its classes' names.
        export_dir: local folder or gs:// URL; replaced whole, and only once the new
            one is complete. A bucket, or a folder at which a file system is mounted,
            takes one file after the other: meanwhile it holds no graph, so that no
            reader takes it for a SavedModel.

    Returns:
        `export_dir`.

    Raises:
        ValueError: if `export_dir` holds anything but a SavedModel.
    """
    check_target(export_dir)
    export_dir = export_dir.rstrip("/")
    labels = label_sets.dumps(classifier.class_names)
    _write(_module(classifier), labels, export_dir)
    return export_dir


def _module(classifier: Classifier) -> tf.Module:
    """Returns the signatures as a module's functions, over one graph of the network.

    Keras's ExportArchive would trace the network 7 times and write each weight twice.
    """
    size = classifier.preparation.image_size
    pixels = [None, size, size, 3]
    names = list(classifier.class_names)
    predict = _predict(classifier, tf.TensorSpec(pixels, tf.float32))

    @_function(tf.TensorSpec(pixels, tf.float32, name="images"))
    def tensor(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits, probabilities = predict(images)
        return {"probabilities": probabilities, "logits": logits}

    @_function(tf.TensorSpec(pixels, tf.uint8, name="images"))
    def tensor_uint8(images: tf.Tensor) -> dict[str, tf.Tensor]:
        return tensor(tf.cast(images, tf.float32))

    @_function(tf.TensorSpec([None], tf.string, name="encoded"))
    def serving_default(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        image = tf.TensorSpec(pixels[1:], tf.uint8)
        decode = classifier.preparation.decode
        images = tf.map_fn(decode, encoded, fn_output_signature=image)
        return _ranked(tensor_uint8(images)["probabilities"], names)

    module = tf.Module()
    module.tensor = tensor
    module.tensor_uint8 = tensor_uint8
    module.serving_default = serving_default
    module.weights = tensor.get_concrete_function().variables
    return module


def _predict(classifier: Classifier, images: tf.TensorSpec) -> frozen_graph.Predict:
    """Returns a function from pixels to logits and probabilities.

    Its weights are constants in the graph, or variables if the graph would be too
    large.
    """
    model = inference_graph.build(classifier.model)

    def predict(images: tf.Tensor) -> list[tf.Tensor]:
        outputs = classify(model, images)
        return [outputs["logits"], outputs["probabilities"]]

    # Graph and signatures take a few MB beside the weights.
    fits = model_layout.size(model) < frozen_graph.GRAPH_BYTES - 2**26
    return frozen_graph.freeze(predict, images) if fits else predict


def _function(spec: tf.TensorSpec) -> Callable[[Callable], Any]:
    return functools.partial(tf.function, input_signature=[spec], autograph=False)


def _ranked(probabilities: tf.Tensor, names: list[str]) -> dict[str, tf.Tensor]:
    """Returns the outputs of `serving_default`, see `save`."""
    ranked = tf.math.top_k(probabilities, k=min(5, len(names)))
    best = tf.argmax(probabilities, -1)
    return {
        "probabilities": probabilities,
        "classes": best,
        "class_names": tf.gather(names, best),
        "top_k_classes": ranked.indices,
        "top_k_names": tf.gather(names, ranked.indices),
        "top_k_probabilities": ranked.values,
    }


def check_target(export_dir: str) -> None:
    """Raises ValueError for a folder that cannot be written or holds other files."""
    files.check_writable(export_dir, label="export_dir=")
    if not (files.is_url(export_dir) or _is_mounted(export_dir)):
        # The new SavedModel is written beside the old one.
        beside = os.path.dirname(export_dir.rstrip("/")) or "."
        files.check_writable(beside, label=f"export_dir={export_dir}: ")
    holds = tf.io.gfile.listdir(export_dir) if tf.io.gfile.exists(export_dir) else []
    if _is_mounted(export_dir):
        holds = [name for name in holds if name != "lost+found"]
    if holds and not {_GRAPH, _FINGERPRINT} & set(holds):
        raise ValueError(
            f"export_dir={export_dir} holds {sorted(holds)[0]} and no SavedModel; "
            "allowed is a new folder, an empty one, or one to replace a SavedModel in"
        )


def _write(module: tf.Module, labels: str, target: str) -> None:
    if files.is_url(target) or _is_mounted(target):
        with tempfile.TemporaryDirectory() as folder:
            _write_here(module, labels, f"{folder}/model")
            with disk.writing(target):
                _upload(f"{folder}/model", target)
        return
    partial = f"{target}.partial"
    with disk.writing(target):
        _remove(partial)
        try:
            _write_here(module, labels, partial)
            _replace(partial, target)
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                _remove(partial)
            raise


def _is_mounted(folder: str) -> bool:
    """Whether a file system is mounted at a folder, which then cannot be renamed."""
    return os.path.ismount(folder)


def _write_here(module: tf.Module, labels: str, folder: str) -> None:
    signatures = {name: getattr(module, name) for name in _SIGNATURES}
    # Gradients of custom gradients would be traced too: a fifth of an export's time.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, signatures, options)
    files.write_whole(f"{folder}/{label_sets.FILE}", labels)


def _upload(source: str, target: str) -> None:
    """Replaces a SavedModel: its graph is deleted first, and the new one comes last.

    The fingerprint stays all the while, to mark a folder that may be replaced.
    """
    names = [
        os.path.relpath(f"{folder}/{name}", source)
        for folder, _, found in os.walk(source)
        for name in found
    ]
    patterns = [f"{target}/*", f"{target}/*/*"]
    old = {path.removeprefix(f"{target}/") for path in tf.io.gfile.glob(patterns)}
    if _GRAPH in old:
        tf.io.gfile.remove(f"{target}/{_GRAPH}")
    names.sort(key=lambda name: (name == _GRAPH, name != _FINGERPRINT, name))
    for name in names:
        if not files.is_url(target):
            os.makedirs(os.path.dirname(f"{target}/{name}"), exist_ok=True)
        files.upload(f"{source}/{name}", f"{target}/{name}")
    for name in old - set(names):
        if not tf.io.gfile.isdir(f"{target}/{name}"):
            tf.io.gfile.remove(f"{target}/{name}")


def _replace(source: str, target: str) -> None:
    """Puts one folder in another's place, and deletes the old one last."""
    previous = f"{target}.previous"
    if tf.io.gfile.exists(target):
        _remove(previous)
        tf.io.gfile.rename(target, previous)
    tf.io.gfile.rename(source, target)
    _remove(previous)


def _remove(folder: str) -> None:
    if tf.io.gfile.exists(folder):
        tf.io.gfile.rmtree(folder)
