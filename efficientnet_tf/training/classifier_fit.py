"""Fits a new classifier to the features of a network that is not trained yet.

Training then begins with a classifier that works: the first steps of a random one send
large gradients through pretrained layers.
"""

from collections.abc import Callable

import keras
import numpy as np

# The inverse strength of L2, for features of unit variance. Lite0's features of
# flowers160 at 224 pixels: 0.003 to 1 give 92.3, 92.4, 91.9, 91.7 and 91.9%.
_C = 0.01
_ITERATIONS = 200


def begin(
    model: keras.Model,
    init: str,
    arrays: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> None:
    """Gives a new classifier its first values.

    Args:
        model: a model that `EfficientNet` built, with a classifier.
        init: "random" leaves them as they are; "zero"; or "fitted", see `fit`.
        arrays: returns the features and labels to fit it to.
    """
    if init == "zero":
        for variable in model.get_layer("predictions").weights:
            variable.assign(np.zeros(variable.shape))
    if init == "fitted":
        fit(model, *arrays())


def fit(model: keras.Model, features: np.ndarray, labels: np.ndarray) -> None:
    """Fits the classifier by logistic regression, and assigns it to the model.

    Args:
        model: a model that `EfficientNet` built, with a classifier.
        features: float32 [images, channels], the classifier's inputs.
        labels: int [images], the model's output that is right for each image; or, of
            several labels an image, float [images, classes] of 0 and 1.
    """
    classifier = model.get_layer("predictions")
    if labels.ndim == 2:
        kernel, bias = logistic_regressions(features, labels > 0.5)
    else:
        kernel, bias = logistic_regression(features, labels, classifier.units)
    classifier.kernel.assign(kernel)
    classifier.bias.assign(bias)


def logistic_regression(
    features: np.ndarray, classes: np.ndarray, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel and the bias of a regularised softmax regression.

    Args:
        features: float32 [images, channels].
        classes: int [images], from 0 to below `num_classes`; a class may be absent.
        num_classes: int, number of classes.

    Returns:
        float32 [channels, num_classes] and [num_classes]. Classes that are absent get
        the least likely class's bias and no weights.
    """
    mean, scale = _mean_and_scale(features)
    present = np.unique(classes)
    kernel = np.zeros((features.shape[1], num_classes), np.float64)
    bias = np.zeros(num_classes, np.float64)
    if len(present) > 1:
        weights, offsets = _regression((features - mean) / scale, classes)
        if len(present) == 2:  # scikit-learn keeps the difference of the two
            weights = np.concatenate([-weights, weights]) / 2
            offsets = np.concatenate([-offsets, offsets]) / 2
        kernel[:, present] = (weights / scale).T
        bias[present] = offsets - mean @ kernel[:, present]
    absent = np.setdiff1d(np.arange(num_classes), present)
    bias[absent] = bias[present].min() - 1
    return kernel.astype(np.float32), bias.astype(np.float32)


def logistic_regressions(
    features: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernel and the bias of a regression for each label by itself.

    Args:
        features: float32 [images, channels].
        labels: bool [images, classes].

    Returns:
        float32 [channels, classes] and [classes]. A label that no image has, or every
        one, gets no weights, and the bias of half an image of the other kind.
    """
    mean, scale = _mean_and_scale(features)
    scaled, (images, classes) = (features - mean) / scale, labels.shape
    counts = np.clip(labels.sum(0), 0.5, images - 0.5)
    kernel = np.zeros((features.shape[1], classes), np.float64)
    bias = np.log(counts / (images - counts))
    for label in np.flatnonzero(labels.any(0) & ~labels.all(0)):
        weights, offsets = _regression(scaled, labels[:, label])
        kernel[:, label] = weights[0] / scale
        bias[label] = offsets[0] - mean @ kernel[:, label]
    return kernel.astype(np.float32), bias.astype(np.float32)


def _mean_and_scale(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), features.std(0) + 1e-3


def _regression(
    scaled: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Returns scikit-learn's weights [rows, channels] and offsets [rows]."""
    # Imported here: it takes a second, which other runs are spared.
    from sklearn import linear_model

    model = linear_model.LogisticRegression(C=_C, max_iter=_ITERATIONS)
    model.fit(scaled, classes)
    return model.coef_, model.intercept_
