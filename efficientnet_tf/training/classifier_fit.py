"""Fits a new classifier to the features of a network that is not trained yet.

Training then begins with a classifier that works: the first steps of a random one send
large gradients through pretrained layers.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from efficientnet_tf.data import batches, sources
from efficientnet_tf.data.preparation import Preparation
from efficientnet_tf.data.settings import Labels
from efficientnet_tf.models import stages

MOST_IMAGES = 100_000  # 0.5 GB of features of B0
# The inverse strength of L2, for features of unit variance. Lite0's features of
# flowers160 at 224 pixels: 0.003 to 1 give 92.3, 92.4, 91.9, 91.7 and 91.9%.
_C = 0.01
_ITERATIONS = 200


def fit(
    model: keras.Model,
    source: sources.Source,
    preparation: Preparation,
    *,
    labels: Labels,
    batch_size: int,
    strategy: tf.distribute.Strategy,
) -> None:
    """Fits the classifier by logistic regression, and assigns it to the model.

    Args:
        model: a model that `EfficientNet` built under the strategy, with pretrained
            weights up to its classifier.
        source: the data; its training images are read once, without augmentation.
        preparation: evaluation's preparation of images.
        labels: numbering of the labels and of the model's outputs.
        batch_size: int, images of all replicas together.
        strategy: the strategy of one host.
    """
    split = source.splits.train
    if split is None or labels.num_classes == 1:
        return

    def dataset(context: tf.distribute.InputContext) -> tf.data.Dataset:
        return source.evaluate(
            split,
            preparation,
            labels=labels,
            batch_size=context.get_per_replica_batch_size(batch_size),
            shard=batches.Shard(),
        )

    with strategy.scope():
        backbone = stages.backbone(model)
    distributed = strategy.distribute_datasets_from_function(dataset)
    with tqdm.tqdm(
        total=split.images, desc="features", unit=" images", leave=False, disable=None
    ) as bar:
        features, classes = _features(backbone, distributed, strategy, bar.update)
    kernel, bias = logistic_regression(features, classes, labels.num_classes)
    classifier = model.get_layer("predictions")
    classifier.kernel.assign(kernel)
    classifier.bias.assign(bias)


def _features(
    backbone: keras.Model,
    dataset: Any,
    strategy: tf.distribute.Strategy,
    done: Callable[[int], Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 [images, channels] features and int32 [images] classes."""

    def replica(batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        features = tf.cast(backbone(batch["image"], training=False), tf.float32)
        return {"features": features, "label": batch["label"], "mask": batch["mask"]}

    @tf.function(autograph=False)
    def step(iterator: Any) -> dict[str, tf.Tensor]:
        found = strategy.run(replica, args=(next(iterator),))
        return {name: strategy.gather(value, axis=0) for name, value in found.items()}

    iterator = iter(dataset)
    features, classes = [], []
    while True:
        batch = {name: value.numpy() for name, value in step(iterator).items()}
        kept = batch["mask"] > 0
        if not kept.any():
            return np.concatenate(features), np.concatenate(classes)
        done(int(kept.sum()))
        features.append(batch["features"][kept])
        classes.append(batch["label"][kept])


def logistic_regression(
    features: np.ndarray, classes: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel and the bias of a regularised softmax regression.

    Args:
        features: float32 [images, channels].
        classes: int [images], from 0 to below `num_classes`; a class may be absent.
        num_classes: int, 2 or more.

    Returns:
        float32 [channels, num_classes] and [num_classes]. Classes that are absent get
        the least likely class's bias and no weights.
    """
    # Imported here: it takes a second, which other runs are spared.
    from sklearn import linear_model

    mean, scale = features.mean(0), features.std(0) + 1e-3
    present = np.unique(classes)
    kernel = np.zeros((features.shape[1], num_classes), np.float64)
    bias = np.zeros(num_classes, np.float64)
    if len(present) > 1:
        model = linear_model.LogisticRegression(C=_C, max_iter=_ITERATIONS)
        model.fit((features - mean) / scale, classes)
        weights, offsets = model.coef_, model.intercept_
        if len(present) == 2:  # scikit-learn keeps the difference of the two
            weights = np.concatenate([-weights, weights]) / 2
            offsets = np.concatenate([-offsets, offsets]) / 2
        kernel[:, present] = (weights / scale).T
        bias[present] = offsets - mean @ kernel[:, present]
    absent = np.setdiff1d(np.arange(num_classes), present)
    bias[absent] = bias[present].min() - 1
    return kernel.astype(np.float32), bias.astype(np.float32)
