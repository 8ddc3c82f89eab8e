"""A network's stages: stem, block1 ... blockN, top (the head) and predictions.

The name of each layer begins with its stage's: `block2a_expand_conv` is in block2.
"""

import re

import keras

from efficientnet_tf.models import efficientnet


def stage_of(layer: str) -> str:
    """Returns the stage of a layer, or of a variable's path.

    Args:
        layer: name of a layer, such as "block2a_expand_conv".
    """
    found = re.match(r"block\d+|[a-z]+", layer)
    return found[0] if found else layer


def backbone(model: keras.Model) -> keras.Model:
    """Returns the model up to the classifier: images to features [batch, channels].

    Args:
        model: a model that `EfficientNet` built, with a classifier.
    """
    pooled = model.get_layer("avg_pool").output
    with efficientnet.deep_graphs():
        return keras.Model(model.input, pooled, name=f"{model.name}_backbone")


def classifier(model: keras.Model) -> keras.Model:
    """Returns the model after `backbone`: features [batch, channels] to outputs.

    Args:
        model: a model that `EfficientNet` built, with a classifier.
    """
    names = [layer.name for layer in model.layers]
    behind = model.layers[names.index("avg_pool") + 1 :]
    x = inputs = keras.Input(behind[0].input.shape[1:], name="features")
    for layer in behind:
        x = layer(x)
    return keras.Model(inputs, x, name=f"{model.name}_classifier")


def at_size(model: keras.Model, size: int) -> keras.Model:
    """Returns the same layers as a model of images of another size.

    Args:
        model: a model that `EfficientNet` built.
        size: int, height and width of the images in pixels.
    """
    channels_first = keras.config.image_data_format() == "channels_first"
    shape = (3, size, size) if channels_first else (size, size, 3)
    images = keras.Input(shape, dtype=model.input.dtype, name=model.input.name)
    with efficientnet.deep_graphs():
        return keras.Model(images, model.call(images), name=model.name)


def freeze(model: keras.Model, last: str) -> None:
    """Excludes stages from training; their batch norms use the moving statistics.

    Args:
        model: a model that `EfficientNet` built.
        last: "none"; "backbone", all but the classifier; or a stage ("stem",
            "block3"): it and all stages before it.
    """
    if last == "none":
        return
    order = _order(model)
    stop = len(order) - 1 if last == "backbone" else order.index(last) + 1
    for layer in model.layers:
        if layer.weights and stage_of(layer.name) in order[:stop]:
            layer.trainable = False


def rates(model: keras.Model, *, decay: float) -> list[float]:
    """Returns a factor of the learning rate for each trainable variable.

    Args:
        model: a model that `EfficientNet` built.
        decay: float in (0, 1]: the classifier's factor is 1, each stage's is `decay`
            times that of the stage after it.
    """
    distance = {stage: i for i, stage in enumerate(reversed(_order(model)))}
    return [decay ** distance[stage_of(v.path)] for v in model.trainable_variables]


def _order(model: keras.Model) -> list[str]:
    """Returns the names of the stages that have weights, in the graph's order."""
    return list(dict.fromkeys(stage_of(e.name) for e in model.layers if e.weights))
