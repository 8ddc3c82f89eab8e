"""Writes a SavedModel that takes encoded images or pixels, as evaluation does."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from efficientnet_tf.data import attempts, decoding
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.export import frozen_graph
from efficientnet_tf.export.network import Network
from efficientnet_tf.inference import cam as class_maps
from efficientnet_tf.inference.classifier import Classifier, to_probabilities
from efficientnet_tf.models import efficientnet

# The codes of the output `reason`.
ANSWERED, NO_IMAGE, TOO_LARGE = range(3)

Outputs = dict[str, tf.Tensor]
Signature = Any  # a function of TensorFlow from a batch to Outputs


def write(
    classifier: Classifier, network: Network, folder: str, *, max_pixels: int
) -> None:
    """Writes a SavedModel that needs no Python to load.

    Its signatures:
        serving_default: `encoded` string [batch], image files -> `probabilities`
            float32 [batch, classes]; `classes` int64 and `class_names` string [batch],
            the likeliest output and its name; `top_k_classes` int32, `top_k_names`
            string and `top_k_probabilities` float32 [batch, 5], or all classes if
            fewer; `valid` bool [batch], whether the image was decoded, and `reason`
            int32 [batch]: 0, or 1 for what cannot be decoded, or 2 for an image of too
            many pixels. Such an image has class -1 without a name and probabilities of
            zero; the others of its batch are answered. Every output has the batch for
            its first axis, which TensorFlow Serving's REST asks for. Decoding, turning
            upright (where the classifier does), cropping and resizing are evaluation's
            own.
        decode: `encoded` string [batch] -> `images` uint8 [batch, image_size,
            image_size, 3], as `tensor_uint8` takes them; `valid` and `reason`.
        tensor: `images` float32 [batch, image_size, image_size, 3], RGB in [0, 255] ->
            `probabilities` and `logits`, float32 [batch, classes].
        tensor_uint8: the same for uint8.
        features: `images` float32 -> `features` float32 [batch, channels], what the
            classifier's layer sees: the means of the last feature maps.
        cam: `images` float32 -> `maps` float32 [batch, rows, columns], the evidence for
            the likeliest class in logits, and `classes` int64 [batch], these classes.

    A network that does not end in global average pooling and a dense layer has neither
    `features` nor `cam`. The weights of a small network are constants of the
    graph, those of others variables.

    Args:
        classifier: the preparation of images and the classes' names.
        network: the classifier's network.
        folder: local folder, which may hold other files.
        max_pixels: int, the most pixels of an image that is decoded.
    """
    module = tf.Module()
    head = _head(network.model)
    predict, module.weights = _predict(network, head)
    signatures = _signatures(predict, network.images(None), has_head=head is not None)
    signatures |= _for_files(signatures["tensor"], classifier, max_pixels)
    for name, signature in signatures.items():
        setattr(module, name, signature)
    # Gradients of custom gradients would be traced too: a fifth of an export's time.
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, folder, signatures, options)


def _head(model: keras.Model) -> class_maps.Head | None:
    try:
        return class_maps.find_head(model)
    except ValueError:
        return None


def _predict(
    network: Network, head: class_maps.Head | None
) -> tuple[frozen_graph.Predict, list[tf.Variable]]:
    """Returns what all signatures compute, and the variables that it reads.

    Every signature calls the same graph, so that each weight is written once. Keras's
    ExportArchive would trace the network once a signature.
    """
    images = network.images(None)
    predict = network.predict if head is None else _with_features(network.model, head)
    variables = frozen_graph.variables(network.model)
    if network.is_small:
        predict, variables = frozen_graph.freeze(predict, images), []

    def predict_any(images: tf.Tensor) -> list[tf.Tensor]:
        images = tf.ensure_shape(images, network.images(None).shape)
        # oneDNN's kernels fail on an empty batch.
        count = tf.shape(images)[0]
        missing = 1 - tf.minimum(count, 1)
        found = predict(tf.pad(images, [[0, missing], [0, 0], [0, 0], [0, 0]]))
        return [*(output[:count] for output in found[:3]), *found[3:]]

    return predict_any, variables


def _with_features(model: keras.Model, head: class_maps.Head) -> frozen_graph.Predict:
    """Returns a function from float32 images to logits, probabilities and more.

    That is the last feature maps, channels last, and the classifier's kernel.
    """
    with efficientnet.deep_graphs():
        both = keras.Model(model.inputs[0], [model.outputs[0], head.features])

    def predict(images: tf.Tensor) -> list[tf.Tensor]:
        outputs = both(images, training=False)
        logits, features = (tf.cast(output, tf.float32) for output in outputs)
        if head.channels_first:
            features = tf.transpose(features, [0, 2, 3, 1])
        kernel = tf.cast(tf.convert_to_tensor(head.dense.kernel), tf.float32)
        return [logits, to_probabilities(model, logits), features, kernel]

    return predict


def _signatures(
    predict: frozen_graph.Predict, images: tf.TensorSpec, *, has_head: bool
) -> dict[str, Signature]:
    """Returns the signatures that take pixels, see `write`."""

    @_function(images)
    def tensor(images: tf.Tensor) -> Outputs:
        logits, probabilities, *_ = predict(images)
        return {"probabilities": probabilities, "logits": logits}

    @_function(tf.TensorSpec(images.shape, tf.uint8, name="images"))
    def tensor_uint8(images: tf.Tensor) -> Outputs:
        return tensor(tf.cast(images, tf.float32))

    @_function(images)
    def features(images: tf.Tensor) -> Outputs:
        return {"features": tf.reduce_mean(predict(images)[2], [1, 2])}

    @_function(images)
    def cam(images: tf.Tensor) -> Outputs:
        logits, _, maps, kernel = predict(images)
        classes = tf.argmax(logits, -1)
        weights = tf.gather(kernel, classes, axis=1)
        return {"maps": tf.einsum("bhwc,cb->bhw", maps, weights), "classes": classes}

    found = {"tensor": tensor, "tensor_uint8": tensor_uint8}
    return found | ({"features": features, "cam": cam} if has_head else {})


def _for_files(
    tensor: Signature, classifier: Classifier, max_pixels: int
) -> dict[str, Signature]:
    """Returns the signatures that take image files, see `write`."""
    names = list(classifier.class_names)
    files = tf.TensorSpec([None], tf.string, name="encoded")

    @_function(files)
    def decode(encoded: tf.Tensor) -> Outputs:
        read, (sizes, images) = attempts.try_each(
            encoded,
            functools.partial(_decode, classifier.preparation, max_pixels),
        )
        is_small = sizes <= max_pixels
        valid = read & is_small
        unread = tf.where(is_small, NO_IMAGE, TOO_LARGE)
        reason = tf.where(valid, ANSWERED, unread)
        return {"images": images, "valid": valid, "reason": reason}

    @_function(files)
    def serving_default(encoded: tf.Tensor) -> Outputs:
        decoded = decode(encoded)
        images, valid = decoded.pop("images"), decoded["valid"]
        probabilities = tensor(tf.cast(images, tf.float32))["probabilities"]
        answers = _ranked(tf.where(valid[:, tf.newaxis], probabilities, 0.0), names)
        answers["classes"] = tf.where(valid, answers["classes"], -1)
        answers["class_names"] = tf.where(valid, answers["class_names"], "")
        return answers | decoded

    return {"decode": decode, "serving_default": serving_default}


def _decode(
    preparation: Preparation, max_pixels: int, encoded: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns an image's number of pixels, and a blank image if they are too many."""
    pixels = decoding.pixel_count(encoded)
    size = preparation.image_size
    image = tf.cond(
        pixels <= max_pixels,
        lambda: preparation.decode(encoded),
        lambda: tf.zeros([size, size, 3], tf.uint8),
    )
    return pixels, image


def _function(spec: tf.TensorSpec) -> Callable[[Callable], Signature]:
    return functools.partial(tf.function, input_signature=[spec], autograph=False)


def _ranked(probabilities: tf.Tensor, names: list[str]) -> Outputs:
    """Returns the outputs of `serving_default` that say which class is likeliest."""
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
