"""A classifier that is fitted before training, against its conditions of optimality."""

import types

import networks
import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf import config as config_lib
from efficientnet_tf.models import stages
from efficientnet_tf.training import build, classifier_fit

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(4, 6))


def draw(classes):
    features = CENTRES[classes] * 3 + RNG.normal(size=(len(classes), 6)) + 10
    return features.astype(np.float32)


def probabilities(features, kernel, bias):
    logits = features @ kernel + bias
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("present", [(0, 1, 2, 3), (0, 2, 3), (1, 3)])
def test_the_gradient_of_loss_and_penalty_is_zero(present):
    classes = RNG.choice(present, 200)
    features = draw(classes)
    fitted = classifier_fit.logistic_regression(features, classes, 4)
    kernel, bias = (array.astype(np.float64)[..., present] for array in fitted)
    errors = probabilities(features, kernel, bias)
    errors -= classes[:, np.newaxis] == np.array(present)
    # Of two classes scikit-learn penalises half as much, as it has one vector for both.
    strength = (2 if len(present) == 2 else 1) / 0.01
    scale = features.std(0) + 1e-3
    standard = (features - features.mean(0)) / scale
    gradient = standard.T @ errors + strength * kernel * scale[:, np.newaxis]
    assert np.abs(gradient).max() < 0.02 * np.abs(standard.T @ errors).max()
    assert np.abs(errors.sum(0)).max() < 0.1  # the bias is not penalised


def test_absent_classes_are_the_least_likely():
    classes = RNG.choice((1, 2), 100)
    kernel, bias = classifier_fit.logistic_regression(draw(classes), classes, 4)
    assert not kernel[:, [0, 3]].any()
    assert bias[0] == bias[3] == pytest.approx(bias[[1, 2]].min() - 1)
    assert (kernel.dtype, bias.dtype) == (np.float32, np.float32)


def test_one_class_alone_gets_no_weights():
    kernel, bias = classifier_fit.logistic_regression(draw(np.ones(9, int)), [1] * 9, 3)
    assert not kernel.any() and list(bias) == [-1, 0, -1]


def test_a_classifier_begins_as_asked():
    model = en.EfficientNet(networks.own(networks.ONE), classes=3)
    classifier = model.get_layer("predictions")
    drawn = classifier.kernel.numpy()
    classifier_fit.begin(model, "random", lambda: pytest.fail("asked for features"))
    np.testing.assert_array_equal(classifier.kernel, drawn)
    classifier_fit.begin(model, "zero", lambda: pytest.fail("asked for features"))
    assert not np.any(classifier.kernel) and not np.any(classifier.bias)
    images = RNG.integers(0, 256, (30, 32, 32, 3)).astype("uint8")
    classes = np.arange(30) % 3
    features = stages.backbone(model)(images).numpy()
    classifier_fit.begin(model, "fitted", lambda: (features, classes))
    wanted = classifier_fit.logistic_regression(features, classes, 3)
    np.testing.assert_array_equal(classifier.kernel, wanted[0])
    np.testing.assert_array_equal(classifier.bias, wanted[1])


def test_each_label_has_a_regression_of_its_own():
    classes = RNG.integers(0, 4, 200)
    features = draw(classes)
    labels = np.stack([classes == 0, classes < 2, classes < 0, classes >= 0], axis=1)
    fitted = classifier_fit.logistic_regressions(features, labels)
    kernel, bias = (array.astype(np.float64) for array in fitted)
    assert fitted[0].dtype == fitted[1].dtype == np.float32
    scale = features.std(0) + 1e-3
    standard = (features - features.mean(0)) / scale
    errors = 1 / (1 + np.exp(-(features @ kernel + bias))) - labels
    gradient = standard.T @ errors + kernel * scale[:, np.newaxis] / 0.01
    assert np.abs(gradient[:, :2]).max() < 0.02 * np.abs(standard.T @ errors).max()
    assert np.abs(errors[:, :2].sum(0)).max() < 0.1
    # No image has the third label and each has the fourth: half an image differs.
    assert not kernel[:, 2:].any()
    assert bias[2:] == pytest.approx([-np.log(399), np.log(399)], rel=1e-6)


@pytest.mark.parametrize(
    ("weights", "skip", "is_new"),
    [(None, None, True), ("w.h5", "predictions", True), ("w.h5", None, False)],
)
def test_a_classifier_that_is_not_loaded_begins_as_asked(weights, skip, is_new):
    config = config_lib.create(
        dataset="fake",
        blocks=networks.ONE,
        classifier_init="zero",
        weights=weights,
        weights_skip=skip,
    )
    model = en.EfficientNet(networks.own(networks.ONE), classes=3)
    splits = types.SimpleNamespace(train=True)
    data = types.SimpleNamespace(splits=splits, arrays=pytest.fail)
    build.begin_classifier(config, model, data)
    assert np.any(model.get_layer("predictions").kernel) != is_new
