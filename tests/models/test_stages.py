"""The stages of a network: which are trained, and the cut before the classifier."""

import networks
import numpy as np
import pytest

import efficientnet_tf as en
from efficientnet_tf.models import stages

NETWORK = networks.own(*networks.KINDS[:3])


@pytest.fixture
def model():
    return en.EfficientNet(NETWORK, classes=5, classifier_activation=None)


@pytest.mark.parametrize(
    ("last", "trained"),
    [
        ("none", {"stem", "block1", "block2", "block3", "top", "predictions"}),
        ("stem", {"block1", "block2", "block3", "top", "predictions"}),
        ("block2", {"block3", "top", "predictions"}),
        ("block3", {"top", "predictions"}),
        ("backbone", {"predictions"}),
    ],
)
def test_stages_up_to_the_last_are_frozen(last, trained, model):
    stages.freeze(model, last)
    assert {stages.stage_of(v.path) for v in model.trainable_variables} == trained


def test_frozen_batch_norms_use_and_keep_their_moving_statistics():
    still = {"dropout_rate": 0.0, "survival_prob": 1.0}
    model = en.EfficientNet(NETWORK, classes=5, **still)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    stages.freeze(model, "backbone")
    before = [v.numpy() for v in model.non_trainable_variables if "moving" in v.path]
    np.testing.assert_array_equal(
        model(images, training=True), model(images, training=False)
    )
    after = [v.numpy() for v in model.non_trainable_variables if "moving" in v.path]
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def test_backbone_and_classifier_make_the_model(model):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("uint8")
    features = stages.backbone(model)(images, training=False)
    assert features.shape == (4, 32)
    logits = stages.classifier(model)(features, training=False)
    np.testing.assert_array_equal(logits, model(images, training=False))
    paths = [v.path for v in stages.classifier(model).trainable_variables]
    assert paths == ["predictions/kernel", "predictions/bias"]


@pytest.mark.parametrize("name", ["efficientnet-b0", "resnet-50", "mobilenet-v1"])
def test_the_expansion_names_the_stages_of_the_model(name):
    model = en.EfficientNet(name, classes=5, input_shape=(32, 32, 3))
    found = dict.fromkeys(stages.stage_of(v.path) for v in model.trainable_variables)
    assert tuple(found)[: len(en.expand(name).stages)] == en.expand(name).stages


def test_another_size_has_the_same_layers(model):
    images = np.random.default_rng(0).integers(0, 256, (4, 48, 48, 3)).astype("uint8")
    other = stages.at_size(model, 48)
    assert all(v is w for v, w in zip(other.weights, model.weights, strict=True))
    built = en.EfficientNet(
        NETWORK, classes=5, classifier_activation=None, input_shape=(48, 48, 3)
    )
    built.set_weights(model.get_weights())
    np.testing.assert_array_equal(
        other(images, training=False), built(images, training=False)
    )
    assert model(images[:, :32, :32], training=False).shape == (4, 5)
